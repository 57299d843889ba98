"""benchmarks/kvae_kills.py, with three kills in place of a hundred."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kvae_kills.py"


@pytest.mark.slow
def test_runs_killed_at_random_moments_end_as_if_they_had_not_been(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills=3", "--seed=4", f"--out={tmp_path / 'kills.json'}"],
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "kills.json").read_text())
    assert found["kills"] == 3
    assert (found["resumes_failed"], found["runs_that_differed"]) == (0, 0)
