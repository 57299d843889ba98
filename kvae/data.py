"""Training data of a Kalman VAE: sequences in memory, or shards that are read during training."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kvae.model import KVAE
from seqvae.data import (
    DataError,
    Sequences,
    Shards,
    load,
    open_shards,
    random_mask,
    sequences_of,
    shard_files,
    write_shard,
)
from seqvae.data.batches import Batches
from seqvae.data.streams import ShardBatches
from seqvae.physics import WORLDS, write_dataset
from seqvae.replicas import Placement

_NAMES = {"images": "frames", "mask": "mask", "controls": "controls"}
_CODES = ("codes", "variance", "mask", "controls")
_TEST_MOST = 10_000  # test sequences that are used of a set in shards


@dataclass(frozen=True)
class Missing:
    """Which training frames are left out, the same ones in every epoch."""

    drop_prob: float = 0.0
    """Probability that a frame is left out."""
    start: int = 3
    """Number of first frames that are always observed."""
    seed: int = 0
    """Seed of the random choice."""

    def __call__(self, sequences: Sequences, number: int = 0) -> Sequences:
        """Sequences with a mask that leaves these frames out.

        Args:
            sequences: the sequences; returned as they are if `drop_prob` is 0.
            number: index of the file that the sequences come from; it changes the seed.

        Returns:
            The sequences. A frame that `sequences` itself leaves out stays so.
        """
        if self.drop_prob == 0:
            return sequences
        shape, seed = sequences.frames.shape[:2], (self.seed, number) if number else self.seed
        return sequences.with_mask(
            random_mask(*shape, start=self.start, drop_prob=self.drop_prob, seed=seed)
        )


class InMemory:
    """Sequences held in memory.

    Args:
        sequences: the training sequences.
        missing: the frames that are left out.

    Attributes:
        sequences: the sequences, with the mask of `missing`.
        steps: number of frames of each sequence.
        image_shape: shape of a frame.
        fingerprint: short text that differs if the data do.
        dim_u: size of the controls; None if there are none.
    """

    def __init__(self, sequences: Sequences, missing: Missing):
        self.sequences = missing(sequences)
        self.steps, self.image_shape = sequences.steps, sequences.image_shape
        self.fingerprint = self.sequences.fingerprint()
        self.dim_u = None if sequences.controls is None else sequences.controls.shape[-1]

    def __len__(self) -> int:
        return len(self.sequences)

    def some(self) -> Sequences:
        """All sequences, for baselines and statistics."""
        return self.sequences

    def batches(self, batch_size: int, **options: Any) -> Batches:
        """Batches of frames, and of masks and controls if there are any.

        Args:
            batch_size: sequences in a batch.
            **options: other arguments of `Batches`.

        Returns:
            The batches.
        """
        return Batches(self.sequences, batch_size, **options)

    def codes(
        self, model: KVAE, folder: Path, placement: Placement, batch_size: int, **options: Any
    ) -> Batches:
        """Batches of the encoder's outputs for the frames.

        Args:
            model: the model whose encoder is used.
            folder: ignored; `Streamed` writes there.
            placement: ignored, too.
            batch_size: sequences in a batch.
            **options: other arguments of `Batches`.

        Returns:
            The batches, with the arrays of `encoded`.
        """
        del folder, placement
        return Batches(encoded(model, self.sequences), batch_size, **options)


class Streamed:
    """Sequences in shards, of which a few at a time are in memory.

    Args:
        shards: the training sequences.
        missing: the frames that are left out.

    Attributes:
        steps: number of frames of each sequence.
        image_shape: shape of a frame.
        fingerprint: short text that differs if the data or `missing` do.
        dim_u: size of the controls; None if there are none.
    """

    def __init__(self, shards: Shards, missing: Missing):
        self._shards, self._missing = shards, missing
        self.steps, *image_shape = shards.shapes["images"]
        self.image_shape, self.fingerprint = tuple(image_shape), f"{shards.fingerprint()} {missing}"
        self.dim_u = shards.shapes["controls"][-1] if "controls" in shards.shapes else None

    def __len__(self) -> int:
        return self._shards.entries

    def some(self) -> Sequences:
        """Sequences of the first shard, for baselines and statistics."""
        return self._sequences(0)

    def batches(self, batch_size: int, **options: Any) -> ShardBatches:
        """Batches of frames, and of masks and controls if there are any.

        Args:
            batch_size: sequences in a batch.
            **options: other arguments of `ShardBatches`.

        Returns:
            The batches.
        """
        return ShardBatches(
            self._shards, batch_size, self._names(), prepare=self._prepare, **options
        )

    def codes(
        self, model: KVAE, folder: Path, placement: Placement, batch_size: int, **options: Any
    ) -> ShardBatches:
        """Batches of the encoder's outputs for the frames, from shards of their own.

        Args:
            model: the model whose encoder is used.
            folder: folder that the chief writes the outputs into, a shard for each shard of frames.
            placement: tells which worker is the chief; the others wait for it.
            batch_size: sequences in a batch.
            **options: other arguments of `ShardBatches`.

        Returns:
            The batches, with the arrays of `encoded`.
        """
        if placement.chief:
            for i, path in enumerate(self._shards.paths):
                write_shard(folder / path.name, encoded(model, self._sequences(i)))
        placement.wait()
        shards = open_shards(folder, {"codes": "of the encoder"})
        return ShardBatches(
            shards, batch_size, {n: n for n in _CODES if n in shards.shapes}, **options
        )

    def _names(self) -> dict[str, str]:
        return {name: new for name, new in _NAMES.items() if name in self._shards.shapes}

    def _prepare(self, number: int, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = {name: arrays[new] for name, new in _NAMES.items() if new in arrays}
        sequences = self._missing(sequences_of(found, self._shards.paths[number]), number)
        return sequences.batch()

    def _sequences(self, i: int) -> Sequences:
        return self._missing(
            sequences_of(self._shards.read(i, self._names()), self._shards.paths[i]), i
        )


def encoded(model: KVAE, sequences: Sequences, batch_size: int = 256) -> dict[str, np.ndarray]:
    """The encoder's outputs for all sequences, for training without the encoder.

    Args:
        model: the model whose encoder is used.
        sequences: N sequences of T frames.
        batch_size: sequences that are encoded at a time.

    Returns:
        `codes` and `variance` [N, T, dim_a], the mean and variance of q(a|x); `mask` and `controls`
        if the sequences have them.
    """
    parts = []
    for i in range(0, len(sequences), batch_size):
        part = sequences.take(slice(i, i + batch_size))
        frames = np.nan_to_num(part.frames) if part.frames.dtype.kind == "f" else part.frames
        q = model.encode(frames, part.pixel_mask)
        parts.append((q.mean().numpy(), q.variance().numpy()))
    codes, variance = (np.concatenate(each) for each in zip(*parts, strict=True))
    arrays = {"controls": sequences.controls}
    if sequences.batch_mask is not None:
        arrays["mask"] = sequences.observed.astype(np.float32)
    return {"codes": codes, "variance": variance} | {
        name: value for name, value in arrays.items() if value is not None
    }


def training_and_test(
    dataset: str, data_dir: str | Path, missing: Missing
) -> tuple[InMemory | Streamed, Sequences]:
    """Training and test data that a command's flags name.

    An .npz file is held in memory; its shards are streamed. The test set is NAME_test.npz beside it
    (of shards, the first files), or a tenth of the training sequences.

    Args:
        dataset: name of a world, or path of an .npz file.
        data_dir: folder of the worlds' data sets; one that is missing is made there.
        missing: the training frames that are left out.

    Returns:
        The training data and the test sequences.

    Raises:
        ValueError: `dataset` is neither, or the test frames differ in shape or number from the
            training frames.
    """
    path = Path(data_dir) / f"{dataset}.npz" if dataset in WORLDS else Path(dataset)
    if path.suffix != ".npz":
        raise ValueError(
            f"--dataset: expected one of {', '.join(WORLDS)}, or the path of an .npz file, got "
            f"{dataset!r}."
        )
    if dataset in WORLDS and not path.exists() and not shard_files(path):
        print(
            f"{path} is not there: making it, 5000 training and 1000 test sequences of the world "
            f"{dataset}"
        )
        write_dataset(WORLDS[dataset], path.parent, workers=os.cpu_count() or 1)
    whole = (
        load(path)
        if path.is_file()
        else open_shards(path, {"images": "[N, T, H, W] or [N, T, H, W, C]"})
    )
    test_path = path.with_name(f"{path.stem}_test.npz")
    if test_path.exists() or shard_files(test_path):
        train, test = (
            whole,
            load(test_path)
            if test_path.exists()
            else _loaded(open_shards(test_path, {"images": "frames"}), test_path),
        )
    else:
        train, test = whole.split(0.1, missing.seed)
        test = _loaded(test, path) if isinstance(test, Shards) else test
        print(
            f"no {test_path.name} beside {path.name}: {len(test)} of its sequences are kept for "
            "the test"
        )
    if isinstance(train, Shards):
        if "dt" in train.shapes:
            raise DataError(
                f"{path}: dt: not read from shards. Save the frames in one file, or on even steps "
                "with a mask."
            )
        training = Streamed(train, missing)
    else:
        if train.uneven or test.uneven:
            steps = max(train.steps, test.steps)
            train, test = train.extended(steps), test.extended(steps)
        training = InMemory(train, missing)
    if (test.image_shape, test.steps) != (training.image_shape, training.steps):
        raise ValueError(
            f"{test_path}: {test.steps} frames {test.image_shape} a sequence, {path} has "
            f"{training.steps} frames {training.image_shape}; training and test data must be alike."
        )
    return training, test


def _loaded(shards: Shards, path: Path) -> Sequences:
    """Sequences of the first files, as many files as hold the first `_TEST_MOST` sequences."""
    ends = np.cumsum(shards.lengths)
    count = 1 + int(np.searchsorted(ends, _TEST_MOST))
    names = [name for name in ("images", "mask", "controls", "dt") if name in shards.shapes]
    parts = [shards.read(i, names) for i in range(min(count, len(shards)))]
    return sequences_of(
        {name: np.concatenate([part[name] for part in parts]) for name in names}, path
    )
