"""Series from tables: `.csv` files, and `.ts` files of the UCR and UEA archives. Changes to a
column are reported; errors name the line and the column.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqvae.data.series import Series, pad, padded_times
from seqvae.files import atomic_write

IDS = ("sequence", "sequence_id", "series", "series_id", "id")
LABELS = ("label", "class")
TIMES = ("time", "timestamp", "date", "datetime")
_INDEX = ("", "index", "unnamed: 0")
_MISSING = ("", "nan", "na", "n/a", "null", "none", "?")
_SEPARATORS = (",", ";", "\t")
_FAR = 1e5  # |mean| / deviation at which float32 (7 digits) keeps two digits of a deviation


class Table(NamedTuple):
    """The result of `read_table`."""

    series: Series
    """The series."""
    notes: list[str]
    """A sentence for each change to the columns."""
    times: np.ndarray | None = None
    """[N, T] float64, the time of each step, also where the steps are even; None: no such column.
    The last time is repeated in the padding."""
    dated: bool = False
    """Whether the times were dates, and are now seconds since 1970."""
    id_name: str | None = None
    """The name of the column of ids; None: no such column."""
    time_name: str | None = None
    """The name of the column of times; None: no such column."""


def read_csv(path: str | Path) -> Series:
    """Read the series of a CSV with a header, as `read_table`.

    Args:
        path: the file.

    Returns:
        The series.
    """
    return read_table(path).series


def read_table(
    path: str | Path,
    *,
    id: str = "",
    label: str = "",
    time: str = "",
    drop: Sequence[str] = (),
    features: Sequence[str] | None = None,
) -> Table:
    """Read a CSV with a header and a row for each step of a series.

    Names of columns are matched without regard to case. Separators are commas, semicolons (with
    decimal commas) or tabs; blank lines are skipped; an empty cell, `NA` or `NaN` is a missing
    number. "none" as `id`, `label` or `time` states that there is no such column.

    Args:
        path: the file.
        id: the column with the series that a row belongs to; "": one of `sequence`,
            `sequence_id`, `series`, `series_id`, `id`; without one the file is a single series.
        label: the column of a series' label, numbers or words; "": one of `label`, `class`.
        time: the column by which the rows of a series are sorted, numbers or ISO dates; "": one of
            `time`, `timestamp`, `date`, `datetime`.
        drop: columns to leave out.
        features: the columns to read as features, in this order; None: all columns that are neither
            dropped nor `id`, `label` or `time`. If they are given, the columns `id`, `label` and
            `time` may be missing.

    Returns:
        The series, their times, and a sentence for each change to the columns.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: no rows, a column of words, a time that occurs twice in a series, or a series
            with two labels. The message names the line and the column.
    """
    path = Path(path)
    names, lines, decimal_comma = _rows(path)
    notes: list[str] = []
    columns = _Columns(path, names, lines, notes, "," if decimal_comma else "")
    dropped = [columns.find("--drop", name) for name in drop]
    roles = (("--id", id, IDS), ("--label", label, LABELS), ("--time", time, TIMES))
    of_id, of_label, of_time = (
        columns.role(flag, name, usual, dropped, optional=features is not None)
        for flag, name, usual in roles
    )
    flags = ("--drop",) * len(dropped) + tuple(flag for flag, *_ in roles)
    _check_roles(columns, zip(flags, (*dropped, of_id, of_label, of_time), strict=True))
    if features is None:
        taken = [*dropped, *(i for i in (of_id, of_label, of_time) if i is not None)]
        taken += columns.index(taken)
        chosen = [i for i in range(len(names)) if i not in taken]
    else:
        chosen = [columns.find("features of the run", name) for name in features]
    if not chosen:
        raise ValueError(f"{path}: expected at least one column of numbers, got {names}.")
    values = np.stack([columns.numbers(i) for i in chosen], axis=1)
    _check_offsets(path, values, [names[i] for i in chosen])
    groups = columns.groups(of_id)
    if of_id is None:
        notes.append(
            f"no column names the series (--id): the {len(lines)} rows are one series of "
            f"{len(chosen)} features."
        )
    times = None if of_time is None else columns.times(of_time)
    order = {key: _in_order(path, rows, times, columns, key) for key, rows in groups.items()}
    if times is not None and of_time is not None:
        _note_times(times, groups, order, names[of_time], notes)
    even = times is None or are_even(times, order.values())
    try:
        series = pad(
            [values[rows] for rows in order.values()],
            None if of_label is None else columns.labels(of_label, groups),
            ids=None if of_id is None else np.array(list(groups)),
            names=tuple(names[i] for i in chosen),
            times=None if even or times is None else [times[rows] for rows in order.values()],
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    notes += _counting_notes(series) + _missing_note(series)
    each_times = None if times is None else [times[rows] for rows in order.values()]
    named = [None if i is None else names[i] for i in (of_id, of_time)]
    padded = padded_times(each_times, series.mask.shape[1])
    return Table(series, notes, padded, columns.dated, *named)


class _Columns:
    """The cells of a table, and their conversion."""

    def __init__(self, path: Path, names, lines, notes, decimal: str):
        self.path, self.names, self.lines, self.notes = path, names, lines, notes
        self.dated = False
        self._decimal = decimal

    def cells(self, column: int) -> list[str]:
        return [row[column].strip() for _, row in self.lines]

    def find(self, flag: str, name: str) -> int:
        """The column of a name."""
        lower = [n.lower() for n in self.names]
        if name.lower() not in lower:
            raise ValueError(
                f"{flag}: expected one of the columns {', '.join(self.names)} of {self.path}, got "
                f"{name!r}."
            )
        return lower.index(name.lower())

    def role(
        self, flag: str, name: str, usual: tuple[str, ...], dropped: list[int], optional: bool
    ) -> int | None:
        """The column of a role: the requested one, or the one with a usual name; None: none."""
        lower = [n.lower() for n in self.names]
        if name.lower() == "none" or (optional and name and name.lower() not in lower):
            return None
        if name:
            return self.find(flag, name)
        found = [i for i, n in enumerate(lower) if n in usual and i not in dropped]
        if len(found) > 1:
            raise ValueError(
                f"{self.path}: {' and '.join(self.names[i] for i in found)} may each be the column "
                f"of {flag}. Choose one ({flag}=NAME), and drop the others (--drop)."
            )
        if found and self.names[found[0]].lower() not in ("sequence", "label"):
            self.notes.append(f"column {self.names[found[0]]!r} is read as {flag}.")
        return found[0] if found else None

    def index(self, taken: list) -> list[int]:
        """The first column if it only numbers the rows, as pandas writes it; [] otherwise."""
        if 0 in taken or self.names[0].lower() not in (*_INDEX, "column 1"):
            return []
        rows = [cell.removesuffix(".0") for cell in self.cells(0)]
        if not any(rows == [str(i + k) for i in range(len(rows))] for k in (0, 1)):
            return []
        self.notes.append(f"column {self.names[0]!r} numbers the rows and is left out.")
        return [0]

    def number(self, text: str) -> float:
        if text.lower() in _MISSING:
            return np.nan
        return float(text.replace(",", ".") if self._decimal else text)

    def numbers(self, column: int) -> np.ndarray:
        """A column of features."""
        numbers = np.empty(len(self.lines))
        for i, (line, row) in enumerate(self.lines):
            try:
                numbers[i] = self.number(row[column].strip())
            except ValueError:
                self._refuse_words(column, line, row[column].strip())
            if np.isinf(numbers[i]):
                raise ValueError(
                    f"{self.path}, line {line}: column {self.names[column]!r}: expected a finite "
                    f"number, got {row[column].strip()!r}. Leave the cell empty where it is "
                    "missing."
                )
        if np.isnan(numbers).all():
            raise ValueError(
                f"{self.path}: column {self.names[column]!r} is empty. Leave it out: "
                f"--drop={self.names[column]}"
            )
        return numbers

    def _refuse_words(self, column: int, line: int, text: str):
        name = self.names[column]
        try:
            _date(text)
            kind, cure = "a date", f"--time={name}, or --drop={name}"
        except ValueError:
            kind, cure = "a word", f"--label={name}, --id={name} or --drop={name}"
        raise ValueError(
            f"{self.path}, line {line}: column {name!r}: expected numbers, got {kind}, {text!r}. "
            f"Correct it, or use {cure}."
        ) from None

    def groups(self, column: int | None) -> dict[str, np.ndarray]:
        """The rows of each series by its id, in the file's order."""
        if column is None:
            return {"": np.arange(len(self.lines))}
        groups: dict[str, list[int]] = {}
        for i, key in enumerate(self.cells(column)):
            if not key:
                raise ValueError(
                    f"{self.path}, line {self.lines[i][0]}: column {self.names[column]!r}: "
                    "expected the series' id, got an empty cell."
                )
            groups.setdefault(key, []).append(i)
        if len(groups) == len(self.lines) > 1:
            raise ValueError(
                f"{self.path}: every row has an {self.names[column]!r} of its own, so every series "
                "would have one step. If it numbers the rows, use --id=none "
                f"--drop={self.names[column]}."
            )
        return {key: np.array(rows) for key, rows in groups.items()}

    def times(self, column: int) -> np.ndarray:
        """Numbers as they are, dates in seconds."""
        times = np.empty(len(self.lines))
        for i, (line, row) in enumerate(self.lines):
            text = row[column].strip()
            try:
                times[i] = self.number(text)
            except ValueError:
                try:
                    times[i], self.dated = _date(text), True
                except ValueError:
                    times[i] = np.nan
            if not np.isfinite(times[i]):
                name = self.names[column]
                raise ValueError(
                    f"{self.path}, line {line}: column {name!r}: expected a number or a date such "
                    f"as 2024-05-31 12:00, got {text!r}. Correct it, or use --time=none "
                    f"--drop={name}."
                )
        return times

    def labels(self, column: int, groups: dict[str, np.ndarray]) -> np.ndarray:
        """One label per series: numbers if all labels are numbers."""
        cells, values = self.cells(column), []
        for key, rows in groups.items():
            found = {cells[i] for i in rows} - {""}
            name = self.names[column]
            if len(found) != 1:
                got = f"{', '.join(sorted(found)[:3])}" if found else "none"
                raise ValueError(
                    f"{self.path}: column {name!r}: expected one label a series, got {got} in the "
                    f"series {key!r} (from line {self.lines[rows[0]][0]}). Name the column of the "
                    f"series (--id), or use --label=none --drop={name}."
                )
            values += found
        try:
            return np.array([self.number(text) for text in values])
        except ValueError:
            return np.array(values)


def _check_roles(columns: _Columns, chosen: Iterable[tuple[str, int | None]]) -> None:
    """Check that no two flags name the same column."""
    flags: dict[int, str] = {}
    for flag, i in chosen:
        if i is not None and flags.setdefault(i, flag) != flag:
            raise ValueError(
                f"{flags[i]}, {flag}: expected different columns, got {columns.names[i]!r} for "
                "both. Leave one of them out."
            )


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]], bool]:
    """The names of the columns, the rows with their line numbers, and whether a comma is the
    decimal point.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # Excel begins a file with a byte-order mark
        head = next((line for line in text.splitlines() if line.strip()), "")
        separator = max(_SEPARATORS, key=head.count)
        reader = csv.reader(text.splitlines(), delimiter=separator)
        rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable CSV file in UTF-8 ({error}).") from error
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    rows = [(line, row) for line, row in rows if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        raise ValueError(f"{path}: expected a line of names and at least one of numbers.")
    names = [name.strip() or f"column {i + 1}" for i, name in enumerate(rows[0][1])]
    twice = [name for name, n in Counter(name.lower() for name in names).items() if n > 1]
    if twice:
        raise ValueError(
            f"{path}: expected columns of different names, got {', '.join(twice)} more than once. "
            "Rename them."
        )
    if all(_is_number(name) for name in rows[0][1]):
        raise ValueError(
            f"{path}: expected the names of the columns in the first line, got numbers: "
            f"{', '.join(names[:4])}. Write a line of names above them."
        )
    for line, row in rows[1:]:
        if len(row) != len(names):
            raise ValueError(
                f"{path}, line {line}: expected {len(names)} values, got {len(row)}: {row}."
            )
    return names, rows[1:], separator == ";"


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _date(text: str) -> float:
    """Seconds since 1970 of an ISO date. A date without a time zone is read as UTC, which has no
    summer time.
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _in_order(path, rows, times, columns: _Columns, key: str) -> np.ndarray:
    """The rows of a series by time."""
    if times is None:
        return rows
    order = rows[np.argsort(times[rows], kind="stable")]
    same = np.flatnonzero(np.diff(times[order]) == 0)
    if len(same):
        first, second = (columns.lines[order[same[0] + k]][0] for k in (0, 1))
        raise ValueError(
            f"{path}: lines {first} and {second} of the series {key!r} have the same time. "
            "Name the column that distinguishes the series (--id), or remove one of the lines."
        )
    return order


def _note_times(times, groups, order, name: str, notes: list[str]) -> None:
    moved = sum(bool((groups[key] != order[key]).any()) for key in groups)
    if moved:
        notes.append(f"the rows of {moved} series are not in the order of {name!r}: sorted by it.")
    if not are_even(times, order.values()):
        gaps = np.concatenate([np.diff(times[rows]) for rows in order.values()])
        notes.append(
            f"the steps of {name!r} are uneven, from {gaps.min():g} to {gaps.max():g}"
            f"{'' if gaps.max() < 1e5 else ' s'}."
        )


def are_even(times: np.ndarray, series: Iterable[np.ndarray]) -> bool:
    """Whether all steps are of one length, up to a thousandth.

    Args:
        times: [rows], of all series.
        series: for each series the indices of its rows, in the order of time.

    Returns:
        Whether they are; True if no series has two rows.
    """
    gaps = [np.diff(times[rows]) for rows in series if len(rows) > 1]
    if not gaps:
        return True
    gaps = np.concatenate(gaps)
    return bool(np.ptp(gaps) <= 1e-3 * np.median(gaps))


def _check_offsets(path: Path, values: np.ndarray, names: list[str]) -> None:
    """Check that float32, the type of the models, can represent the deviations of each column."""
    for k, name in enumerate(names):
        deviation, mean = float(np.nanstd(values[:, k])), float(np.nanmean(values[:, k]))
        if 0 < deviation * _FAR < abs(mean):
            raise ValueError(
                f"{path}: column {name!r} has the mean {mean:.6g} and the deviation "
                f"{deviation:.3g}: float32 would lose its digits. Subtract the mean from it first, "
                f"or leave it out: --drop={name}"
            )


def _counting_notes(series: Series) -> list[str]:
    """Notes on features that grow by the same amount at every step, as times and row numbers do."""
    notes = []
    for k, name in enumerate(series.feature_names()):
        gaps = np.concatenate(
            [
                np.diff(row[:end, k])
                for row, end in zip(series.sequences, series.lengths(), strict=True)
            ]
        )
        if len(gaps) > 2 and gaps[0] != 0 and np.ptp(gaps) <= 1e-3 * abs(gaps[0]):
            notes.append(
                f"column {name!r} grows evenly and is read as a feature: use --time={name} if it "
                f"is the time, --drop={name} if it numbers the rows."
            )
    return notes


def _missing_note(series: Series) -> list[str]:
    missing = series.missing().sum(axis=(0, 1))
    if not missing.any():
        return []
    total = int(series.lengths().sum()) * series.sequences.shape[-1]
    each = ", ".join(
        f"{name} {n}" for name, n in zip(series.feature_names(), missing, strict=True) if n
    )
    return [f"{int(missing.sum())} of {total} numbers are missing ({each})."]


def read_ts(path: str | Path) -> Series:
    """Read a `.ts` file of the UCR and UEA archives.

    Series have one or several channels and may differ in length; `?` is a missing number; labels
    are the classes' names.

    Args:
        path: the file.

    Returns:
        The series.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: another format; the message names the line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file.") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a readable .ts file in UTF-8 ({error}).") from error
    header = [line.strip().lower() for line in lines if line.startswith("@")]
    if "@data" not in header:
        raise ValueError(f"{path}: expected a .ts file with the line @data, got none.")
    if "@timestamps true" in header:
        raise ValueError(f"{path}: expected a .ts file without time stamps, got @timeStamps true.")
    labelled = any(line.startswith("@classlabel true") for line in header)
    begin = next(i for i, line in enumerate(lines) if line.strip().lower() == "@data") + 1
    sequences, labels = [], []
    for number, line in enumerate(lines[begin:], begin + 1):
        if not line.strip() or line.startswith("#"):
            continue
        channels = line.strip().split(":")
        if labelled:
            labels.append(channels.pop().strip())
        try:
            sequences.append(_channels(channels))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: expected numbers ({error}).") from error
    try:
        return pad(sequences, np.array(labels) if labelled else None)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _channels(channels: list[str]) -> np.ndarray:
    """[T, channels]; the end of a shorter channel is missing."""
    rows = [
        np.array([np.nan if v.strip() == "?" else float(v) for v in each.split(",")])
        for each in channels
    ]
    steps = max(map(len, rows))
    columns = [np.pad(row, (0, steps - len(row)), constant_values=np.nan) for row in rows]
    return np.stack(columns, axis=1).astype(np.float32)


def write_table(path: Path, head: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Write a CSV atomically.

    Args:
        path: the file.
        head: the names of the columns.
        rows: the cells of each row.
    """
    with atomic_write(path) as part, open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
