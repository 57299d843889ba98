"""Episodes of any `gymnasium` environment for a world model, recorded by policies that do not look
at the frames."""

import multiprocessing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seqvae.data import write_shard
from seqvae.physics.pixel_world import PixelWorld

Draw = Callable[[], np.ndarray]
"""A policy that does not look: the next action."""


class Uniform:
    """Actions drawn uniformly at every step."""

    def __init__(self, rng: np.random.Generator, low: np.ndarray, high: np.ndarray):
        self._rng, self._low, self._high = rng, low, high

    def __call__(self) -> np.ndarray:
        """The next action, float32."""
        return self._rng.uniform(self._low, self._high).astype(np.float32)


class Hold(Uniform):
    """Actions drawn uniformly and held for 1 to 10 steps, as the World Models of Doom did: an agent
    that changes its mind every step stays where it is."""

    _left = 0

    def __call__(self) -> np.ndarray:
        """The next action, float32."""
        if not self._left:
            self._left = self._rng.integers(1, 11)
            self._action = super().__call__()
        self._left -= 1
        return self._action


class CarRacingHold:
    """CarRacing's actions, drawn uniformly and held for 1 to 10 steps; the brake, up to a half, in
    a quarter of them: a car that always brakes stands still."""

    def __init__(self, rng: np.random.Generator, *bounds: np.ndarray):
        del bounds  # known
        self._rng, self._left = rng, 0

    def __call__(self) -> np.ndarray:
        """The next action, [3] float32."""
        if not self._left:
            self._left = self._rng.integers(1, 11)
            brake = self._rng.uniform(0.0, 0.5) if self._rng.random() < 0.25 else 0.0
            steering, gas = self._rng.uniform(-1.0, 1.0), self._rng.uniform(0.0, 1.0)
            self._action = np.array([steering, gas, brake], np.float32)
        self._left -= 1
        return self._action


POLICIES: dict[str, Callable[..., Draw]] = {"random": Uniform, "hold": Hold}
"""By name: made of a random generator and the least and greatest action."""


def policy_of(world: PixelWorld, name: str) -> Callable[..., Draw]:
    """The policy of a name in `POLICIES` for a world."""
    return CarRacingHold if world.carracing and name == "hold" else POLICIES[name]


@dataclass(frozen=True)
class EpisodeJob:
    """Episode `index` of a recording, for a process of its own."""

    world: PixelWorld
    path: Path
    index: int
    seed: int
    steps: int
    policy: Callable[..., Draw]


def episode_path(out: str | Path, index: int) -> Path:
    """OUT/episode-00007.npz."""
    return Path(out) / f"episode-{index:05d}.npz"


def episode_seed(seed: int, index: int) -> int:
    """The environment's seed of an episode."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def play_episode(job: EpisodeJob) -> list[tuple[Any, ...]]:
    """The rows (frame, action, reward, ended) of one episode, see `write_rows`. They depend on the
    seed and the index alone."""
    env = job.world.make()
    try:
        act = job.policy(np.random.default_rng([job.seed, job.index]), env.low, env.high)
        frame = env.reset(episode_seed(job.seed, job.index))
        rows, reward, ended, cut = [], 0.0, False, False
        while len(rows) < job.steps:
            action = act()
            rows.append((frame, action, reward, ended))
            if ended or cut:
                break
            frame, reward, ended, cut = env.step(action)
    finally:
        env.close()
    return rows


def episode_score(job: EpisodeJob) -> float:
    """The sum of rewards of one episode."""
    return float(sum(reward for _, _, reward, _ in play_episode(job)))


def record_episode(job: EpisodeJob) -> str:
    """Plays one episode and writes it (`write_rows`); returns the file's name."""
    write_rows(job.path, play_episode(job))
    return job.path.name


def write_rows(path: str | Path, rows: list[tuple[Any, ...]]) -> None:
    """Writes an episode of rows (frame, action, reward, ended).

    The file: `frames` [T, H, W, C] uint8; `actions` [T, action_size] float32, taken at each frame;
    `rewards` [T] float32, what came with the frame, 0 with the first; `done` [T] float32, 1 where
    the frame was the last of its game.
    """
    frames, actions, rewards, done = zip(*rows, strict=True)
    arrays = {"frames": np.stack(frames), "actions": np.stack(actions).astype(np.float32)}
    arrays |= {"rewards": np.array(rewards, np.float32), "done": np.array(done, np.float32)}
    write_shard(path, arrays)


def missing_jobs(out: str | Path, numbers: Iterable[int], **options: Any) -> list[EpisodeJob]:
    """The jobs of the episodes `numbers` that are not there yet; options: those of `EpisodeJob`."""
    paths = {i: episode_path(out, i) for i in numbers}
    return [
        EpisodeJob(path=path, index=i, **options) for i, path in paths.items() if not path.exists()
    ]


def for_each(
    function: Callable[[EpisodeJob], Any], jobs: Iterable[EpisodeJob], workers: int
) -> Iterable[Any]:
    """`function` of each job by `workers` processes, in the order of the jobs."""
    jobs = list(jobs)
    if min(workers, len(jobs)) <= 1:
        yield from map(function, jobs)
        return
    # spawn: a fork of a process that has TensorFlow's threads may hang.
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs))) as pool:
        yield from pool.imap(function, jobs)


def record_all(jobs: Iterable[EpisodeJob], workers: int) -> Iterable[str]:
    """Records episodes by `workers` processes; gives each one's name when it is written."""
    yield from for_each(record_episode, jobs, workers)


def record_with_bar(jobs: list[EpisodeJob], workers: int, title: str, total: int) -> None:
    """`record_all` beside a progress bar of `total` episodes, of which those without a job are
    there already."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task(title, total=total, completed=total - len(jobs))
        for _ in record_all(jobs, workers):
            bar.advance(task)
