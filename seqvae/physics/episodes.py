"""A world with pushes as episodes for a world model: frames, and the actions between them."""

from pathlib import Path

from seqvae.data import write_shard
from seqvae.physics.recording import record
from seqvae.physics.worlds import World


def write_episode(
    world: World, path: str | Path, index: int, *, steps: int, seed: int = 1234
) -> None:
    """Records episode `index` of a world into an `.npz`; it depends on the seed and the index
    alone.

    `frames` [T, H, W, C] uint8; `actions` [T, 2] float32: the push that changes the balls' velocity
    at that frame, in pixels a frame, seen as motion from it to the next.
    """
    if not world.push:
        raise ValueError(f"World {world.name!r}: push=0, there are no actions to record.")
    arrays = record(world, sequences=1, first=index, steps=steps, seed=seed)
    frames = arrays["images"][0]
    write_shard(
        path, {"frames": frames.reshape(*frames.shape[:3], -1), "actions": arrays["controls"][0]}
    )
