"""Recording of many sequences of a world by several processes. A sequence depends only on the seed
and its own index.
"""

import multiprocessing
from collections.abc import Callable
from enum import IntEnum

import numpy as np

from seqvae.physics.drawing import Painter
from seqvae.physics.pendulum import PENDULUMS, Pendulum, player
from seqvae.physics.simulation import simulate
from seqvae.physics.worlds import BALL_WORLDS, World

WORLDS: dict[str, World | Pendulum] = BALL_WORLDS | PENDULUMS
"""All worlds by name."""

_CHUNK = 100


class Split(IntEnum):
    """Training or test data. The value is part of the random seed: the two sets are different."""

    TRAIN = 0
    TEST = 1


def record(
    world: World | Pendulum,
    *,
    sequences: int,
    steps: int = 20,
    seed: int = 1234,
    split: Split = Split.TRAIN,
    first: int = 0,
    workers: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, np.ndarray]:
    """Simulate and draw the sequences `first` to `first + sequences - 1` of a split.

    Sequence i comes from `np.random.default_rng([seed, split, i])`. The arrays are identical, bit
    for bit, for any number of workers and any division into shards.

    Args:
        world: the world.
        sequences: number of sequences.
        steps: frames in a sequence.
        seed: seed of all sequences.
        split: training or test sequences.
        first: the first sequence.
        workers: number of processes.
        progress: called with the number of sequences just finished.

    Returns:
        `images`: [sequences, steps, H, W] or [..., 3] uint8; `state`: [sequences, steps,
        state_size] float32. If a known force acts, also `controls`: [sequences, steps, 2 pushes or
        1 torque] float32, what acted on the step into each frame.

    Raises:
        ValueError: an argument is out of range.
    """
    for name, value, least in (
        ("sequences", sequences, 1),
        ("steps", steps, 1),
        ("workers", workers, 1),
        ("seed", seed, 0),
        ("first", first, 0),
    ):
        if value < least:
            raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}.")
    jobs = [
        (world, steps, seed, split, range(start, min(start + _CHUNK, first + sequences)))
        for start in range(first, first + sequences, _CHUNK)
    ]
    arrays, done = {}, 0
    for chunk in _results(jobs, workers):
        if not arrays:
            arrays = {
                name: np.empty((sequences, *part.shape[1:]), part.dtype)
                for name, part in chunk.items()
            }
        count = len(chunk["images"])
        for name, part in chunk.items():
            arrays[name][done : done + count] = part
        done += count
        progress(count)
    return arrays


def _results(jobs, workers: int):
    if min(workers, len(jobs)) == 1:
        yield from map(_record_chunk, jobs)
        return
    # spawn: forking a process with TensorFlow's threads may hang.
    with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs))) as pool:
        yield from pool.imap(_record_chunk, jobs)


def _record_chunk(job) -> dict[str, np.ndarray]:
    world, steps, seed, split, indices = job
    play = player(world, steps) if isinstance(world, Pendulum) else _ball_player(world, steps)
    sequences = [play(np.random.default_rng([seed, split, i])) for i in indices]
    return {name: np.stack([arrays[name] for arrays in sequences]) for name in sequences[0]}


def _ball_player(
    world: World, steps: int
) -> Callable[[np.random.Generator], dict[str, np.ndarray]]:
    painter = Painter(world, steps)

    def play(rng: np.random.Generator) -> dict[str, np.ndarray]:
        motion = simulate(world, steps, rng)
        arrays = {"images": painter.frames(motion), "state": motion.state}
        return arrays | ({"controls": motion.pushes.astype(np.float32)} if world.push else {})

    return play
