"""Settings for reading series from a table or an `.npz`, and the reading."""

from typing import Any

from seqvae.commands.settings import Affects, Settings, group, setting
from seqvae.data.series import Series, in_windows, read_npz
from seqvae.data.tables import Table, read_table


@group("Series from a file")
class TableSettings(Settings):
    """Settings of a file of series."""

    csv: str = setting("", "a CSV with a header: a row for each step, a column for each feature")
    npz: str = setting("", "an .npz: `sequences` [N, T, features], `mask` [N, T], `labels` [N]")
    id: str = setting(
        "", "column that names the series of each row (default: `sequence`, `id`, ...)"
    )
    label: str = setting(
        "", "column of the labels of series (default: `label`, `class`); none: no labels"
    )
    time: str = setting(
        "", "column by which rows are sorted (default: `time`, `date`, ...); none: as in the file"
    )
    drop: str = setting("", "columns to leave out, with commas between")
    window: int = setting(
        0,
        "cut every series into windows of this number of steps; 0: whole series",
        affects=Affects.TRAINING,
    )
    stride: int = setting(
        0, "steps between the beginnings of windows; 0: the window", affects=Affects.TRAINING
    )


def check_files(s: Any) -> None:
    """Check that at most one file is given, and that flags of columns are given only with a table.

    Args:
        s: the settings.

    Raises:
        ValueError: both --csv and --npz, or a flag of columns without --csv.
    """
    if s.csv and s.npz:
        raise ValueError("--csv, --npz: expected one of them, got both.")
    given = [f"--{name}" for name in ("id", "label", "time", "drop") if getattr(s, name)]
    if given and not s.csv:
        raise ValueError(f"{', '.join(given)}: expected --csv with it, got none.")


def read_file(s: Any) -> Table:
    """Read the series of --csv or --npz.

    Args:
        s: `TableSettings`. If it has `features`, only these columns of a table are read as
            features.

    Returns:
        The series with their times, and a sentence for each change to the columns.
    """
    if s.npz:
        series = read_npz(s.npz)
        return Table(series, [], series.times)
    table = read_table(
        s.csv,
        id=s.id,
        label=s.label,
        time=s.time,
        drop=[name.strip() for name in s.drop.split(",") if name.strip()],
        features=getattr(s, "features", None),
    )
    return table._replace(notes=[f"{s.csv}: {note}" for note in table.notes])


def windows_of(s: Any, series: Series) -> tuple[Series, list[str]]:
    """Cut series into windows if --window is given.

    Args:
        s: `TableSettings`.
        series: the series.

    Returns:
        The series or windows, and sentences on what is left out: series that are too short, and
        windows without an observed number.

    Raises:
        ValueError: --stride without --window, or no series is long enough.
    """
    if s.stride and not s.window:
        raise ValueError(f"--stride: expected --window with it, got --stride={s.stride}.")
    if not s.window:
        return series, []
    cut, short = in_windows(series, s.window, s.stride)
    notes = []
    if short:
        named = ", ".join(short[:5]) + (", ..." if len(short) > 5 else "")
        notes.append(
            f"{len(short)} series are shorter than a window and left out (series {named})."
        )
    lengths, stride = series.lengths(), s.stride or s.window
    empty = int(((lengths - s.window) // stride + 1)[lengths >= s.window].sum()) - len(cut.mask)
    if empty:
        notes.append(f"windows without an observed number, which are left out: {empty}.")
    return cut, notes
