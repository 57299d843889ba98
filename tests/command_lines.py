"""Command lines for `main` of the commands, run in this process: the rows, and what they leave in
the log.

A row of settings becomes a command line. In the slow tests every pair of two settings occurs in one
of the rows, and every pair of two places that settings in a list share, in which they take turns. A
row takes seconds to trace: the fast tests have one or a few of these.
"""

from pathlib import Path

import numpy as np
import pytest

from seqvae.training import RunLog
from tests.all_pairs import all_pairs, apart, sample


def in_turn(presets: dict) -> tuple:
    """Presets as a factor that needs no rows of its own."""
    return ([f"--preset={name}" if name else "" for name in presets],)


def every(factors: dict, rows: int, fast: tuple = (0,)) -> list:
    """The rows of all pairs of places, of which those at `fast` are fast; as slow ones also those
    of all pairs of settings, and `rows` drawn from their full product."""
    places, single = all_pairs(factors), apart(factors)
    slow = (
        [row for i, row in enumerate(places) if i not in fast]
        + all_pairs(single)
        + sample(single, rows)
    )
    return [places[i] for i in fast] + [pytest.param(row, marks=pytest.mark.slow) for row in slow]


def assert_every_setting_is_in_a_row(factors: dict) -> None:
    """In one of the slow tests or of the few fast ones."""
    rows = all_pairs(factors)
    for name, values in apart(factors).items():
        assert {row[name] for row in rows} == set(values), name


def train(script, arguments: str, folder: Path) -> list[dict]:
    """`main` of a command; the lines of its log."""
    print(f"python examples/{Path(script.__file__).name} {arguments}")  # shown where the test fails
    script.main(
        [
            script.__file__,
            *arguments.split(),
            "--run_name=run",
            f"--log_dir={folder}",
            "--display_step=1000",
        ]
    )
    (log,) = folder.glob("run_*/**/metrics.jsonl")
    lines = RunLog(log.parent, 1000).read()
    assert all(
        np.isfinite(value) for line in lines for value in line.values() if isinstance(value, float)
    )
    return lines
