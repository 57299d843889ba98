"""`Evolution` on scores with a known best, killed and resumed, and with every wrong input."""

import json
import sys

import cma
import numpy as np
import pytest

from seqvae.training import CheckpointError
from tests.worldmodels.small_models import small_controller
from worldmodels import Controller
from worldmodels.evolution import Evolution


class Bowl:
    """Scores that are best at `best` in every weight, with noise that the seed and rollout
    decide."""

    def __init__(self, noise=0.0, best=0.3):
        self.calls, self._noise, self._best = [], noise, best

    def __call__(self, vectors, count, seed):
        self.calls.append((np.array(vectors), count, seed))
        noise = np.random.default_rng(seed).standard_normal(count) * self._noise
        return -((vectors - self._best) ** 2).sum(1)[:, None] + noise


class Killed(Exception):
    """In place of a kill."""


def controller() -> Controller:
    return Controller(z_size=2, action_size=2, inputs="z", squash="tanh")  # 6 weights


def evolution(folder, rollouts, **options):
    settings = dict(population=8, num_rollouts=3, check_every=4, check_rollouts=2) | options
    return Evolution(controller(), rollouts, folder, **settings)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_finds_the_best_weights_and_logs_each_generation(tmp_path):
    found = evolution(tmp_path, Bowl(), seed=1).run(60)
    np.testing.assert_allclose(found.vector, 0.3, atol=0.01)
    log = lines(tmp_path)
    assert [line["epoch"] for line in log] == list(range(60))
    assert log[-1]["mean"] > log[0]["mean"] and log[0]["worst"] <= log[0]["mean"] <= log[0]["best"]
    checked = [line["epoch"] for line in log if "check_best" in line]
    assert checked == list(range(3, 60, 4))


def test_its_search_is_cmas(tmp_path):
    """The package's own loop with the same random numbers."""
    rollouts = Bowl()
    evolution(tmp_path, rollouts, seed=4, sigma=0.2).run(5)
    rng = np.random.default_rng([4, 1])
    options = dict(popsize=8, seed=np.nan, verbose=-9, randn=lambda *s: rng.standard_normal(s))
    strategy = cma.CMAEvolutionStrategy(np.zeros(6), 0.2, options)
    members = [call[0] for call in rollouts.calls if len(call[0]) == 8]
    for asked in members:
        x = strategy.ask()
        np.testing.assert_array_equal(np.array(x), asked)
        strategy.tell(x, ((asked - 0.3) ** 2).sum(1).tolist())


def test_members_share_the_seed_of_a_generation_and_checks_have_one_of_their_own(tmp_path):
    rollouts, check = Bowl(), Bowl()
    evolution(tmp_path, rollouts, check=check, num_rollouts=5).run(8)
    assert all(count == 5 for _, count, _ in rollouts.calls)
    seeds = [seed for *_, seed in rollouts.calls]
    assert len(set(seeds)) == 8
    assert [count for _, count, _ in check.calls] == [2, 2]
    assert len({seed for *_, seed in check.calls}) == 1 and check.calls[0][2] not in seeds


def test_what_the_check_scores_best_is_kept(tmp_path):
    """The check likes weights at -0.3, where the rollouts do not lead: its first choice stays."""

    check = Bowl(best=-0.3)
    search = evolution(tmp_path, Bowl(), check=check, check_every=2)
    found = search.run(20).vector
    candidates = np.concatenate([vectors for vectors, *_ in check.calls])
    scores = -((candidates + 0.3) ** 2).sum(1)
    assert len(candidates) == 20
    np.testing.assert_array_equal(found, candidates[scores.argmax()])
    assert search.best_score == pytest.approx(scores.max())


@pytest.mark.parametrize("stop", (1, 3, 4, 6))
def test_a_killed_run_ends_with_the_same_weights(tmp_path, stop):
    whole = evolution(tmp_path / "whole", Bowl(0.1)).run(9).vector

    def kill(line):
        if line["epoch"] + 1 == stop:
            raise Killed

    with pytest.raises(Killed):
        evolution(tmp_path / "killed", Bowl(0.1)).run(9, after=kill)
    rollouts = Bowl(0.1)
    again = evolution(tmp_path / "killed", rollouts)
    assert again.resume() and again.generation == stop
    np.testing.assert_array_equal(again.run(9).vector, whole)
    assert sum(len(vectors) == 8 for vectors, *_ in rollouts.calls) == 9 - stop  # none twice
    drop = dict.fromkeys(["seconds"])
    ours, theirs = (
        [{k: v for k, v in line.items() if k not in drop} for line in lines(tmp_path / name)]
        for name in ("killed", "whole")
    )
    assert ours == theirs


def test_a_finished_run_is_not_repeated(tmp_path):
    first = evolution(tmp_path, Bowl(0.1)).run(4).vector
    rollouts = Bowl()
    again = evolution(tmp_path, rollouts)
    assert again.resume()
    np.testing.assert_array_equal(again.run(4).vector, first)
    assert not rollouts.calls
    assert not evolution(tmp_path / "empty", Bowl()).resume()


def test_checkpoints_of_another_run_are_refused(tmp_path, monkeypatch):
    evolution(tmp_path, Bowl()).run(2)
    for change in (dict(seed=3), dict(population=9), dict(signature={"rnn": "other"})):
        with pytest.raises(CheckpointError):
            evolution(tmp_path, Bowl(), **change).resume()
    search = evolution(tmp_path, Bowl())
    monkeypatch.setattr("worldmodels.evolution._digest", lambda vector: "other")
    with pytest.raises(CheckpointError, match="search of 2 generations could not be repeated"):
        search.resume()


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(population=1), "population: expected an integer of at least 2, got 1"),
        (dict(num_rollouts=0), "num_rollouts: expected an integer of at least 1, got 0"),
        (dict(sigma=0), "sigma: expected a number above 0, got 0"),
        (dict(sigma="wide"), "sigma: expected a number above 0, got 'wide'"),
        (dict(check_every=0), "check_every: expected an integer of at least 1"),
    ],
)
def test_arguments_that_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        evolution(tmp_path, Bowl(), **options)


def test_scores_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"rollouts: expected scores \[8, 3\], got \(8,\)"):
        evolution(tmp_path, lambda vectors, count, seed: np.zeros(len(vectors))).run(1)

    def broken(vectors, count, seed):
        scores = np.zeros((len(vectors), count))
        scores[5, 2] = np.nan
        return scores

    with pytest.raises(
        FloatingPointError, match=r"score of member 5 in rollout 2 of seed .* is nan"
    ):
        evolution(tmp_path / "nan", broken).run(1)


def test_without_cma_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)  # as if it were not installed
    with pytest.raises(ImportError, match=r'needs cma. Install it: pip install "\.\[evolve\]"'):
        Evolution(small_controller(), Bowl(), tmp_path)
