"""From episodes of frames to episodes of codes: what the MDN-RNN is trained on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from seqvae.data import Shards, write_shard
from worldmodels.conv_vae import ConvVAE

BESIDE = ("actions", "rewards", "done")
_CHUNK = 250  # frames encoded at once: a bound on memory, not on speed


def encode_episodes(
    vae: ConvVAE,
    episodes: Shards,
    out: str | Path,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Writes an `.npz` into the folder `out` for every episode, under its name; those that are
    there already are kept.

    A file: `mean`, `logvar` [T, z_size] float16 of q(z | x), as the original keeps them, so that z
    can be drawn anew whenever it is used; `actions`, and where the episode has them `rewards` and
    `done`, unchanged.

    Args:
        progress: called after each episode, with 1.
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
    """Mean and log-variance of q(z | x), [T, z_size] float32 each, for frames [T, H, W, C] of any
    number."""
    parts = [vae.encode(frames[i : i + _CHUNK]) for i in range(0, len(frames), _CHUNK)]
    mean, scale = (
        np.concatenate([getattr(q, name)().numpy() for q in parts]) for name in ("mean", "stddev")
    )
    return mean, 2.0 * np.log(scale)
