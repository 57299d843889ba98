"""What the Kalman VAE refuses in batches: from arrays before anything is traced, from a pipeline
when a batch is read."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import kvae
from seqvae import checks
from seqvae.training.checked_data import checked

X = (np.random.default_rng(0).random((4, 3, 8, 8)) > 0.7).astype(np.float32)
MASK = np.array([[1, 1, 0]] * 4, np.float32)
CONTROLS = np.zeros((4, 3, 2), np.float32)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3, dim_u=2)
    model.compile("sgd")
    return model


def changed(value, at, new):
    value = value.copy()
    value[at] = new
    return value


def read(model, batch):
    """All batches of two, read as `fit` reads them."""
    with checks.as_value_errors():
        for _ in checked(tf.data.Dataset.from_tensor_slices(batch).batch(2), model._check_data):
            pass


CASES = [
    ({"frames": changed(X, 3, np.nan)}, "frames: NaN in an observed frame of {}. Pass a mask"),
    (
        {"frames": changed(X, (3, 1), np.nan), "mask": MASK},
        "frames: NaN in an observed frame of {}. Pass a mask",
    ),
    ({"frames": 255 * X}, "frames: expected values in [0, 1], got 0 to 255 in sequence 0"),
    ({"frames": X - 0.5}, "frames: expected values in [0, 1], got -0.5 to 0.5 in sequence 0"),
    (
        {"frames": changed(X, 3, 7.0)},
        "frames: expected values in [0, 1], got 0 to 7 in {}. Divide by the largest",
    ),
    ({"frames": changed(X, 0, np.inf)}, "frames: expected values in [0, 1], got 0 to inf"),
    (
        {"frames": X, "mask": 2 * MASK},
        "mask: expected only 1 (observed) and 0 (missing), got another value in sequence 0",
    ),
    (
        {"frames": X, "mask": 0 * MASK},
        "mask: no frame is observed. 1 means observed, 0 missing (TFP's masks",
    ),
    ({"frames": X, "mask": MASK[:, :2]}, "mask: expected the shape"),
    ({"frames": X, "controls": changed(CONTROLS, 3, np.nan)}, "controls: NaN or infinity in {}"),
    ({"frames": X, "controls": CONTROLS[..., :1]}, "controls: expected the shape"),
    ({"frames": X[:, 0]}, "frames: expected the shape [B, T, 8, 8]"),
    (
        {"frames": X.astype(np.int32)},
        "frames: expected uint8, bool, or floats in [0, 1], got int32",
    ),
    (
        {"frames": X, "control": CONTROLS},
        "control: unknown in a batch, which may have frames, mask, controls, codes",
    ),
    ({"mask": MASK}, "frames: missing in a batch of mask"),
    ({"codes": X[..., 0], "variance": X[..., :2, 0]}, "codes: expected the shape [B, T, 2]"),
    ({"codes": changed(X[..., :2, 0], 3, np.nan)}, "codes: NaN or infinity in {}"),
    (
        {"codes": X[..., :2, 0], "variance": -1 - X[..., :2, 0]},
        "variance: expected numbers of at least 0",
    ),
]


@pytest.mark.parametrize(("batch", "message"), CASES)
def test_arrays_and_pipelines_are_refused_alike(model, batch, message):
    with pytest.raises(ValueError) as error:
        model.fit(batch, batch_size=2, verbose=0)
    assert message.format("sequence 3") in str(error.value)
    with pytest.raises(ValueError) as error:
        read(model, batch)
    assert message.format("sequence 1 of batch 1") in str(error.value)


def test_nan_in_missing_frames_and_every_type_of_pixels_pass(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(
            model,
            {
                "frames": np.where(MASK[..., None, None] > 0, X, np.nan).astype(np.float32),
                "mask": MASK,
            },
        )
        read(
            model,
            {"frames": (255 * X).astype(np.uint8), "mask": MASK.astype(bool), "controls": CONTROLS},
        )
        read(model, {"frames": X.astype(bool)})
        read(model, {"frames": np.zeros_like(X, np.uint8)})  # black may be black
        read(model, {"frames": X.astype(np.float64), "sample_weight": np.ones(4)})


def test_frames_of_0_and_1_as_uint8_bring_a_warning_that_says_what_was_read(model):
    frames = X.astype(np.uint8)
    for use in (
        lambda: model.encode(frames),
        lambda: model.impute(frames, MASK),
        lambda: read(model, {"frames": frames}),
    ):
        with pytest.warns(
            UserWarning,
            match="expected uint8 from 0 to 255, got no value above 1, which is nearly black",
        ):
            use()
