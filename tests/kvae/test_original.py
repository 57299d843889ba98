"""The original's weights give the original's numbers (tests/golden/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import kvae
from tests.tolerances import GOLDEN, GOLDEN_BOUND, GOLDEN_COVARIANCE

FOLDER = Path(__file__).parents[1] / "golden" / "kvae"


class Golden:
    def __init__(self, name):
        self.arrays = dict(np.load(FOLDER / f"{name}.npz", allow_pickle=False))
        self.model = kvae.original.build(json.loads(str(self.arrays["config"])), (16, 16))
        self.weights = {
            k[4:].replace(".", "/"): v for k, v in self.arrays.items() if k.startswith("var_")
        }
        kvae.original.load(self.model, self.weights)
        self.a, self.mask, self.u = (
            self.arrays["out_a"],
            self.arrays["in_mask"],
            self.arrays["in_u"],
        )
        # The original's filter moves z_t with u_t, ours (and the paper's) with u_{t+1}.
        self.shifted = np.concatenate([np.zeros_like(self.u[:, :1]), self.u[:, :-1]], 1)

    def __getitem__(self, name):
        return self.arrays[f"out_{name}"]


@pytest.fixture(scope="module", params=["lstm_conv", "nn_fifo3"])
def golden(request):
    return Golden(request.param)


def close(ours, theirs, tolerance=GOLDEN):
    np.testing.assert_allclose(np.asarray(ours).reshape(theirs.shape), theirs, **tolerance)


def test_encoder_and_decoder(golden):
    q = golden.model.encode(golden.arrays["in_x"])
    close(q.mean(), golden["a_mu"])
    close(q.variance(), golden["a_var"])
    close(golden.model.decode(golden.a).mean(), golden["x_mu"])


def test_filter_smoother_and_mixtures(golden):
    arguments = golden.a, golden.mask, golden.shifted
    filtered, smoothed = golden.model.filter(*arguments), golden.model.smooth(*arguments)
    close(filtered.mean, golden["filter_mean"])
    close(filtered.cov, golden["filter_cov"], GOLDEN_COVARIANCE)
    close(smoothed.mean, golden["smooth_mean"])
    close(smoothed.cov, golden["smooth_cov"], GOLDEN_COVARIANCE)
    for name, ours in (("alpha", smoothed.alpha), ("A_t", smoothed.A), ("B_t", smoothed.B)):
        close(ours[:, 1:], golden[name][:, :-1])
    close(smoothed.C, golden["C_t"])
    close(tf.linalg.matvec(smoothed.C, smoothed.mean), golden["a_from_z"])


def test_the_four_terms_of_the_sampled_bound(golden):
    def bound(u):
        return golden.model.lgssm_bound(golden.a, golden.mask, u, kind="sampled", z=golden["z"])

    transition, emission, initial, entropy = golden["kf_log_probs"]
    moved = bound(golden.shifted)
    np.testing.assert_allclose(
        [moved.emission, moved.initial, moved.entropy], [emission, initial, entropy], **GOLDEN_BOUND
    )
    np.testing.assert_allclose(bound(golden.u).transition, transition, **GOLDEN_BOUND)


def test_log_px_and_log_qa(golden):
    x, seen = golden.arrays["in_x"], golden.mask
    log_px = golden.model.decode(golden.a).log_prob(x)
    log_qa = golden.model.encode(x).log_prob(golden.a)
    for ours, name in ((log_px, "log_px"), (log_qa, "log_qa")):
        np.testing.assert_allclose(
            (seen * ours.numpy()).sum() / seen.sum(), golden[name], **GOLDEN_BOUND
        )


def test_deterministic_generation(golden):
    made = golden.model.generate(12, states=golden["smooth_mean"][:, :4])
    close(made.z, golden["gen_z"])
    close(made.a, golden["gen_a"])
    close(made.frames, golden["gen_x"])
    close(made.alpha[:, 1:], golden["gen_alpha"][:, :-1])


def test_a_tensorflow_1_checkpoint_loads():
    golden = Golden("lstm_conv")
    expected = golden.model.get_weights()
    for weight in golden.model.weights:
        weight.assign(weight * 0 + tf.ones_like(weight))
    kvae.original.load(golden.model, FOLDER / "checkpoint" / "model.ckpt")
    for ours, theirs in zip(golden.model.trainable_variables, expected, strict=False):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_every_name_and_shape_that_does_not_fit_is_listed_and_nothing_is_loaded():
    golden = Golden("lstm_conv")
    before = golden.model.get_weights()
    wrong = dict(golden.weights, stranger=np.zeros(3), A=np.zeros((3, 4, 5)))
    del wrong["C"]
    with pytest.raises(
        ValueError,
        match=r"(?s)missing: C.*left over: stranger.*shape: A is \(3, 4, 5\).*\(3, 4, 4\)",
    ):
        kvae.original.load(golden.model, wrong)
    for ours, theirs in zip(golden.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_checkpoint_that_is_not_there_and_a_config_that_is_not_one():
    with pytest.raises(ValueError, match="source: no TensorFlow checkpoint can be read at"):
        kvae.original.load(Golden("lstm_conv").model, "/nowhere/model.ckpt")
    with pytest.raises(
        ValueError, match=r"config: expected the original's config.json, it lacks .*dim_z"
    ):
        kvae.original.build({"conv": True}, (16, 16))
