"""Episodes of a world with pushes, for a world model: frames and the actions between them."""

from pathlib import Path

from seqvae.data import write_shard
from seqvae.physics.recording import record
from seqvae.physics.worlds import World


def write_episode(
    world: World, path: str | Path, index: int, *, steps: int, seed: int = 1234
) -> None:
    """Record an episode of a world into an `.npz`. It depends only on the seed and the index.

    The file contains `frames` [T, H, W, C] uint8 and `actions` [T, 2] float32. An action is the
    push that changes the balls' velocity at that frame, in pixels per frame; it affects the next
    frame.

    Args:
        world: a world with `push` > 0.
        path: the file to write.
        index: the episode's number.
        steps: T, the frames of the episode.
        seed: seed of all episodes.

    Raises:
        ValueError: the world has no pushes.
    """
    if not world.push:
        raise ValueError(f"World {world.name!r}: push=0, there are no actions to record.")
    arrays = record(world, sequences=1, first=index, steps=steps, seed=seed)
    frames = arrays["images"][0]
    write_shard(
        path, {"frames": frames.reshape(*frames.shape[:3], -1), "actions": arrays["controls"][0]}
    )
