"""The notebook on frames that do not fit, run as it stands."""

import runpy
from pathlib import Path

import matplotlib as mpl

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "odd_frames.py"


def test_a_jump_and_a_frame_of_noise_are_found():
    mpl.use("agg")
    found = runpy.run_path(str(NOTEBOOK))
    jump, noise = found["JUMP"], found["NOISE"]
    assert found["strange"][:, noise].all()
    assert not found["strange"][:, :noise].any()
    assert found["jumped"][:, jump].mean() > 0.9
    assert not found["jumped"][:, :jump].any()
