"""Every message: which argument, what was expected, what came, the cure."""

import numpy as np
import pytest

from kvae import KVAE

X = np.zeros((2, 3, 8, 8), np.float32)
A = np.zeros((2, 3, 2), np.float32)
NAN = np.full_like(X, np.nan)


@pytest.fixture(scope="module")
def model():
    return KVAE((8, 8), num_filters=(2,), alpha_units=3)


CONSTRUCTION = [
    (dict(activation="sigmoidal"), "activation: expected a name or function .* got 'sigmoidal'"),
    (dict(alpha_activation=None), "alpha_activation: expected a name or function"),
    (dict(out_distr="poisson"), "out_distr: expected one of bernoulli, gaussian, got 'poisson'"),
    (dict(bound="tight"), "bound: expected one of marginal, sampled, got 'tight'"),
    (dict(num_filters="32,x"), "num_filters: expected positive integers.*got '32,x'"),
    (dict(num_filters=()), "num_filters: expected positive integers"),
    (dict(dim_z=0), "dim_z: expected an integer of at least 1, got 0"),
    (dict(K=2.5), "K: expected an integer of at least 1, got 2.5"),
    (dict(noise_emission=0.0), "noise_emission: expected a positive variance, got 0.0"),
    (dict(init_kf_matrices=-1.0), "init_kf_matrices: expected a number of at least 0"),
    (dict(ll_keep_prob=0.0), r"ll_keep_prob: expected a probability in \(0, 1\], got 0.0"),
    (dict(image_shape=(8, 8, 1, 1)), r"image_shape: expected \(H, W\) or \(H, W, C\) in pixels"),
    (dict(image_shape=(8, 0)), "image_shape: expected"),
    (
        dict(image_shape=(9, 8)),
        "image_shape: 9x8 pixels cannot be halved 1 times.*multiples of 2.*conv=False",
    ),
]


@pytest.mark.parametrize(("options", "message"), CONSTRUCTION, ids=lambda v: str(v)[:40])
def test_construction(options, message):
    with pytest.raises(ValueError, match=message):
        KVAE(**(dict(image_shape=(8, 8), num_filters=(2,)) | options))


CALLS = [
    (
        lambda m: m.encode(X[0]),
        r"frames: expected the shape \[B, T, 8, 8\].*got \[3, 8, 8\].*frames\[None\]",
    ),
    (
        lambda m: m.encode(np.zeros((2, 3, 8, 9), np.float32)),
        r"frames: expected the shape \[B, T, 8, 8\].*got \[2, 3, 8, 9\]",
    ),
    (lambda m: m.encode(X.astype(np.int64)), "frames: expected uint8, bool, or floats.*got int64"),
    (lambda m: m.encode("video"), "frames: expected"),
    (lambda m: m.encode(X + 2), r"frames: expected values in \[0, 1\], got 2 to 2.*uint8"),
    (lambda m: m.encode(X[:0]), "frames: expected at least one sequence of one frame"),
    (lambda m: m.elbo(X[:, :0]), "frames: expected at least one sequence of one frame"),
    (lambda m: m.elbo(NAN), "frames: NaN in an observed frame.*mask that is 0"),
    (lambda m: m.impute(NAN, np.ones((2, 3))), "frames: NaN in an observed frame"),
    (lambda m: m.impute(X, np.zeros((2, 3))), "mask: no frame is observed.*1 means observed"),
    (lambda m: m.impute(X, np.ones((2, 4))), r"mask: expected the shape \[2, 3\].*got \[2, 4\]"),
    (
        lambda m: m.impute(X, np.full((2, 3), 0.5)),
        r"mask: expected only 1 \(observed\) and 0 \(missing\)",
    ),
    (lambda m: m.filter(A[..., :1]), r"a: expected the shape \[B, T, 2\], got \[2, 3, 1\]"),
    (lambda m: m.filter(A[:, :0]), "a: expected at least one sequence"),
    (
        lambda m: m.smooth(A, controls=np.zeros((2, 3, 2))),
        r"controls: expected the shape \[2, 3, 1\].*dim_u=1.*got \[2, 3, 2\]",
    ),
    (
        lambda m: m.smooth(A, controls=np.full((2, 3, 1), np.nan)),
        r"controls: NaN or infinity in .*; expected finite numbers",
    ),
    (lambda m: m.encode(NAN), "frames: NaN in an observed frame"),
    (lambda m: m.encode(X, np.ones((2, 4))), r"mask: expected the shape \[2, 3\].*got \[2, 4\]"),
    (lambda m: m.decode(A[0]), r"a: expected the shape \[B, T, 2\], got \[3, 2\]"),
    (
        lambda m: m.lgssm_bound(A, kind="exact"),
        "kind: expected one of marginal, sampled, got 'exact'",
    ),
    (
        lambda m: m.lgssm_bound(A, kind="sampled", z=A),
        r"z: expected the shape \[B, T, 4\], got \[2, 3, 2\]",
    ),
    (
        lambda m: m.lgssm_bound(A, kind="marginal", z=np.zeros((2, 3, 4))),
        "z: expected None for kind='marginal'.*Use kind='sampled'",
    ),
    (
        lambda m: m.generate(0, states=np.zeros((1, 1, 4))),
        "num_steps: expected an integer of at least 1, got 0",
    ),
    (
        lambda m: m.generate(3, states=np.zeros((1, 4))),
        r"states: expected the shape \[B, T, 4\], got \[1, 4\]",
    ),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=range(len(CALLS)))
def test_calls(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_a_result_that_is_not_finite_names_the_tensor_and_the_step():
    model = KVAE((8, 8), num_filters=(2,), alpha_units=3, K=1)
    model.A.assign(1e30 * model.A.numpy())
    with pytest.raises(
        FloatingPointError,
        match=r"KVAE.filter: (mean|cov) is not finite at time step 1 of sequence 0.*float64",
    ):
        model.filter(A)


def test_another_keras_backend_is_refused(monkeypatch):
    import keras

    from seqvae.backend import require_tensorflow

    require_tensorflow()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(
        ImportError,
        match=r"TensorFlow backend, Keras was started with 'jax'.*KERAS_BACKEND=tensorflow",
    ):
        require_tensorflow()
