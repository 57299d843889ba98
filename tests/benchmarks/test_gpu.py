"""benchmarks/gpu.py at its smallest, on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def lines(*flags):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--tiny", "--repeats=1", *flags],
        capture_output=True,
        text=True,
        timeout=900,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.mark.slow
def test_a_line_for_each_operation():
    found, _ = lines("--devices=cpu", "--parts=kvae,world,vame,vrae")
    times = {line["operation"]: line["cpu"] for line in found if line["operation"].endswith(" ms")}
    assert min(times.values()) > 0
    for part in ("step, demo", "smooth", "impute", "ConvVAE", "MDN-RNN", "VAME", "VRAE"):
        assert any(part in name for name in times), part


@pytest.mark.slow
def test_float32_agrees_with_float64():
    found, _ = lines("--devices=cpu", "--parts=agree")
    assert len(found) == 22
    assert max(line["cpu"] for line in found) < 1e-4


@pytest.mark.slow
def test_without_a_gpu_it_says_so():
    found, said = lines("--devices=gpu", "--parts=vame")
    assert not found and "TensorFlow finds no GPU. Use --devices=cpu." in said
