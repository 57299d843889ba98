"""The initial codes of dreams: codes of real first frames."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqvae.checks import Array
from seqvae.data import open_shards
from worldmodels.original import read_json
from worldmodels.results import Latents


class Starts(NamedTuple):
    """q(z | x) of N first frames."""

    mean: np.ndarray
    """[N, z_size] float32."""
    logvar: np.ndarray
    """[N, z_size] float32; -infinity for fixed codes."""

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a code as the original does: one of the N frames, then z ~ q(z | x).

        Args:
            rng: the random generator.

        Returns:
            [z_size] float32.
        """
        i = rng.integers(len(self.mean))
        noise = rng.standard_normal(self.mean.shape[1])
        return (self.mean[i] + np.exp(0.5 * self.logvar[i]) * noise).astype(np.float32)


Source = Array | Latents | tuple[Array, Array] | str | os.PathLike
"""A source of initial codes, see `starts_of`."""


def starts_of(source: Source, z_size: int) -> Starts:
    """Read the initial codes from a source.

    Args:
        source: codes z [N, z_size]; a pair of mean and logvar, [N, z_size] each; `Latents`, whose
            first steps are used; the path of the original project's `initial_z.json`; or a folder
            of encoded episodes, such as `latents/` of a run of run_mdnrnn.py.
        z_size: size of a code.

    Returns:
        The initial codes.

    Raises:
        ValueError: the source does not exist, has another z_size, or contains numbers that are not
            finite.
    """
    if isinstance(source, str | os.PathLike):
        mean, logvar = _read(Path(source))
    elif isinstance(source, tuple) and len(source) in (2, 3):  # Latents is a tuple of three
        mean, logvar = (_first_steps(part) for part in source[:2])
    else:
        mean, logvar = source, None
    try:
        mean = np.asarray(mean, np.float32)
        logvar = np.full_like(mean, -np.inf) if logvar is None else np.asarray(logvar, np.float32)
    except (TypeError, ValueError):
        raise ValueError(
            f"starts: expected codes [N, {z_size}], (mean, logvar), Latents, or a path, got "
            f"{type(source).__name__}."
        ) from None
    if mean.ndim != 2 or mean.shape[1] != z_size or not len(mean) or logvar.shape != mean.shape:
        shapes = f"{mean.shape}" if np.isneginf(logvar).all() else f"{mean.shape}, {logvar.shape}"
        raise ValueError(
            f"starts: expected codes of the shape [N, {z_size}], got {shapes}. Encode first frames "
            "with the ConvVAE that the MDN-RNN was trained on."
        )
    if not np.isfinite(mean).all() or np.isnan(logvar).any() or np.isposinf(logvar).any():
        raise ValueError("starts: expected finite codes, got NaN or infinity.")
    return Starts(mean, logvar)


def _first_steps(part: Any) -> Any:
    """[N, z_size] of [N, T, z_size], or of a list of episodes [T, z_size]."""
    ranks = {np.ndim(episode) for episode in part}
    return [np.asarray(episode)[0] for episode in part] if ranks == {2} else part


def _read(path: Path) -> tuple[Any, Any]:
    if path.is_dir():
        episodes = open_shards(path, {"mean": "", "logvar": ""})
        first = [episodes.read(i, ("mean", "logvar")) for i in range(len(episodes))]
        mean, logvar = ([arrays[name][0] for arrays in first] for name in ("mean", "logvar"))
        return mean, logvar
    arrays = read_json(path)
    if len(arrays) != 2:
        raise ValueError(
            f"{path}: expected [means, log-variances] as in the original project's initial_z.json, "
            f"got {len(arrays)} arrays."
        )
    return arrays[0], arrays[1]
