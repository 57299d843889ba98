"""Sequences of frames in memory and in `.npz` files. Files are checked when read and written
atomically.
"""

import warnings
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.data.masks import is_observed
from seqvae.data.shards import open_shards
from seqvae.files import NPZ_ERRORS, DataError, reason

_KNOWN = ("images", "mask", "controls", "state", "dt")
"""The arrays that are read from a file. Its `images` are `frames` in memory."""
_SPARSE = 50
"""Limit on the even steps per given frame: every step between two frames is stored as an empty
frame.
"""


@dataclass(frozen=True)
class Sequences:
    """N sequences of T frames.

    Attributes:
        frames: [N, T, H, W] or [N, T, H, W, C], uint8 (0 to 255), bool, or floats in [0, 1].
        mask: [N, T], 1 or True = observed, 0 or False = missing; None: all observed. A missing
            frame may contain NaN. A mask of single pixels has the shape of the frames, or
            [N, T, H, W] for all channels; it is stored as `pixel_mask`, and `mask` is then None.
        pixel_mask: mask of single pixels, bool, of the shape of the frames, True = observed; None:
            no single pixel is missing.
        controls: [N, T, dim_u] float32, the inputs that act on the step into each frame; None:
            none.
        state: [N, T, S] float32, the simulator's state; None: unknown. No model uses it.
        source: where the data came from, for messages.
        uneven: whether the frames were given at uneven times and were placed on even steps.
            Sequences may then end with missing frames.

    Raises:
        DataError: an array has another shape, type or range.
    """

    frames: np.ndarray
    mask: np.ndarray | None = None
    controls: np.ndarray | None = None
    state: np.ndarray | None = None
    pixel_mask: np.ndarray | None = None
    source: str = "the given arrays"
    uneven: bool = False

    def __post_init__(self):
        if self.mask is not None and self.mask.ndim > 2:
            if self.mask.shape == self.frames.shape[:-1] and self.frames.ndim == 5:
                every = np.broadcast_to(self.mask[..., None], self.frames.shape)
                object.__setattr__(self, "mask", every)
            _check_mask_of_pixels(self.mask, self.frames, self.source)
            object.__setattr__(self, "pixel_mask", self.mask > 0)
            object.__setattr__(self, "mask", None)
        if self.mask is not None and self.mask.dtype == bool:
            object.__setattr__(self, "mask", self.mask.astype(np.float32))
        _check(self)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def steps(self) -> int:
        """T, the frames in a sequence."""
        return self.frames.shape[1]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H, W) or (H, W, C)."""
        return self.frames.shape[2:]

    @property
    def observed(self) -> np.ndarray:
        """[N, T] bool: the frames with at least one observed pixel."""
        seen = np.ones(self.frames.shape[:2], bool) if self.mask is None else is_observed(self.mask)
        if self.pixel_mask is None:
            return seen
        return seen & self.pixel_mask.any(axis=tuple(range(2, self.frames.ndim)))

    @property
    def batch_mask(self) -> np.ndarray | None:
        """The mask as a model takes it: [N, T] float32; with single missing pixels a bool array of
        the shape of the frames; None: all observed.
        """
        if self.pixel_mask is None or self.mask is None:
            return self.mask if self.pixel_mask is None else self.pixel_mask
        return self.pixel_mask & _like(is_observed(self.mask), self.frames)

    @property
    def _observed_mask(self) -> np.ndarray | None:
        """`batch_mask` as bool."""
        return None if self.batch_mask is None else is_observed(self.batch_mask)

    def batch(self) -> dict[str, np.ndarray]:
        """Arguments of a model.

        Returns:
            `frames`, and `mask` and `controls` if there are any.
        """
        named = {"frames": self.frames, "mask": self.batch_mask, "controls": self.controls}
        return {name: value for name, value in named.items() if value is not None}

    def mean_frame(self) -> np.ndarray:
        """Mean of the observed frames or pixels.

        Returns:
            [*image_shape] float32 in [0, 1]. A pixel that is never observed has the mean of the
            others.
        """
        seen, total, count = self._observed_mask, np.zeros(self.image_shape), 0
        for i, frames in enumerate(self.frames):  # one by one: as floats all would take 4x memory
            if seen is None or seen.ndim == 2:
                shown = frames if seen is None else frames[seen[i]]
                total += unit_pixels(shown).sum(axis=0, dtype=np.float64)
                count += len(shown)
            else:
                total += np.where(seen[i], unit_pixels(frames), 0.0).sum(axis=0, dtype=np.float64)
                count = count + seen[i].sum(axis=0)
        mean = np.divide(total, count, where=np.asarray(count) > 0, out=np.full_like(total, np.nan))
        return np.asarray(np.where(np.isnan(mean), np.nanmean(mean), mean), np.float32)

    def complete(self, fill: np.ndarray) -> np.ndarray:
        """Frames without gaps.

        Args:
            fill: [*image_shape] in [0, 1], the values of missing pixels and frames.

        Returns:
            The frames as float32 in [0, 1].
        """
        frames, seen = unit_pixels(self.frames), self._observed_mask
        return frames if seen is None else np.where(_like(seen, frames), frames, fill)

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

    def extended(self, steps: int) -> "Sequences":
        """Append missing frames.

        Args:
            steps: the number of frames in a sequence afterwards, at least T.

        Returns:
            The sequences.
        """
        if steps == self.steps:
            return self
        arrays = self.arrays()
        arrays.setdefault("mask", np.ones(self.frames.shape[:2], np.float32))
        longer = {
            name: np.concatenate(
                [value, np.zeros((len(self), steps - self.steps, *value.shape[2:]), value.dtype)], 1
            )
            for name, value in arrays.items()
        }
        return replace(self, **longer)

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
                "into several, or give a separate test file (NAME_test.npz beside NAME.npz)."
            )
        order = np.random.default_rng([seed, len(self)]).permutation(len(self))
        test = min(max(1, round(test_fraction * len(self))), len(self) - 1)
        return self.take(np.sort(order[test:])), self.take(np.sort(order[:test]))

    def fingerprint(self) -> str:
        """An identifier of these sequences: their shape and a checksum of every array."""
        arrays, checksum = self.arrays(), 0
        arrays["images"] = arrays.pop("frames")  # their name in files and in existing checkpoints
        for name, value in sorted(arrays.items()):
            checksum = zlib.crc32(value.tobytes(), zlib.crc32(name.encode(), checksum))
        return f"{list(self.frames.shape)} {checksum:08x}"

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are not None, by name."""
        names = ("frames", "mask", "controls", "state", "pixel_mask")
        named = {name: getattr(self, name) for name in names}
        return {name: value for name, value in named.items() if value is not None}


def _like(mask: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """The mask, with axes of size 1 appended up to the rank of the frames."""
    return mask.reshape(*mask.shape, *[1] * (frames.ndim - mask.ndim))


def unit_pixels(frames: np.ndarray) -> np.ndarray:
    """Convert frames to float32 in [0, 1].

    Args:
        frames: uint8 (0 to 255), bool, or floats.

    Returns:
        float32 of the same shape.
    """
    return frames / np.float32(255) if frames.dtype == np.uint8 else frames.astype(np.float32)


def load(path: str | Path) -> Sequences:
    """Read sequences from a `.npz` file, or from its shards `NAME-00000-of-0000N.npz`.

    The file has the arrays of `Sequences`. Its frames have the name `images`, and only they are
    needed. For frames at uneven times it also has `dt` [N, T], the whole number of steps since the
    frame before; the first column is not used. Frames are then placed on even steps, and the steps
    between are missing frames with the controls of the next frame. Other arrays are not read, with
    a warning.

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
    _warn_of_unread(path, shards.shapes)
    names = [name for name in _KNOWN if name in shards.shapes]
    parts = [shards.read(i, names) for i in range(len(shards))]
    return sequences_of({name: np.concatenate([p[name] for p in parts]) for name in names}, path)


def sequences_of(arrays: dict[str, np.ndarray], path: Path) -> Sequences:
    """Convert the arrays of a file to `Sequences`.

    Args:
        arrays: the arrays by name, with `images`; see `load`.
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
            "one-bit frames as bool, or multiply by 255."
        )
    given = {name: value for name, value in arrays.items() if name != "dt"}
    found = _in_memory(given, path)
    if "dt" not in arrays:
        return found
    return _in_memory(_on_even_steps(given, np.asarray(arrays["dt"]), path), path, uneven=True)


def _in_memory(arrays: dict[str, np.ndarray], path: Path, uneven: bool = False) -> Sequences:
    others: dict[str, Any] = {name: value for name, value in arrays.items() if name != "images"}
    return Sequences(arrays["images"], source=str(path), uneven=uneven, **others)


def _on_even_steps(
    arrays: dict[str, np.ndarray], dt: np.ndarray, path: Path
) -> dict[str, np.ndarray]:
    """The arrays, of right shapes, placed on even steps. `state` is dropped, because it is unknown
    between two frames.
    """
    images, count = arrays["images"], arrays["images"].shape[:2]
    if dt.shape != count:
        raise DataError(
            f"{path}: dt has the shape {list(dt.shape)}, expected {list(count)} to fit images."
        )
    if dt.dtype.kind not in "uif":
        raise DataError(f"{path}: dt is an array of {dt.dtype}, expected whole numbers.")
    later = dt[:, 1:].astype(np.float64)
    if not ((later >= 1) & (later == np.rint(later))).all():
        raise DataError(
            f"{path}: dt: expected whole numbers of at least 1, the steps since the frame before. "
            "Divide the times by the length of a step and round them."
        )
    at = np.cumsum(np.pad(later, ((0, 0), (1, 0))), axis=1).astype(int)
    steps = int(at.max()) + 1
    if steps > _SPARSE * count[1]:
        raise DataError(
            f"{path}: dt: {steps} steps for {count[1]} frames, expected at most {_SPARSE} steps a "
            "frame. Cut the sequences at their long gaps, or divide the times by a longer step."
        )
    rows = np.arange(count[0])[:, None]

    def placed(value: np.ndarray) -> np.ndarray:
        found = np.zeros((count[0], steps, *value.shape[2:]), value.dtype)
        found[rows, at] = value
        return found

    mask = arrays.get("mask", np.ones(count, np.float32))
    even = {"images": placed(images), "mask": placed(mask)}
    if "controls" in arrays:
        # `controls` act on the step into a frame, so a step without a frame has those of the next
        following = [np.searchsorted(row, np.arange(steps)) for row in at]
        following = np.minimum(np.stack(following), count[1] - 1)
        even["controls"] = arrays["controls"][rows, following]
    return even


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
            _warn_of_unread(path, names)
            return {name: file[name] for name in _KNOWN if name in names}
    except DataError:
        raise
    except NPZ_ERRORS as error:
        if isinstance(error, ValueError):
            raise DataError(
                f"{path}: not a .npz of plain arrays ({reason(error)}). Save it with "
                "np.savez_compressed."
            ) from error
        raise DataError(
            f"{path}: not a readable .npz file, it may be truncated ({reason(error)}). "
            "Write it again."
        ) from error


def _warn_of_unread(path: Path, names: Iterable[str]) -> None:
    if others := sorted(set(names).difference(_KNOWN)):
        warnings.warn(
            f"{path}: not read: {', '.join(others)}. Known arrays: {', '.join(_KNOWN)}.",
            stacklevel=4,
        )


def _check(data: Sequences) -> None:
    frames, where = data.frames, data.source
    if frames.ndim not in (4, 5):
        raise DataError(
            f"{where}: the frames have the shape {frames.shape}, expected [N, T, H, W] or [N, T, "
            "H, W, C]: sequences, frames, rows, columns, channels."
        )
    if 0 in frames.shape:
        raise DataError(
            f"{where}: the frames have the shape {frames.shape}: empty. Give at least one "
            "sequence of one frame."
        )
    count = frames.shape[:2]
    if data.mask is not None:
        _check_mask(data, data.mask, count)
    for name in ("controls", "state"):
        value = getattr(data, name)
        if value is not None and (value.ndim != 3 or value.shape[:2] != count):
            raise DataError(
                f"{where}: {name} has the shape {value.shape}, expected {[*count, 'size']} to fit "
                "the frames."
            )
        if value is not None and not np.isfinite(value).all():
            raise DataError(f"{where}: {name} contains NaN or infinity; expected finite numbers.")
    if data.pixel_mask is not None:
        _check_some_observed(data.observed, where)
    _check_values(frames, data.batch_mask, where)


def _check_mask_of_pixels(mask: np.ndarray, frames: np.ndarray, where: str) -> None:
    if mask.shape != frames.shape:
        raise DataError(
            f"{where}: mask has the shape {mask.shape}, expected {list(frames.shape[:2])} to fit "
            f"the frames, or for single pixels {list(frames.shape)}."
        )
    if mask.dtype != bool and not np.isin(mask, (0, 1)).all():
        raise DataError(f"{where}: mask: expected only 1 (observed) and 0 (missing).")


def _check_mask(data: Sequences, mask: np.ndarray, count: tuple[int, ...]) -> None:
    if mask.shape != count:
        raise DataError(
            f"{data.source}: mask has the shape {mask.shape}, expected {list(count)} to fit the "
            "frames."
        )
    if not np.isin(mask, (0, 1)).all():
        raise DataError(f"{data.source}: mask: expected only 1 (observed) and 0 (missing).")
    _check_some_observed(mask > 0, data.source)


def _check_some_observed(observed: np.ndarray, where: str) -> None:
    """Check that every sequence has an observed frame; observed: [N, T] bool."""
    empty = np.flatnonzero(~observed.any(axis=1))
    if len(empty):
        raise DataError(
            f"{where}: mask has no observed frame in {len(empty)} sequences, the first is "
            f"{empty[0]}. 1 means observed, 0 missing; leave out sequences that were never "
            "observed."
        )


def _check_values(frames: np.ndarray, mask: np.ndarray | None, where: str) -> None:
    if frames.dtype in (bool, np.uint8):
        return
    if not np.issubdtype(frames.dtype, np.floating):
        raise DataError(
            f"{where}: the frames are {frames.dtype}, expected uint8, bool, or floats in [0, 1]."
        )
    # in slices, because indexing the whole array by the mask would double the memory
    for first in range(0, len(frames), 256):
        part = frames[first : first + 256]
        seen = part if mask is None else part[mask[first : first + 256] > 0]
        if np.isnan(seen).any():
            raise DataError(
                f"{where}: NaN in an observed frame (sequences {first} to "
                f"{first + len(part) - 1}). Set the mask to 0 where a frame is missing."
            )
        if seen.size and (seen.min() < 0 or seen.max() > 1):
            raise DataError(
                f"{where}: observed frames have values from {seen.min():g} to {seen.max():g}, "
                "expected [0, 1]. Divide by the largest value, or save uint8."
            )
