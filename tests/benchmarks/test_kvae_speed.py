"""benchmarks/kvae_speed.py at its smallest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kvae_speed.py"


@pytest.mark.slow
def test_a_line_for_each_operation_of_the_state_space_model():
    flags = ("--parts=lgssm", "--batches=2", "--steps=6", "--repeats=1")
    done = subprocess.run(
        [sys.executable, SCRIPT, *flags], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["operation"] for line in lines] == [
        "log p(a)",
        "log p(a) and gradients",
        "smoother",
        "imputation",
        "ten posterior draws",
    ]
    for line in lines:
        assert (line["batch"], line["steps"]) == (2, 6)
        assert (
            min(
                line[f"{name} ms"]
                for name in ("ours, plain", "ours, xla", "TFP, plain", "TFP, xla")
            )
            > 0
        )
