"""The original's arithmetic in NumPy: equal to its golden arrays, and ours equal to it where there
are none."""

import json

import numpy as np
import pytest

import kvae
from tests.kvae.test_original import FOLDER, close
from tests.references.original_kvae import OriginalKVAE, random_variables
from tests.tolerances import GOLDEN, GOLDEN_BOUND, GOLDEN_COVARIANCE, SAME_FLOAT32

pytestmark = pytest.mark.eager

SEQUENCES, STEPS = 3, 7
_GOLDEN = dict(np.load(FOLDER / "lstm_conv.npz", allow_pickle=False))
_BASE = json.loads(str(_GOLDEN["config"]))
CASES = {
    "K = 1": dict(K=1),
    "learned controls": dict(learn_u=True, dim_u=2),
    "learned controls, dense dynamics": dict(
        learn_u=True, dim_u=2, alpha_rnn=False, fifo_size=2, alpha_layers=1
    ),
    "dense layers, gaussian pixels": dict(
        conv=False, out_distr="gaussian", activation="tanh", num_layers=3
    ),
    "plain auto-encoder": dict(use_vae=False),
    "odd filters and sizes": dict(
        filter_size=5, num_filters="3,5,7", dim_a=3, dim_z=5, K=4, dim_u=3
    ),
    "dense dynamics with tanh": dict(
        alpha_rnn=False, fifo_size=4, alpha_layers=3, alpha_activation="tanh", dim_a=1
    ),
}
SHAPES = {"odd filters and sizes": (24, 8), "dense layers, gaussian pixels": (9, 7)}


@pytest.mark.parametrize("name", ["lstm_conv", "nn_fifo3"])
def test_the_reference_equals_the_golden_arrays(name):
    arrays = dict(np.load(FOLDER / f"{name}.npz", allow_pickle=False))
    original = OriginalKVAE(
        json.loads(str(arrays["config"])),
        {k[4:].replace(".", "/"): v for k, v in arrays.items() if k[:4] == "var_"},
    )
    x, a, mask, u = (arrays[n].astype(np.float64) for n in ("in_x", "out_a", "in_mask", "in_u"))
    mean, variance = original.encode(x.reshape(-1, 16, 16))
    close(mean, arrays["out_a_mu"])
    close(variance, arrays["out_a_var"])
    frames = original.decode(a.reshape(-1, 2), (16, 16))
    close(frames, arrays["out_x_mu"])
    for ours, theirs in (
        (original.log_px(x.reshape(-1, 16, 16), frames), "out_log_px"),
        (original.log_qa(a.reshape(-1, 2), mean, variance), "out_log_qa"),
    ):
        np.testing.assert_allclose(
            (mask.ravel() * ours).sum() / mask.sum(), arrays[theirs], **GOLDEN_BOUND
        )
    terms = 0
    for i in range(len(x)):
        found = original.filter_and_smooth(a[i], mask[i], u[i])
        for key in ("alpha", "A_t", "B_t", "C_t", "filter_mean", "smooth_mean", "a_from_z"):
            close(found[key], arrays[f"out_{key}"][i])
        for key in ("filter_cov", "smooth_cov"):
            close(found[key], arrays[f"out_{key}"][i], GOLDEN_COVARIANCE)
        terms += original.bound_terms(
            a[i], mask[i], u[i], arrays["out_z"][i].astype(np.float64), found
        )
        for key, made in original.generate(
            arrays["out_smooth_mean"][i, :4].astype(np.float64), 12
        ).items():
            close(made, arrays[f"out_{key}"][i])
    np.testing.assert_allclose(terms / mask.sum(), arrays["out_kf_log_probs"], **GOLDEN_BOUND)


class Pair:
    """One configuration, the original's variables drawn at random: our model and the reference, and
    inputs."""

    def __init__(self, name):
        rng = np.random.default_rng(len(name))
        config, self.shape = _BASE | CASES[name], SHAPES.get(name, (16, 16))
        variables = random_variables(config, self.shape, rng)
        self.reference = OriginalKVAE(config, variables)
        self.model = kvae.original.build(config, self.shape)
        kvae.original.load(self.model, variables)
        self.x = (rng.random((SEQUENCES, STEPS, *self.shape)) < 0.3).astype(np.float32)
        self.a = rng.normal(size=(SEQUENCES, STEPS, config["dim_a"])).astype(np.float32)
        self.u = rng.normal(size=(SEQUENCES, STEPS, config["dim_u"])).astype(np.float32)
        self.mask = (rng.random((SEQUENCES, STEPS)) < 0.6).astype(np.float32)
        self.mask[:, 0] = 1
        self.moved = np.concatenate([np.zeros_like(self.u[:, :1]), self.u[:, :-1]], 1)
        self.found = [
            self.reference.filter_and_smooth(*inputs)
            for inputs in zip(self.a, self.mask, self.u, strict=True)
        ]

    def expected(self, name):
        return np.stack([found[name] for found in self.found])


_SLOW = (
    "learned controls",
    "plain auto-encoder",
    "dense dynamics with tanh",
)  # the others have each of their parts


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow if name in _SLOW else ()) for name in CASES],
)
def pair(request):
    return Pair(request.param)


def test_frames(pair):
    x, codes = pair.x.reshape(-1, *pair.shape), pair.a.reshape(-1, pair.a.shape[-1])
    mean, variance = pair.reference.encode(x)
    q = pair.model.encode(pair.x)
    close(q.mean(), mean)
    close(q.variance(), variance)
    frames, p = pair.reference.decode(codes, pair.shape), pair.model.decode(pair.a)
    close(p.mean(), frames)
    np.testing.assert_allclose(
        np.ravel(p.log_prob(pair.x)), pair.reference.log_px(x, frames), **GOLDEN_BOUND
    )
    if pair.reference.config["use_vae"]:
        drawn = codes * 0.1 + mean
        ours = q.log_prob(drawn.reshape(pair.a.shape).astype(np.float32))
        np.testing.assert_allclose(
            np.ravel(ours), pair.reference.log_qa(drawn, mean, variance), **GOLDEN_BOUND
        )


def test_states(pair):
    filtered = pair.model.filter(pair.a, pair.mask, pair.moved)
    smoothed = pair.model.smooth(pair.a, pair.mask, pair.moved)
    close(filtered.mean, pair.expected("filter_mean"), GOLDEN_COVARIANCE)
    close(filtered.cov, pair.expected("filter_cov"), GOLDEN_COVARIANCE)
    close(smoothed.mean, pair.expected("smooth_mean"), GOLDEN_COVARIANCE)
    close(smoothed.cov, pair.expected("smooth_cov"), GOLDEN_COVARIANCE)
    close(smoothed.C, pair.expected("C_t"))
    for name, ours in (("alpha", smoothed.alpha), ("A_t", smoothed.A), ("B_t", smoothed.B)):
        close(ours[:, 1:], pair.expected(name)[:, :-1])


def test_the_bound(pair):
    """With the controls that moved the states; the original's bound takes those of one step
    later."""
    z = (
        np.random.default_rng(0)
        .normal(size=(SEQUENCES, STEPS, pair.model.dim_z))
        .astype(np.float32)
    )
    used = np.pad(pair.expected("used_u")[:, :-1], [(0, 0), (1, 0), (0, 0)])
    each = zip(pair.a, pair.mask, used, z, pair.found, strict=True)
    terms = sum(pair.reference.bound_terms(*inputs) for inputs in each) / pair.mask.sum()
    ours = pair.model.lgssm_bound(pair.a, pair.mask, pair.moved, kind="sampled", z=z)
    np.testing.assert_allclose(ours[1:], terms, **GOLDEN_BOUND)
    np.testing.assert_allclose(ours.total, terms.sum(), **GOLDEN_BOUND)


def test_generation(pair):
    held = pair.expected("smooth_mean")[:, :3].astype(np.float32)
    made = pair.model.generate(STEPS, states=held)
    theirs = [pair.reference.generate(states.astype(np.float64), STEPS) for states in held]
    for ours, name in ((made.z, "gen_z"), (made.a, "gen_a")):
        close(ours, np.stack([one[name] for one in theirs]), GOLDEN_COVARIANCE)
    close(made.frames, pair.model.decode(made.a).mean(), SAME_FLOAT32)
    close(made.alpha[:, 1:], np.stack([one["gen_alpha"] for one in theirs])[:, :-1], GOLDEN)
