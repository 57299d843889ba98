"""benchmarks/worldmodels_speed.py at its smallest; the originals' graphs compute what ours do."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
def test_a_line_for_each_part():
    pytest.importorskip("Box2D")
    flags = ("--repeats=1", "--episodes=2,3", "--stream_batches=4", "--rows=8,16")
    flags += ("--generation_steps=2",)
    done = subprocess.run(
        [sys.executable, FOLDER / "worldmodels_speed.py", *flags],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    names = [
        "ConvVAE training step",
        "encode",
        "MDN-RNN training step",
        "dream",
        "rollouts in the dream",
        "a generation in the dream",
        "a generation in the dream",
        "world",
        "world",
        "world",
        "stream",
        "stream",
    ]
    assert [line["operation"] for line in lines] == names
    assert [line["frames_read"] for line in lines[-2:]] == [400, 400]


@pytest.fixture(scope="module")
def originals(load_script):
    return load_script(FOLDER / "worldmodels_originals.py")


@pytest.mark.slow
def test_the_originals_graphs_learn(originals):
    rng = np.random.default_rng(0)
    step = originals.mdn_rnn_step(2, 5, z_size=3, action_size=2, units=4, mixtures=2)
    z, actions = (rng.standard_normal((2, 6, size)).astype(np.float32) for size in (3, 2))
    costs = [step(z, actions) for _ in range(30)]
    assert 1.0 < costs[0] < 3.0 and costs[-1] < costs[0]
    frames = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    step = originals.conv_vae_step(2)
    losses = [step(frames) for _ in range(3)]
    assert (
        800 < losses[0] < 1600 and losses[-1] < losses[0]
    )  # a quarter of 12288 / 3 for uniform noise, and the KL
