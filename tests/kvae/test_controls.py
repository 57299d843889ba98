"""Controls that matter: the pushes of a pushed ball, learned from its positions alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kvae
from seqvae.data import block_mask
from seqvae.physics import WORLDS, record
from seqvae.training import gradient_step

SCALE, STEPS = 4.0, 12  # pixels per unit of the codes


def pushed_balls(sequences, split_first):
    made = record(WORLDS["box_push"], sequences=sequences, steps=STEPS, first=split_first)
    return ((made["state"][..., :2] - 16) / SCALE).astype(np.float32), made["controls"]


@pytest.fixture(scope="module")
def model():
    """A, B, C and the dynamics network, trained with the true positions as codes; at first, a ball
    in free flight."""
    keras.utils.set_random_seed(0)
    model = kvae.KVAE((4, 4), conv=False, vae_num_units=1, dim_u=2, K=3, alpha_units=16)
    flight, eye = np.eye(4, dtype=np.float32), np.eye(2, dtype=np.float32)
    flight[:2, 2:] = 0.5 * eye
    model.A.assign(np.stack([flight] * 3))
    model.C.assign(np.stack([np.concatenate([eye, 0 * eye], 1)] * 3))
    variables = model.variable_groups["lgssm"] + model.variable_groups["dynamics"]
    optimizer = keras.optimizers.Adam(0.005)
    optimizer.build(variables)

    @tf.function(autograph=False, jit_compile=True)
    def step(a, u, seed):
        batch = {"codes": a, "variance": tf.fill(a.shape, 0.001), "controls": u}
        return gradient_step(model, batch, variables, optimizer, seed=seed, clip_norm=100.0).loss

    a, u = pushed_balls(1024, 0)
    order = np.random.default_rng(0)
    for i in range(800):
        batch = order.choice(len(a), 64)
        step(tf.constant(a[batch]), tf.constant(u[batch]), tf.constant([0, i]))
    return model


@pytest.mark.slow
def test_the_learned_B_moves_the_ball_as_the_pushes_did(model):
    """A push u_t changes the velocity: by u_t / SCALE is the code moved one step later, through C A
    B."""
    a, u = pushed_balls(64, 5000)
    filtered = model.filter(a, controls=u)
    effect = tf.linalg.matvec(
        filtered.C[:, 2:], tf.linalg.matvec(filtered.A[:, 2:] @ filtered.B[:, 1:-1], u[:, 1:-1])
    )
    inside = (np.abs(a[:, 1:-1]) < 2).all(-1)  # 8 pixels around the centre: no wall is near
    effect, push = effect.numpy()[inside], u[:, 1:-1][inside] / SCALE
    assert inside.sum() > 100
    for axis in range(2):
        slope = (effect[:, axis] @ push[:, axis]) / (push[:, axis] @ push[:, axis])
        assert 0.7 < slope < 1.3
        assert np.corrcoef(effect[:, axis], push[:, axis])[0, 1] > 0.9


@pytest.mark.slow
def test_controls_foretell_what_the_codes_alone_cannot(model):
    a, u = pushed_balls(256, 6000)
    mask = block_mask(len(a), STEPS, start=4, length=4)

    def error(controls):
        found = model.filter(a, mask, controls)
        return np.sqrt(
            np.mean((tf.linalg.matvec(found.C, found.mean).numpy() - a)[mask < 0.5] ** 2)
        )

    assert error(u) < 0.8 * error(np.zeros_like(u))
    assert error(u) < 0.8 * error(-u)
    with_u, without = (
        float(tf.reduce_mean(model.filter(a, controls=c).log_likelihood)) for c in (u, None)
    )
    assert with_u > without
