"""Tables of motifs: a row per frame, a row per bout, and the comparison of groups of sessions."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from seqvae.files import atomic_write
from vrae.vame.cards.bouts import Bout
from vrae.vame.cards.groups import MEASURES, Comparison, Row


def write_table(path: str | Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a CSV, atomically. NaN and None become empty cells.

    Args:
        path: the file.
        header: the names of the columns.
        rows: the cells of each row.
    """
    with atomic_write(path) as part, open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(
            ["" if value is None or value != value else value for value in row] for row in rows
        )


def write_frames(
    folder: Path, labels: Mapping[str, Mapping[str, np.ndarray]], fps: float | None
) -> None:
    """Write `<session>.csv` of every session: frame, time in seconds, and each kind of label.

    A cell is empty if the frame has no label.

    Args:
        folder: the folder to write to.
        labels: by kind ("motif", "behaviour"), the label of every frame by session.
        fps: frames per second; None: unknown.
    """
    for session in next(iter(labels.values())):
        columns = [of[session] for of in labels.values()]
        rows = (
            [t, t / fps if fps else None, *(int(v) if v >= 0 else None for v in values)]
            for t, values in enumerate(zip(*columns, strict=True))
        )
        write_table(folder / f"{session}.csv", ["frame", "seconds", *labels], rows)


def write_bouts(path: Path, found: Sequence[Bout], fps: float | None) -> None:
    """Write a row per bout: the frames [start, stop) of a session in which a motif lasts.

    Args:
        path: the file.
        found: the bouts.
        fps: frames per second; None: unknown.
    """
    header = ["session", "motif", "start", "stop", "frames", "start_seconds", "seconds"]
    rows = (
        [*bout, bout.frames, *((bout.start / fps, bout.frames / fps) if fps else (None, None))]
        for bout in found
    )
    write_table(path, header, rows)


def write_sessions(path: Path, rows: Sequence[Row], groups: Mapping[str, str] | None) -> None:
    """Write a row per session and motif.

    Args:
        path: the file.
        rows: the measures.
        groups: the group of each session; None: no groups.
    """
    header = ["session", "group", "motif", *MEASURES]
    write_table(path, header, ([row[0], (groups or {}).get(row[0]), *row[1:]] for row in rows))


def write_comparisons(path: Path, compared: Sequence[Comparison]) -> None:
    """Write a row per comparison: the means of the groups, p and the corrected p.

    Args:
        path: the file.
        compared: the comparisons.
    """
    names = list(compared[0].means) if compared else []
    header = ["measure", "motif", *(f"mean of {name}" for name in names), "p", "corrected_p"]
    rows = ([c.measure, c.motif, *c.means.values(), c.p, c.corrected] for c in compared)
    write_table(path, header, rows)
