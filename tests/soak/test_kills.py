"""A short form of kills.py: two kills of each command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ("run_kvae", "run_convvae", "run_mdnrnn", "run_vrae", "run_vame")
)
def test_runs_killed_at_random_moments_end_with_the_same_weights(tmp_path, command):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.soak.kills",
            f"--commands={command}",
            "--kills=2",
            "--seed=4",
            f"--out={tmp_path / 'kills.json'}",
        ],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "kills.json").read_text())
    assert found == {
        "command": command,
        "kills": 2,
        "runs": found["runs"],
        "resumes_failed": 0,
        "runs_that_differed": 0,
    }
