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
_LARGEST = 14_000_000  # bytes of a page; browsers and mail take it
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
        judgements: sentences that say how good a result is; they are set off.
        paragraphs: the text.
        table: a table, or None.
        code: text of a fixed width, such as commands.
        movies: pairs of a caption and the path of an .mp4, .gif or .png file.
        figures: pairs of a caption and a Matplotlib figure.
    """

    title: str
    judgements: Sequence[str] = ()
    paragraphs: Sequence[str] = ()
    table: Table | None = None
    code: str = ""
    movies: Sequence[tuple[str, Path]] = ()
    figures: Sequence[tuple[str, Figure]] = ()


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> None:
    """Write a report atomically. All texts are escaped.

    A movie that would make the page larger than 14 MB is left out; its caption names the file.

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
    media = _Media(_LARGEST)
    text = environment.from_string(template).render(
        title=title, sections=[_shown(i, section, media) for i, section in enumerate(sections)]
    )
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


class _Media:
    """Pictures and movies as data URIs, up to a total size.

    Args:
        most: bytes of all data URIs together.
    """

    def __init__(self, most: int):
        self._left = most

    def figure(self, caption: str, figure: Figure) -> dict[str, Any]:
        """What the template shows of a Matplotlib figure."""
        return self._shown(caption, "image/png", png_bytes(figure), "a picture")

    def file(self, caption: str, path: Path) -> dict[str, Any]:
        """What the template shows of a file."""
        if path.suffix not in _TYPES:
            raise ValueError(f"movies: expected a path of {', '.join(_TYPES)}, got {path}.")
        return self._shown(caption, _TYPES[path.suffix], path.read_bytes(), path.name)

    def _shown(self, caption: str, kind: str, content: bytes, name: str) -> dict[str, Any]:
        data = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
        if len(data) > self._left:
            return {"caption": f"{caption} ({name}: too large for this page)", "data": ""}
        self._left -= len(data)
        return {"caption": caption, "data": data, "is_video": kind.startswith("video")}


def _shown(number: int, section: Section, media: _Media) -> dict[str, Any]:
    """What the template shows of a section."""
    table = section.table
    return {
        "id": f"section-{number}",
        "title": section.title,
        "judgements": section.judgements,
        "paragraphs": section.paragraphs,
        "header": table.header if table else (),
        "rows": [[_cell(value) for value in row] for row in table.rows] if table else (),
        "code": section.code,
        "media": [
            *(media.file(caption, Path(path)) for caption, path in section.movies),
            *(media.figure(caption, figure) for caption, figure in section.figures),
        ],
    }


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
