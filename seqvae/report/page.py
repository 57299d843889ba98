"""A report in one HTML file, which refers to no other file and needs no network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from seqvae.files import atomic_write
from seqvae.plotting import Figure, png_bytes

_DIGITS = 3
_TYPES = {".mp4": "video/mp4", ".gif": "image/gif", ".png": "image/png"}


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        header: the titles of the columns.
        rows: texts and numbers; floats are shown with three digits.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Section:
    """A section of a report. Its parts are shown in the order of the attributes.

    Attributes:
        title: the heading.
        paragraphs: the text.
        table: a table, or None.
        figures: pairs of a caption and a Matplotlib figure.
        movies: pairs of a caption and the path of an .mp4, .gif or .png file.
    """

    title: str
    paragraphs: Sequence[str] = ()
    table: Table | None = None
    figures: Sequence[tuple[str, Figure]] = ()
    movies: Sequence[tuple[str, Path]] = ()


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a report atomically. All texts are escaped.

    Args:
        path: the HTML file.
        title: the report's title.
        sections: its sections.

    Raises:
        ImportError: Jinja2 is not installed.
        ValueError: a movie has another file type.
    """
    try:
        from jinja2 import Environment, StrictUndefined  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            f"{path}: a page needs Jinja2. Install it: pip install jinja2."
        ) from error
    template = (resources.files("seqvae.report") / "page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    text = environment.from_string(template).render(
        title=title, sections=[_shown(i, section) for i, section in enumerate(sections)]
    )
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def _shown(number: int, section: Section) -> dict[str, Any]:
    """The template's variables for a section."""
    table = section.table
    return {
        "id": f"section-{number}",
        "title": section.title,
        "paragraphs": section.paragraphs,
        "header": table.header if table else (),
        "rows": [[_cell(value) for value in row] for row in table.rows] if table else (),
        "pictures": [
            (caption, _data("image/png", png_bytes(figure))) for caption, figure in section.figures
        ],
        "movies": [_movie(caption, Path(path)) for caption, path in section.movies],
    }


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)


def _movie(caption: str, path: Path) -> dict[str, Any]:
    if path.suffix not in _TYPES:
        raise ValueError(f"movies: expected a path of {', '.join(_TYPES)}, got {path}.")
    kind = _TYPES[path.suffix]
    return {
        "caption": caption,
        "data": _data(kind, path.read_bytes()),
        "is_video": kind.startswith("video"),
    }


def _data(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
