"""Episodes of any `gymnasium` environment, recorded by policies that do not use the frames."""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seqvae.data import write_shard
from seqvae.physics.pixel_world import PixelWorld

Draw = Callable[[], np.ndarray]
"""Policy that does not use the frames; a call returns the next action."""


class Uniform:
    """Policy whose actions are drawn uniformly at every step.

    Args:
        rng: the random generator.
        low: least action, [action_size].
        high: greatest action, [action_size].
    """

    def __init__(self, rng: np.random.Generator, low: np.ndarray, high: np.ndarray):
        self._rng, self._low, self._high = rng, low, high

    def __call__(self) -> np.ndarray:
        """Next action, [action_size] float32."""
        return self._rng.uniform(self._low, self._high).astype(np.float32)


class Hold(Uniform):
    """Policy whose actions are drawn uniformly and held for 1 to 10 steps, as in World Models.

    An agent that changes its action at every step hardly moves.

    Args:
        rng: the random generator.
        low: least action, [action_size].
        high: greatest action, [action_size].
    """

    _left = 0

    def __call__(self) -> np.ndarray:
        """Next action, [action_size] float32."""
        if not self._left:
            self._left = self._rng.integers(1, 11)
            self._action = super().__call__()
        self._left -= 1
        return self._action


class CarRacingHold:
    """CarRacing's actions, drawn uniformly and held for 1 to 10 steps; the brake, up to a half, in
    a quarter of them: a car that always brakes stands still.

    Args:
        rng: the generator of the draws.
        *bounds: the least and the greatest action; not used, CarRacing's are known.
    """

    def __init__(self, rng: np.random.Generator, *bounds: np.ndarray):
        del bounds
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
"""Policies by name, each made from a random generator, the least and the greatest action."""


def policy_of(world: PixelWorld, name: str) -> Callable[..., Draw]:
    """Select the policy of a recording.

    Args:
        world: the environment; CarRacing has its own `hold`.
        name: a name in `POLICIES`.

    Returns:
        The class of the policy, see `POLICIES`.
    """
    return CarRacingHold if world.carracing and name == "hold" else POLICIES[name]


@dataclass(frozen=True)
class EpisodeJob:
    """Description of one episode of a recording, which can be sent to another process."""

    world: PixelWorld
    """The environment."""
    path: Path
    """File that the episode is written to."""
    index: int
    """Index of the episode in the recording."""
    seed: int
    """Seed of the recording."""
    steps: int
    """Greatest number of rows."""
    policy: Callable[..., Draw]
    """Function that makes the policy, see `POLICIES`."""


def episode_path(out: str | Path, index: int) -> Path:
    """Path of an episode's file, such as OUT/episode-00007.npz.

    Args:
        out: folder of the recording.
        index: index of the episode.

    Returns:
        The path.
    """
    return Path(out) / f"episode-{index:05d}.npz"


def episode_seed(seed: int, index: int) -> int:
    """Seed of the environment in an episode.

    Args:
        seed: seed of the recording.
        index: index of the episode.

    Returns:
        An integer below 2^32.
    """
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def play_episode(job: EpisodeJob) -> list[tuple[Any, ...]]:
    """Play one episode, which depends only on the seed and its index.

    Args:
        job: the episode.

    Returns:
        Rows (frame, action, reward, ended), see `write_rows`.
    """
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
    """Play one episode and add up its rewards.

    Args:
        job: the episode.

    Returns:
        The sum of the rewards.
    """
    return float(sum(reward for _, _, reward, _ in play_episode(job)))


def record_episode(job: EpisodeJob) -> str:
    """Play one episode and write it (`write_rows`).

    Args:
        job: the episode.

    Returns:
        The file's name.
    """
    write_rows(job.path, play_episode(job))
    return job.path.name


def write_rows(path: str | Path, rows: list[tuple[Any, ...]]) -> None:
    """Write an episode.

    The arrays of the file are `frames` [T, H, W, C] uint8; `actions` [T, action_size] float32, the
    action taken at each frame; `rewards` [T] float32, the reward of the step that led to each
    frame, 0 for the first; and `done` [T] float32, 1 if the episode ended at the frame.

    Args:
        path: the file.
        rows: T rows (frame, action, reward, ended).
    """
    frames, actions, rewards, done = zip(*rows, strict=True)
    arrays = {"frames": np.stack(frames), "actions": np.stack(actions).astype(np.float32)}
    arrays |= {"rewards": np.array(rewards, np.float32), "done": np.array(done, np.float32)}
    write_shard(path, arrays)


def missing_jobs(out: str | Path, numbers: Iterable[int], **options: Any) -> list[EpisodeJob]:
    """List the episodes of a recording that have no file yet.

    Args:
        out: folder of the recording.
        numbers: indices of the wanted episodes.
        **options: other fields of `EpisodeJob`.

    Returns:
        A job for each episode without a file.
    """
    paths = {i: episode_path(out, i) for i in numbers}
    return [
        EpisodeJob(path=path, index=i, **options) for i, path in paths.items() if not path.exists()
    ]


def for_each(
    function: Callable[[EpisodeJob], Any], jobs: Iterable[EpisodeJob], workers: int
) -> Iterable[Any]:
    """Apply a function to jobs in several processes.

    Args:
        function: the function of a job.
        jobs: the jobs.
        workers: number of processes.

    Yields:
        The results in the order of the jobs.
    """
    jobs = list(jobs)
    if min(workers, len(jobs)) <= 1:
        yield from map(function, jobs)
        return
    # spawn: a fork of a process that has TensorFlow's threads may hang.
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs))) as pool:
        yield from pool.imap(function, jobs)


def record_all(jobs: Iterable[EpisodeJob], workers: int) -> Iterable[str]:
    """Record episodes in several processes.

    Args:
        jobs: the episodes.
        workers: number of processes.

    Yields:
        Each file's name, after the file is written.
    """
    yield from for_each(record_episode, jobs, workers)


def record_with_bar(jobs: list[EpisodeJob], workers: int, title: str, total: int) -> None:
    """Record episodes and show a progress bar.

    Args:
        jobs: the episodes.
        workers: number of processes.
        title: text beside the bar.
        total: number of episodes of the recording; those without a job count as done.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn()) as bar:
        task = bar.add_task(title, total=total, completed=total - len(jobs))
        for _ in record_all(jobs, workers):
            bar.advance(task)


def recording_main(program: str, argv: list[str], record: Callable[[dict[str, Any]], Path]) -> None:
    """Run a program that records episodes: check its flags, record, print the size.

    Args:
        program: the program's name, for messages.
        argv: the words of the command line that are not flags.
        record: records the missing episodes, given the values of all flags by name, with
            `episodes`, `steps` and `workers`; returns their folder.

    Raises:
        absl.app.UsageError: a word is not a flag, or a number is too small.
        SystemExit: the recording failed; the message says why.
    """
    values = flags.FLAGS.flag_values_dict()
    if len(argv) > 1:
        raise app.UsageError(f"flags begin with --, got {argv[1:]}")
    for name in ("episodes", "steps", "workers"):
        if values[name] < 1:
            raise app.UsageError(f"--{name}: expected an integer of at least 1, got {values[name]}")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # no screen
    try:
        out = record(values)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise SystemExit(f"{program}: {error}") from None
    size = sum(path.stat().st_size for path in out.glob("episode-*.npz"))
    print(f"{out}: {values['episodes']} episodes, {size / 1e6:.1f} MB")
