"""Renamed arguments."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable)


def renamed(**names: str) -> Callable[[_Function], _Function]:
    """Decorator: a function also takes renamed keyword arguments by their earlier names.

    Args:
        **names: the current name of each earlier name.

    Returns:
        The decorator.
    """

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def call(*args: Any, **options: Any):
            for earlier, name in names.items():
                if earlier in options and name in options:
                    raise TypeError(
                        f"{earlier}: this is the earlier name of {name}, and both were given. Give "
                        f"{name}."
                    )
                if earlier in options:
                    options[name] = options.pop(earlier)
            return function(*args, **options)

        return cast(_Function, call)

    return decorate


renamed_keypoints = renamed(
    centre="centered_reference_keypoint",
    ahead="orientation_reference_keypoint",
    confidence="pose_confidence",
)
"""The arguments that now have VAME's names."""
