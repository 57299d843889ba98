"""Encoding of episodes: the MDN-RNN is trained on codes of frames."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from seqvae.data import Shards, write_shard
from worldmodels.conv_vae import ConvVAE

BESIDE = ("actions", "rewards", "done")
"""Arrays of an episode that are copied unchanged beside the codes."""
_CHUNK = 250  # frames encoded at once; limits memory


def encode_episodes(
    vae: ConvVAE,
    episodes: Shards,
    out: str | Path,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Write an `.npz` of codes for every episode, under its name; existing files are kept.

    A file contains `mean` and `logvar` [T, z_size] float16 of q(z | x), as in the original, so that
    z can be drawn again at each use; also `actions` and, if the episode has them, `rewards` and
    `done`, unchanged.

    Args:
        vae: the model.
        episodes: the episodes.
        out: the folder to write to.
        progress: called with 1 after each episode.
    """
    for i, path in enumerate(episodes.paths):
        target = Path(out) / path.name
        if not target.exists():
            arrays = episodes.read(i)
            mean, logvar = encode(vae, arrays["frames"])
            beside = {name: arrays[name] for name in BESIDE if name in arrays}
            write_shard(
                target,
                {"mean": mean.astype(np.float16), "logvar": logvar.astype(np.float16)} | beside,
            )
        progress(1)


def encode(vae: ConvVAE, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encode any number of frames.

    Args:
        vae: the model.
        frames: [T, H, W, C].

    Returns:
        Mean and log-variance of q(z | x), [T, z_size] float32 each.
    """
    parts = [vae.encode(frames[i : i + _CHUNK]) for i in range(0, len(frames), _CHUNK)]
    mean, scale = (
        np.concatenate([getattr(q, name)().numpy() for q in parts]) for name in ("mean", "stddev")
    )
    return mean, 2.0 * np.log(scale)
