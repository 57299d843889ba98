"""benchmarks/streaming.py and scaling.py at their smallest."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


def lines(script, *flags):
    done = subprocess.run(
        [sys.executable, FOLDER / script, *flags], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_streaming_reads_every_sequence_and_trains():
    small = ("--sizes=40,80", "--shard_size=20", "--distinct=2", "--seconds=1", "--num_filters=2,2")
    first, second, train = lines("streaming.py", *small)
    assert [(line["what"], line["sequences"], line["shards"]) for line in (first, second)] == [
        ("read", 40, 2),
        ("read", 80, 4),
    ]
    assert train["what"] == "train" and train["steps"] > 0 and 0.0 <= train["waiting_share"] < 1.0


@pytest.mark.slow
def test_scaling_has_a_line_for_each_number_of_replicas():
    found = lines("scaling.py", "--models=mdnrnn", "--replicas=1,2", "--steps=2")
    assert [(line["replicas"], line["strategy"]) for line in found] == [
        (1, "mirrored"),
        (2, "mirrored"),
    ]
    assert found[0]["sum_share"] == 0.0 and 0.0 <= found[1]["sum_share"] < 1.0


def test_sizes_that_are_no_multiple_of_a_shard_are_refused():
    done = subprocess.run(
        [sys.executable, FOLDER / "streaming.py", "--sizes=1501"], capture_output=True, text=True
    )
    assert (
        done.returncode == 1
        and "--sizes: expected multiples of --shard_size=200, got 1501" in done.stderr + done.stdout
    )
