"""Arguments that had other names before."""

import functools
from collections.abc import Callable


def renamed(**names: str) -> Callable[[Callable], Callable]:
    """Decorates a function so that it takes renamed arguments by their earlier names too, as keywords.

    Args:
        names: today's name of each earlier name.
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args, **options):
            for earlier, name in names.items():
                if earlier in options and name in options:
                    raise TypeError(f"{earlier}: this is the earlier name of {name}, and both were given. Give {name}.")
                if earlier in options:
                    options[name] = options.pop(earlier)
            return function(*args, **options)

        return call

    return decorate


renamed_keypoints = renamed(
    centre="centered_reference_keypoint", ahead="orientation_reference_keypoint", confidence="pose_confidence"
)
"""The arguments that now have VAME's names."""
