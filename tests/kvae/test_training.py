"""Training on codes: what the encoder gave, without the convolutions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kvae
from kvae.data import encoded
from kvae.lgssm import closed_loop
from seqvae.data import Sequences
from tests.tolerances import SAME_FLOAT32


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3, dim_u=2)


def sequences(dtype=np.uint8, **more):
    frames = (np.random.default_rng(0).random((5, 4, 8, 8)) < 0.3).astype(dtype)
    return Sequences(frames * dtype(255) if dtype == np.uint8 else frames, **more)


def test_sequences_are_encoded_with_their_masks_and_controls(model):
    mask, controls = np.ones((5, 4), np.float32), np.ones((5, 4, 2), np.float32)
    mask[2, 1] = 0
    found = encoded(model, sequences(mask=mask, controls=controls), batch_size=2)
    q = model.encode(sequences().frames)
    np.testing.assert_allclose(found["codes"], q.mean(), **SAME_FLOAT32)
    np.testing.assert_allclose(found["variance"], q.variance(), **SAME_FLOAT32)
    np.testing.assert_array_equal(found["mask"], mask)
    np.testing.assert_array_equal(found["controls"], controls)
    assert set(encoded(model, sequences())) == {"codes", "variance"}


def test_missing_frames_of_nan_are_encoded_without_harm(model):
    data = sequences(np.float32, mask=np.array([[1, 0, 1, 1]] * 5))
    data.frames[:, 1] = np.nan
    assert np.isfinite(encoded(model, data)["codes"]).all()


@pytest.mark.parametrize("bound", ["marginal", "sampled"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.eager
def test_the_loss_of_codes_is_the_bound_at_a_draw_of_them(bound, masked):
    keras.utils.set_random_seed(1)
    model = kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3, bound=bound, init_kf_matrices=0.5)
    codes = np.random.default_rng(1).normal(size=(3, 4, 2)).astype(np.float32)
    batch = {"codes": codes, "variance": np.zeros_like(codes)}
    if masked:
        batch["mask"] = np.array([[1, 0, 1, 1]] * 3, np.float32)
    loss_terms = tf.function(model.loss_terms, autograph=False)
    terms = loss_terms(batch, seed=tf.constant([1, 2]))
    assert terms._fields == ("lgssm",)
    np.testing.assert_allclose(model.objective(terms), -terms.lgssm)
    if bound == "marginal":  # the other draws z
        expected = model.lgssm_bound(codes, batch.get("mask")).total
        np.testing.assert_allclose(terms.lgssm, expected, **SAME_FLOAT32)
    moved = loss_terms(batch | {"variance": np.full_like(codes, 0.5)}, seed=tf.constant([1, 2]))
    assert moved.lgssm != terms.lgssm


@pytest.mark.slow
def test_long_sequences_train_by_xla_with_the_same_loss_and_gradients(model, monkeypatch):
    codes = np.random.default_rng(2).normal(size=(2, 6, 2)).astype(np.float32)
    batch = {"codes": tf.constant(codes), "variance": tf.zeros(codes.shape)}
    weights = [v.value for v in model.variable_groups["lgssm"] + model.variable_groups["dynamics"]]

    def loss_and_gradients():
        @tf.function(autograph=False)
        def compute():
            with tf.GradientTape() as tape:
                loss = model.objective(model.loss_terms(batch, seed=tf.constant([0, 0])))
            return loss, tape.gradient(loss, weights, unconnected_gradients="zero")

        return compute()

    plain = loss_and_gradients()
    monkeypatch.setattr(closed_loop, "JIT_STEPS", 6)
    compiled = loss_and_gradients()
    np.testing.assert_allclose(plain[0], compiled[0], **SAME_FLOAT32)
    for ours, theirs in zip(compiled[1], plain[1], strict=True):
        np.testing.assert_allclose(ours, theirs, **SAME_FLOAT32)


@pytest.mark.slow
def test_verbs_compiled_by_xla_give_the_same(model):
    compiled = kvae.KVAE.from_config(model.get_config() | {"jit_compile": True})
    compiled.set_weights(model.get_weights())
    mask = np.array([[1, 1, 0, 1]] * 5, np.float32)
    frames = sequences().frames
    for ours, theirs in zip(compiled.impute(frames, mask), model.impute(frames, mask), strict=True):
        np.testing.assert_allclose(ours, theirs, **SAME_FLOAT32)
    a = compiled.encode(frames).mean()
    for ours, theirs in zip(compiled.smooth(a), model.smooth(a), strict=True):
        np.testing.assert_allclose(ours, theirs, **SAME_FLOAT32)
