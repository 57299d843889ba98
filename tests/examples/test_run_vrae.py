"""examples/run_vrae.py as a user runs it: whole, killed, resumed, on a user's own series."""

import json
import signal
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.commands import run, run_here, start
from vrae import VRAE, train
from vrae.config import VRAESettings

SCRIPT = Path(__file__).parents[2] / "examples" / "run_vrae.py"
SMALL = (
    "--csv=mine.csv",
    "--z_size=2",
    "--rnn_size=4",
    "--batch_size=4",
    "--num_epochs=3",
    "--annealing_epochs=2",
    "--teacher_forcing=0.5",
    "--deterministic",
    "--seed=1",
    "--picture_step=100",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(0)
    rows = ["sequence,x,y,z"]
    for i in range(12):
        rows += [
            f"{i},{a:.3f},{b:.3f},{c:.3f}"
            for a, b, c in rng.standard_normal((rng.integers(4, 9), 3))
        ]
    (folder / "mine.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    code, out, err = run_here(SCRIPT, "--run_name=whole", *SMALL, cwd=folder)
    assert code == 0, err
    return folder / "logs" / "whole_vrae", out


def test_a_run_leaves_what_a_user_looks_for(whole):
    folder, out = whole
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "metrics.jsonl",
        "model.keras",
        "checkpoints",
        "evaluation.json",
        "training_curves.png",
        "reconstruction_00002.png",
        "samples_00002.png",
        "interpolation_00002.png",
        "latent_space_00002.png",
    } <= names
    figures = json.loads((folder / "evaluation.json").read_text())
    assert {"elbo", "log_px", "kl", "active_units", "mutual_information"} <= set(figures)
    assert f"test ELBO {figures['elbo']:.2f}" in out
    model = keras.models.load_model(folder / "model.keras")
    assert isinstance(model, VRAE) and model.kl_weight == 1.0 and model.teacher_forcing == 0.5


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_weights(folder, whole):
    process, killed, end = (
        start(SCRIPT, "--run_name=killed", *SMALL, cwd=folder),
        folder / "logs" / "killed_vrae",
        time.monotonic() + 120,
    )
    while not list(killed.glob("checkpoints/step-*")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    code, _, err = run(SCRIPT, "--run_name=killed", "--resume", cwd=folder)
    assert code == 0, err
    models = [keras.models.load_model(path / "model.keras") for path in (whole[0], killed)]
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)


def test_series_are_cut_and_made_as_asked_for():
    assert train._series(VRAESettings(sequences=3)).sequences.shape[2] == 2
    assert train._series(VRAESettings(sequences=3, window=10)).sequences.shape[1:] == (10, 2)
    with pytest.raises(ValueError, match="--window: no series has 99 steps"):
        train._series(VRAESettings(sequences=3, window=99))
    with pytest.raises(ValueError, match="--csv, --npz: expected one of them"):
        train._series(VRAESettings(csv="a", npz="b"))
    for kind, weights in (("none", [1, 1]), ("linear", [0, 0.5]), ("cyclical", [0, 1])):
        schedule = train._schedule(VRAESettings(annealing=kind, annealing_epochs=2))
        assert [schedule(epoch) for epoch in range(2)] == weights
