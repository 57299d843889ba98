"""`Evolution`: search for a controller's weights by CMA-ES, from the package `cma`.

The scores come from rollouts, see `DreamRollouts` and `WorldRollouts`.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from seqvae.training import CheckpointError, Checkpoints, RunLog
from worldmodels import arguments
from worldmodels.controller import Controller


class Rollouts(Protocol):
    """Function that computes the scores of controllers."""

    def __call__(self, vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
        """Compute the sum of rewards of each rollout.

        Args:
            vectors: [P, size], the weights of P controllers.
            count: number R of rollouts of each. Rollout r of every controller has the same
                beginning and the same draws (common random numbers), so that scores differ only by
                the controllers.
            seed: seed of the R beginnings and draws.

        Returns:
            Scores [P, R].
        """
        ...


class Evolution:
    """CMA-ES for the weights of a controller, as in World Models.

    A member's fitness is the mean of its rollouts. In a generation, all members have rollouts of
    the same seeds. Every `check_every` generations, the best member and the mean of the search
    distribution are scored on other rollouts, the same ones in each check; `run` returns the best
    of these.

    A checkpoint is written after every generation. It holds the fitness of all members so far. The
    search is repeated from its seed and these numbers, without rollouts, so that a run that was
    killed ends with the same weights, bit for bit.

    Args:
        controller: the controller; its weights are the start of the search (zeros in a new one,
            as in the original).
        rollouts: computes the scores of the members.
        folder: folder of `checkpoints/` and `metrics.jsonl`. The log has a line for each
            generation (`epoch`) with its `seconds`: the mean, best and worst fitness of the members
            (`mean`, `best`, `worst`), the worst rollout of the best member (`worst_rollout`) and,
            after a check, mean and standard deviation of the best member's scores (`check_best`,
            `check_best_std`) and the mean score of the distribution's mean (`check_mean`).
        population: members of a generation.
        num_rollouts: rollouts of a member.
        sigma: initial standard deviation of a weight (0.1 in the original).
        seed: seed of the search and of the rollouts.
        check: rollouts for the checks, such as `WorldRollouts`; None: `rollouts`.
        check_every: generations between two checks; the last generation is also checked.
        check_rollouts: rollouts of a check.
        signature: further values that a checkpoint must agree with, such as names of files.

    Raises:
        ValueError: an argument is out of range.
        ImportError: `cma` is not installed.
        CheckpointError: a checkpoint has other settings, or is of another version of `cma`.

    References:
        Hansen 2016, arXiv:1604.00772; Ha and Schmidhuber 2018, arXiv:1803.10122, appendix A.4.
    """

    def __init__(
        self,
        controller: Controller,
        rollouts: Rollouts,
        folder: str | os.PathLike,
        *,
        population: int = 64,
        num_rollouts: int = 16,
        sigma: float = 0.1,
        seed: int = 0,
        check: Rollouts | None = None,
        check_every: int = 10,
        check_rollouts: int = 64,
        signature: dict[str, Any] | None = None,
    ):
        arguments.check_sizes(2, population=population)
        arguments.check_sizes(
            1, num_rollouts=num_rollouts, check_every=check_every, check_rollouts=check_rollouts
        )
        arguments.check_positive(sigma=sigma)
        self._controller, self._rollouts, self._check = controller, rollouts, check or rollouts
        self._population, self._num_rollouts, self._sigma = population, num_rollouts, sigma
        self._check_every, self._check_rollouts = check_every, check_rollouts
        self._seed, self._folder = seed, os.fspath(folder)
        start = controller.vector
        settings = dict(population=population, num_rollouts=num_rollouts, sigma=sigma, seed=seed)
        settings |= dict(check_every=check_every, check_rollouts=check_rollouts)
        settings |= dict(start=_digest(start), cma=_cma().__version__) | (signature or {})
        self._checkpoints = Checkpoints(os.path.join(self._folder, "checkpoints"), settings)
        self._search = _Search(start, sigma, population, seed)
        self._fitness = np.zeros((0, population))
        self._best, self._best_score = start, -np.inf

    @property
    def generation(self) -> int:
        """Number of finished generations."""
        return len(self._fitness)

    @property
    def best_score(self) -> float:
        """Mean score of the best controller in its check; -inf before the first check."""
        return float(self._best_score)

    def resume(self) -> bool:
        """Continue from the newest checkpoint.

        Returns:
            Whether there is one.

        Raises:
            CheckpointError: the checkpoint does not fit, see the class.
        """
        found = self._checkpoints.load_latest()
        if found is None:
            return False
        arrays, _ = found
        self._search.repeat(arrays["fitness"], str(arrays["search"]))
        self._fitness, self._best = arrays["fitness"], arrays["best"]
        self._best_score = float(arrays["best_score"])
        return True

    def run(
        self, generations: int, *, after: Callable[[dict], object] = lambda line: None
    ) -> Controller:
        """Search, and set the controller's weights to the best of all checks.

        Args:
            generations: number of generations in all, with those of a checkpoint.
            after: called with each generation's line.

        Returns:
            The controller.

        Raises:
            FloatingPointError: the score of a rollout is not finite.
        """
        log = RunLog(self._folder, self.generation)
        for line in self._lines(generations):
            log.write(line)
            self._save()
            after(line)
        self._controller.vector = self._best
        return self._controller

    def _lines(self, generations: int) -> Iterator[dict]:
        while self.generation < generations:
            began, now = time.monotonic(), self.generation
            vectors = self._search.ask()
            scores = self._scores(self._rollouts, vectors, self._num_rollouts, now + 1)
            fitness = scores.mean(1)
            self._search.tell(fitness)
            self._fitness = np.concatenate([self._fitness, fitness[None]])
            best = int(fitness.argmax())
            line = {"epoch": now, "mean": fitness.mean(), "best": fitness[best]}
            line |= {"worst": fitness.min(), "worst_rollout": scores[best].min()}
            if (now + 1) % self._check_every == 0 or now + 1 == generations:
                line |= self._checked(vectors[best])
            line = {name: float(value) for name, value in line.items()} | {"epoch": now}
            yield line | {"seconds": time.monotonic() - began}

    def _checked(self, best: np.ndarray) -> dict:
        """Score the best member and the mean of the search distribution; keep the better one."""
        vectors = np.stack([best, self._search.mean])
        scores = self._scores(self._check, vectors, self._check_rollouts, 0)
        means = scores.mean(1)
        chosen = int(means.argmax())
        if means[chosen] > self._best_score:
            self._best, self._best_score = vectors[chosen], means[chosen]
        return {"check_best": means[0], "check_best_std": scores[0].std(), "check_mean": means[1]}

    def _scores(self, rollouts: Rollouts, vectors: np.ndarray, count: int, stream: int):
        seed = int(np.random.SeedSequence([self._seed, stream]).generate_state(1)[0] >> 1)
        scores = np.asarray(rollouts(vectors, count, seed), np.float64)
        if scores.shape != (len(vectors), count):
            raise ValueError(
                f"rollouts: expected scores [{len(vectors)}, {count}], got {scores.shape}."
            )
        if not np.isfinite(scores).all():
            member, rollout = np.argwhere(~np.isfinite(scores))[0]
            raise FloatingPointError(
                f"rollouts: the score of member {member} in rollout {rollout} of seed {seed} is "
                f"{scores[member, rollout]}. The reward or the model's weights hold NaN or "
                "infinity."
            )
        return scores

    def _save(self) -> None:
        arrays = dict(fitness=self._fitness, best=self._best, best_score=self._best_score)
        arrays |= {"search": _digest(self._search.mean)}
        arrays = {name: np.asarray(value) for name, value in arrays.items()}
        self._checkpoints.save(self.generation, arrays, {"generation": self.generation})


class _Search:
    """The package's CMA-ES, which minimises, with random numbers of its own."""

    def __init__(self, start: np.ndarray, sigma: float, population: int, seed: int):
        cma = _cma()
        rng = np.random.default_rng([seed, 1])
        # NaN: the package would otherwise seed NumPy's global generator
        options = dict(popsize=population, seed=np.nan, verbose=-9)
        options |= dict(randn=lambda *shape: rng.standard_normal(shape))
        self._strategy: Any = cma.CMAEvolutionStrategy(start, sigma, options)
        self._asked: list[np.ndarray] = []

    @property
    def mean(self) -> np.ndarray:
        """The mean of the search distribution, [size]."""
        return np.array(self._strategy.mean)

    def ask(self) -> np.ndarray:
        """The members of the next generation, [P, size]."""
        self._asked = self._strategy.ask()
        return np.array(self._asked)

    def tell(self, fitness: np.ndarray) -> None:
        """Pass on the fitness [P] of the members of the last `ask`; higher is better."""
        self._strategy.tell(self._asked, (-fitness).tolist())

    def repeat(self, fitness: np.ndarray, digest: str) -> None:
        """Repeat generations of known fitness [G, P], without rollouts."""
        for each in fitness:
            self.ask()
            self.tell(each)
        if _digest(self.mean) != digest:
            raise CheckpointError(
                f"the search of {len(fitness)} generations could not be repeated: NumPy, its "
                "linear algebra or its number of threads is another than when the checkpoint was "
                "written. Restore it, or begin a new run from the controller that was saved."
            )


def _digest(vector: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(vector, np.float64).tobytes()).hexdigest()


def _cma() -> Any:
    try:
        import cma
    except ImportError as error:
        raise ImportError(
            'worldmodels.evolution needs cma. Install it: pip install ".[evolve]"'
        ) from error
    return cma
