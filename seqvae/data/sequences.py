"""Sequences of frames in memory and in `.npz` files. Files are checked when read and written
atomically.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seqvae.data.shards import open_shards
from seqvae.files import NPZ_ERRORS, DataError

_NAMES = ("images", "mask", "controls", "state")


@dataclass(frozen=True)
class Sequences:
    """N sequences of T frames.

    Attributes:
        images: [N, T, H, W] or [N, T, H, W, C], uint8 (0 to 255), bool, or floats in [0, 1].
        mask: [N, T], 1 or True = observed, 0 or False = missing; None: all observed. A missing
            frame may contain NaN.
        controls: [N, T, dim_u] float32, the inputs that act on the step into each frame; None:
            none.
        state: [N, T, S] float32, the simulator's state; None: unknown. No model uses it.
        source: where the data came from, for messages.

    Raises:
        DataError: an array has another shape, type or range.
    """

    images: np.ndarray
    mask: np.ndarray | None = None
    controls: np.ndarray | None = None
    state: np.ndarray | None = None
    source: str = "the given arrays"

    def __post_init__(self):
        if self.mask is not None and self.mask.dtype == bool:
            object.__setattr__(self, "mask", self.mask.astype(np.float32))
        _check(self)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def steps(self) -> int:
        """T, the frames in a sequence."""
        return self.images.shape[1]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H, W) or (H, W, C)."""
        return self.images.shape[2:]

    @property
    def observed(self) -> np.ndarray:
        """[N, T] bool, True where a frame is observed."""
        return np.ones(self.images.shape[:2], bool) if self.mask is None else self.mask > 0.5

    def mean_frame(self) -> np.ndarray:
        """The mean of the observed frames, [H, W(, C)] float32, pixels in [0, 1]."""
        seen = self.observed
        total = sum(  # one sequence at a time: floats of all frames would need 4x the memory
            unit_pixels(images[mask]).sum(axis=0, dtype=np.float64)
            for images, mask in zip(self.images, seen, strict=True)
        )
        return np.asarray(total / seen.sum(), np.float32)

    def take(self, indices: slice | Sequence[int] | np.ndarray) -> "Sequences":
        """Select sequences.

        Args:
            indices: a slice, or an array of integers.

        Returns:
            The selected sequences.
        """
        fields = {name: value[indices] for name, value in self.arrays().items()}
        return replace(self, **fields)

    def with_mask(self, mask: np.ndarray) -> "Sequences":
        """Combine the mask with another one.

        Args:
            mask: [N, T], 1 = observed.

        Returns:
            The same frames, observed where both masks are 1.
        """
        return replace(
            self, mask=np.asarray(mask, np.float32) * (1.0 if self.mask is None else self.mask)
        )

    def split(self, test_fraction: float, seed: int) -> tuple["Sequences", "Sequences"]:
        """Split the sequences at random into training and test data, at least one sequence each.

        Args:
            test_fraction: the share of test sequences.
            seed: seed of the choice.

        Returns:
            Training and test sequences.

        Raises:
            DataError: there is only one sequence.
        """
        if len(self) < 2:
            raise DataError(
                f"{self.source}: one sequence cannot be split into training and test data. Cut it "
                "into several, or "
                "give a separate test file (NAME_test.npz beside NAME.npz)."
            )
        order = np.random.default_rng([seed, len(self)]).permutation(len(self))
        test = min(max(1, round(test_fraction * len(self))), len(self) - 1)
        return self.take(np.sort(order[test:])), self.take(np.sort(order[:test]))

    def fingerprint(self) -> str:
        """An identifier of these sequences: their shape and a checksum of every array."""
        checksum = 0
        for name, value in sorted(self.arrays().items()):
            checksum = zlib.crc32(value.tobytes(), zlib.crc32(name.encode(), checksum))
        return f"{list(self.images.shape)} {checksum:08x}"

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are not None, by name."""
        named = {name: getattr(self, name) for name in _NAMES}
        return {name: value for name, value in named.items() if value is not None}


def unit_pixels(images: np.ndarray) -> np.ndarray:
    """Convert frames to float32 in [0, 1].

    Args:
        images: uint8 (0 to 255), bool, or floats.

    Returns:
        float32 of the same shape.
    """
    return images / np.float32(255) if images.dtype == np.uint8 else images.astype(np.float32)


def load(path: str | Path) -> Sequences:
    """Read sequences from a `.npz` file, or from its shards `NAME-00000-of-0000N.npz`.

    Args:
        path: the file, or the name that its shards are derived from.

    Returns:
        The sequences.

    Raises:
        FileNotFoundError: neither the file nor a complete set of shards exists.
        DataError: the file is truncated, is not a `.npz`, lacks `images`, or has invalid values.
    """
    path = Path(path)
    if path.is_file():
        return sequences_of(_read(path), path)
    shards = open_shards(path, {"images": "[N, T, H, W] or [N, T, H, W, C]"})
    names = [name for name in _NAMES if name in shards.shapes]
    parts = [shards.read(i, names) for i in range(len(shards))]
    return sequences_of({name: np.concatenate([p[name] for p in parts]) for name in names}, path)


def sequences_of(arrays: dict[str, np.ndarray], path: Path) -> Sequences:
    """Convert the arrays of a file to `Sequences`.

    Args:
        arrays: the arrays by name, with `images`.
        path: the file, for messages.

    Returns:
        The sequences.

    Raises:
        DataError: an array has another shape, type or range.
    """
    images = arrays["images"]
    if images.dtype == np.uint8 and images.size and images.max() == 1:
        raise DataError(
            f"{path}: images are uint8 with no value above 1; uint8 is read as 0 to 255. Save "
            "one-bit frames as bool, "
            "or multiply by 255."
        )
    return Sequences(**arrays, source=str(path))


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise DataError(
                f"{path}: a single .npy array, expected a .npz with the array `images`."
            )
        with file:
            names = set(file.files)
            if "images" not in names:
                raise DataError(
                    f"{path}: no array `images` in it, only {sorted(names)}. Save the frames with "
                    "np.savez_compressed(path, images=frames), frames [N, T, H, W] or [N, T, H, W, "
                    "C]."
                )
            return {name: file[name] for name in _NAMES if name in names}
    except DataError:
        raise
    except NPZ_ERRORS as error:
        if isinstance(error, ValueError):
            raise DataError(
                f"{path}: not a .npz of plain arrays ({error}). Save it with np.savez_compressed."
            ) from error
        raise DataError(
            f"{path}: not a readable .npz file, it may be truncated ({error}). Write it again."
        ) from error


def _check(data: Sequences) -> None:
    images, where = data.images, data.source
    if images.ndim not in (4, 5):
        raise DataError(
            f"{where}: images has the shape {images.shape}, expected [N, T, H, W] or [N, T, H, W, "
            "C]: sequences, "
            "frames, rows, columns, channels."
        )
    if 0 in images.shape:
        raise DataError(
            f"{where}: images has the shape {images.shape}: empty. Give at least one sequence of "
            "one frame."
        )
    count = images.shape[:2]
    if data.mask is not None:
        _check_mask(data, data.mask, count)
    for name in ("controls", "state"):
        value = getattr(data, name)
        if value is not None and (value.ndim != 3 or value.shape[:2] != count):
            raise DataError(
                f"{where}: {name} has the shape {value.shape}, expected {[*count, 'size']} to fit "
                "images."
            )
        if value is not None and not np.isfinite(value).all():
            raise DataError(f"{where}: {name} holds NaN or infinity; every value must be finite.")
    _check_values(images, data.mask, where)


def _check_mask(data: Sequences, mask: np.ndarray, count: tuple[int, ...]) -> None:
    if mask.shape != count:
        raise DataError(
            f"{data.source}: mask has the shape {mask.shape}, expected {list(count)} to fit images."
        )
    if not np.isin(mask, (0, 1)).all():
        raise DataError(f"{data.source}: mask must hold 1 (observed) and 0 (missing) only.")
    blind = np.flatnonzero(~(mask > 0).any(axis=1))
    if len(blind):
        raise DataError(
            f"{data.source}: mask has no observed frame in {len(blind)} sequences, the first is "
            f"{blind[0]}. "
            "1 means observed, 0 missing; leave out sequences that were never observed."
        )


def _check_values(images: np.ndarray, mask: np.ndarray | None, where: str) -> None:
    if images.dtype in (bool, np.uint8):
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(
            f"{where}: images are {images.dtype}, expected uint8, bool, or floats in [0, 1]."
        )
    for first in range(
        0, len(images), 256
    ):  # in slices: indexing the whole array by the mask would double the memory
        part = images[first : first + 256]
        seen = part if mask is None else part[mask[first : first + 256] > 0]
        if np.isnan(seen).any():
            raise DataError(
                f"{where}: NaN in an observed frame (sequences {first} to "
                f"{first + len(part) - 1}). Set the mask to 0 "
                "where a frame is missing."
            )
        if seen.size and (seen.min() < 0 or seen.max() > 1):
            raise DataError(
                f"{where}: observed frames hold values from {seen.min():g} to {seen.max():g}, "
                "expected [0, 1]. Divide "
                "by the largest value, or save uint8."
            )
