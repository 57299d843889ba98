"""`padded`: a batch of unequal episodes counts as the episodes alone."""

import numpy as np
import pytest

from tests.tolerances import SAME_FLOAT32
from tests.worldmodels.small_models import small_rnn
from worldmodels import Latents, padded

RNG = np.random.default_rng(0)


def episode(steps):
    return {
        "z": RNG.standard_normal((steps, 3)).astype(np.float32),
        "actions": RNG.uniform(-1, 1, (steps, 3)).astype(np.float32),
        "rewards": RNG.standard_normal(steps).astype(np.float32),
        "done": (np.arange(steps) == steps - 1).astype(np.float32),
    }


EPISODES = [episode(steps) for steps in (4, 7, 2)]


def test_padding_is_zeros_after_the_last_step_and_masked():
    batch = padded(EPISODES)
    assert batch["z"].shape == (3, 7, 3) and batch["rewards"].shape == (3, 7)
    np.testing.assert_array_equal(batch["mask"].sum(1), [4, 7, 2])
    for i, each in enumerate(EPISODES):
        for name, value in each.items():
            np.testing.assert_array_equal(batch[name][i, : len(value)], value)
            assert not batch[name][i, len(value) :].any()


def test_the_loss_of_a_batch_is_that_of_the_episodes_alone():
    rnn = small_rnn(predict_done=True, predict_reward=True)
    together = rnn.loss_terms(padded(EPISODES))
    alone = [rnn.loss_terms({n: v[None] for n, v in each.items()}) for each in EPISODES]
    steps = np.array([3, 6, 1])
    for i, value in enumerate(together):
        expected = (np.array([terms[i] for terms in alone]) * steps).sum() / steps.sum()
        np.testing.assert_allclose(value, expected, **SAME_FLOAT32)


@pytest.mark.parametrize("form", ("list", "dict", "latents"))
def test_fit_takes_episodes_of_different_lengths(form):
    if form == "latents":
        parts = [[e[n] for e in EPISODES] for n in ("z", "z", "actions")]
        rnn, data = small_rnn(), Latents(*parts)
    else:
        rnn = small_rnn(predict_done=True, predict_reward=True)
        lists = {name: [each[name] for each in EPISODES] for name in EPISODES[0]}
        data = lists if form == "dict" else EPISODES
    rnn.compile(optimizer="sgd")
    assert np.isfinite(rnn.fit(data, verbose=0).history["loss"]).all()
    if form == "list":
        found = rnn.evaluate(data, verbose=0, return_dict=True)
        expected = rnn.evaluate(padded(EPISODES), verbose=0, return_dict=True)
        assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    "episodes, message",
    [
        ([], "episodes: expected at least one, got none"),
        ([EPISODES[0], {"z": np.zeros((3, 3))}], "expected z, actions, .* got z in episode 1"),
        (
            [{"z": np.zeros((3, 3)), "actions": np.zeros((2, 3))}],
            "different lengths in episode 0, {'z': 3, 'actions': 2}",
        ),
        (
            [{"z": np.zeros((3, 3))}, {"z": np.zeros((3, 2))}],
            r"expected steps of the shape \(3,\) in z .* got \(2,\) in episode 1",
        ),
    ],
)
def test_episodes_that_do_not_fit_are_named(episodes, message):
    with pytest.raises(ValueError, match=message):
        padded(episodes)
