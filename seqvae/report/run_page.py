"""The report of a run of a command: what its family shows, and how the run is repeated."""

import platform
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from seqvae.report.page import Section, Table, write_page

_PACKAGES = ("seqvae", "tensorflow", "keras", "tensorflow-probability", "numpy", "scikit-learn")


def write_run_page(run: Any, title: str, sections: Callable[[], Sequence[Section]]) -> str:
    """Write `report.html` into a run's folder, after everything else of the run.

    A report that fails is named in the returned line, and does not end the run: its other files
    are complete.

    Args:
        run: the `seqvae.commands.Run`.
        title: the report's title.
        sections: makes the sections of the family.

    Returns:
        The last line that a run prints.
    """
    path = run.folder / "report.html"
    try:
        write_page(path, title, [*sections(), how_it_was_made(run)])
    except (
        Exception
    ) as error:  # any error: a failed report must not end hours of training in a traceback
        return (
            f"NO REPORT: {path} could not be written ({type(error).__name__}: {error}). All other "
            f"files of the run are in {run.folder}/."
        )
    return f"report: {path}"


def newest(folder: Path, *wanted: tuple[str, str]) -> list[tuple[str, Path]]:
    """Find the pictures and movies of a run that are shown.

    Args:
        folder: the run's folder.
        *wanted: pairs of a caption and a pattern of names. Of several files, the last by name is
            taken, because names contain the epoch; a pattern without a file is left out.

    Returns:
        Captions and paths.
    """
    found = [(caption, max(folder.glob(pattern), default=None)) for caption, pattern in wanted]
    return [(caption, path) for caption, path in found if path]


def how_it_was_made(run: Any) -> Section:
    """Make the section with the command line and the versions that repeat a run.

    Args:
        run: the `seqvae.commands.Run`.

    Returns:
        The section.
    """
    exact = (
        "The run was deterministic: the same machine and versions give the same numbers."
        if run.settings.deterministic
        else "The same seed gives nearly the same numbers; with --deterministic exactly the same."
    )
    return Section(
        "How this was made",
        paragraphs=[exact],
        table=Table(["", ""], list(versions().items())),
        code=run.command_line(),
    )


def versions() -> dict[str, str]:
    """Collect the versions of Python and the packages, the system and the architecture.

    Returns:
        Texts by name.
    """
    found = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # used from its source, without an installation
            if name in sys.modules:
                found[name] = sys.modules[name].__version__
    return found | {"machine": f"{platform.system()} {platform.machine()}"}
