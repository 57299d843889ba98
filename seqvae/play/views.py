"""Views of the page: what a family's module `play` provides, and which view shows a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class NoModelError(ValueError):
    """No model ships for a view, or a package is missing; the message says what to do."""


class Session(Protocol):
    """The state of one tab of a browser."""

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a message of the page.

        Args:
            message: the message, from JSON.

        Returns:
            What the page shows, for JSON.

        Raises:
            ValueError: the message is invalid; the page shows the error.
        """
        ...


class View(Protocol):
    """A model that is loaded once, and a session of it for each tab."""

    def about(self) -> dict[str, Any]:
        """What the page needs to build the view, for JSON."""
        ...

    def session(self) -> Session:
        """Start a session."""
        ...

    def warm_up(self) -> None:
        """Compute everything once: what is compiled is compiled before the page opens."""
        ...


class Family(Protocol):
    """A module `play` of a family of models."""

    READS_DATA: bool
    """Whether the view reads the file of --data."""

    def recognises(self, folder: Path) -> bool:
        """Whether a folder is a run that the view shows, finished or not.

        Args:
            folder: the folder.

        Returns:
            Whether it is.
        """
        ...

    def open_view(self, folder: Path | None, data: str, seed: int) -> View:
        """Load the model of a run, or one that ships.

        Args:
            folder: of the run; None: a model that ships.
            data: a file of data; "": those of the run.
            seed: seed of what is drawn.

        Returns:
            The view.

        Raises:
            NoModelError: no folder is given, and there is no model.
            ValueError: the folder or the file is damaged or incomplete.
        """
        ...


def open_views(
    families: Mapping[str, Family], folder: str, data: str, seed: int
) -> tuple[dict[str, View | str], str]:
    """Open all views: one on the given run, the others on models that ship.

    Args:
        families: modules by the view's name.
        folder: of a run; "": none.
        data: a file of data; "": none.
        seed: seed of what is drawn.

    Returns:
        Views by name, a sentence in place of a view without a model; and the name of the view to
        show first.

    Raises:
        ValueError: the folder is no run, or damaged; or the view reads no data.
    """
    own = _of_folder(families, folder) if folder else ""
    reader = own or next(name for name, family in families.items() if family.READS_DATA)
    if data and not families[reader].READS_DATA:
        raise ValueError(
            f"--data: expected none with {folder}, got {data!r}: only a Kalman VAE of videos reads "
            "other data. Leave it out."
        )
    views: dict[str, View | str] = {}
    for name, family in families.items():
        place = Path(folder) if name == own else None
        try:
            views[name] = family.open_view(place, data if name == reader else "", seed)
        except NoModelError as error:
            views[name] = str(error)
    shown = [name for name, view in views.items() if not isinstance(view, str)]
    return views, own or next(iter(shown or views))


def _of_folder(families: Mapping[str, Family], folder: str) -> str:
    if not Path(folder).is_dir():
        raise ValueError(f"run folder: no folder {folder}. Check the name.")
    for name, family in families.items():
        if family.recognises(Path(folder)):
            return name
    raise ValueError(
        f"run folder: expected a run of `seqvae kvae`, `seqvae worldmodel` or `seqvae vame`, such "
        f"as logs/mine_kvae, got {folder}, which holds none."
    )
