"""The files of a world: WORLD.npz and WORLD_test.npz, or their shards."""

from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seqvae.data import part_of, save, shard_path, write_shard
from seqvae.physics.pendulum import Pendulum
from seqvae.physics.recording import Split, record
from seqvae.physics.worlds import World


def write_dataset(
    world: World | Pendulum,
    out: str | Path,
    *,
    sequences: int = 5000,
    test_sequences: int = 1000,
    steps: int = 20,
    seed: int = 1234,
    workers: int = 1,
    shards: int = 1,
    shard: int | None = None,
) -> list[Path]:
    """Record the training and test sequences of a world, with a progress bar.

    Args:
        world: the world.
        out: the folder to write to.
        sequences: number of training sequences.
        test_sequences: number of test sequences; 0: no test file.
        steps: frames in a sequence.
        seed: seed of all sequences.
        workers: number of processes; the files do not depend on it.
        shards: number of files that each set is divided into.
        shard: the shard to make; None: all.

    Returns:
        The paths written.

    Raises:
        ValueError: an argument is out of range.
    """
    numbers = part_of(range(shards), shard, shards)
    sets = [
        (Split.TRAIN, sequences, f"{world.name}.npz"),
        (Split.TEST, test_sequences, f"{world.name}_test.npz"),
    ]
    written = []
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as bar:
        for split, count, name in sets:
            if split is Split.TEST and count == 0:
                continue
            if shards > count:
                raise ValueError(
                    f"shards={shards}: more shards than the {count} sequences of {name}."
                )
            for i in numbers:
                first, last = count * i // shards, count * (i + 1) // shards
                path = Path(out) / name if shards == 1 else shard_path(Path(out) / name, i, shards)
                task = bar.add_task(path.name, total=last - first)
                arrays = record(
                    world,
                    sequences=last - first,
                    first=first,
                    steps=steps,
                    seed=seed,
                    split=split,
                    workers=workers,
                    progress=lambda done, task=task: bar.advance(task, done),
                )
                (save if shards == 1 else write_shard)(path, arrays)
                written.append(path)
    return written
