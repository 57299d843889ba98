"""benchmarks/kvae_pendulum.py: its data, and its errors on a model that is not trained."""

from pathlib import Path

import keras
import numpy as np
import pytest

from kvae import KVAE
from seqvae.data import load, unit_pixels
from seqvae.physics import Split

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kvae_pendulum.py"


@pytest.fixture(scope="module")
def script(load_script):
    return load_script(SCRIPT)


def test_half_of_the_steps_are_kept_and_half_of_those_hidden(script):
    data, hidden = script.irregular(30, Split.TEST)
    assert data.frames.shape == (30, 100, 24, 24)
    np.testing.assert_array_equal(data.mask.sum(axis=1), 50)
    assert not hidden[:, :5].any() and not (hidden & ~data.observed).any()
    assert hidden.sum() / (data.mask[:, 5:].sum()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.slow
def test_errors_are_those_at_the_hidden_frames(script, tmp_path):
    path = script.write_data(tmp_path, 3, 3)
    test = load(path.with_name(f"{path.stem}_test.npz"))
    with np.load(test.source) as arrays:
        hidden = arrays["hidden"]
    assert not (hidden & test.observed).any()
    keras.utils.set_random_seed(0)
    model = KVAE((24, 24), num_filters=(2,), alpha_units=3)
    mean = load(path).mean_frame()
    errors = script.errors(model, test, hidden, mean)
    truth = unit_pixels(test.frames)[hidden]
    assert errors["mean_frame"] == pytest.approx(((mean - truth) ** 2).mean(), abs=1e-5)
    imputed = model.impute(test.frames, test.mask).smoothed.numpy()[hidden]
    assert errors["smoothed"] == pytest.approx(((imputed - truth) ** 2).mean(), abs=1e-5)
    assert errors["smoothed_mean"] <= errors["smoothed"] + 1e-3
