"""benchmarks/play_speed.py at its smallest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "play_speed.py"


@pytest.mark.slow
def test_a_line_for_each_view():
    pytest.importorskip("starlette")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--answers=3"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["view"] for line in lines] == ["imputation", "dream"]
    assert all(0 < line["median_ms"] <= line["p95_ms"] for line in lines)
