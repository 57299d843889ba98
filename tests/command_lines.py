"""Command lines for `main` of the commands, run in this process: the rows, and what they leave in the log.

A row of settings becomes a command line. In the slow tests every pair of two settings occurs in one of the rows. A row
takes seconds to trace, so that in the fast tests settings in a list share a place and take turns in it: there every pair of
two places occurs, and every setting.
"""

from pathlib import Path

import numpy as np
import pytest

from seqvae.training import RunLog
from tests.all_pairs import all_pairs, apart, sample


def in_turn(presets: dict) -> tuple:
    """Presets as a factor that needs no rows of its own in the fast tests."""
    return ([f"--preset={name}" if name else "" for name in presets],)


def every(factors: dict, rows: int) -> list:
    """The fast rows, and as slow ones the pairs of all settings and `rows` drawn from their full product."""
    single = apart(factors)
    slow = [*all_pairs(single), *sample(single, rows)]
    return [*all_pairs(factors), *(pytest.param(row, marks=pytest.mark.slow) for row in slow)]


def assert_every_setting_is_in_a_fast_row(factors: dict) -> None:
    rows = all_pairs(factors)
    for name, values in apart(factors).items():
        assert {row[name] for row in rows} == set(values), name


def train(script, arguments: str, folder: Path) -> list[dict]:
    """`main` of a command; the lines of its log."""
    print(f"python examples/{Path(script.__file__).name} {arguments}")  # shown where the test fails
    script.main([script.__file__, *arguments.split(), "--run_name=run", f"--log_dir={folder}", "--display_step=1000"])
    (log,) = folder.glob("run_*/**/metrics.jsonl")
    lines = RunLog(log.parent, 1000).read()
    assert all(np.isfinite(value) for line in lines for value in line.values() if isinstance(value, float))
    return lines
