"""The series that the wheel of aeon holds, or those of an installed aeon or sktime."""

import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from seqvae.data.tables import read_ts
from vrae.archive import read_set
from vrae.data import Series

_FOLDER = "aeon/datasets/data"


def load(wheel: str, name: str) -> tuple[Series, Series]:
    """Read the training and test series of a set, in their units.

    Args:
        wheel: path of aeon's wheel; "": the installed package.
        name: name of the set.

    Returns:
        Training and test series.
    """
    if not wheel:
        return read_set(name)
    with zipfile.ZipFile(wheel) as file, TemporaryDirectory() as folder:
        parts = ("TRAIN", "TEST")
        paths = [file.extract(f"{_FOLDER}/{name}/{name}_{part}.ts", folder) for part in parts]
        return read_ts(paths[0]), read_ts(paths[1])


def labelled_series(wheel: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read a series with labels of anomalies from aeon's wheel.

    Args:
        wheel: path of the wheel.
        name: name of the `.csv`, without its ending.

    Returns:
        Values [T], and labels [T], 1 for an anomaly.
    """
    with zipfile.ZipFile(wheel) as file, file.open(f"{_FOLDER}/{name}.csv") as table:
        rows = np.genfromtxt(table, delimiter=",", skip_header=1)
    return rows[:, 1], rows[:, 2]


def rows_of(path: Path) -> list[str]:
    """Read the lines of a file of results.

    Args:
        path: the file.

    Returns:
        The lines; none if the file does not exist.
    """
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
