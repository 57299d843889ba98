"""Bouncing-ball worlds: a world is a value, pymunk moves it, pygame draws it off-screen."""

from seqvae.physics.dataset import write_dataset
from seqvae.physics.episodes import write_episode
from seqvae.physics.recording import Split, record
from seqvae.physics.simulation import Motion, simulate
from seqvae.physics.worlds import WORLDS, Paddles, World

__all__ = [
    "WORLDS",
    "Motion",
    "Paddles",
    "Split",
    "World",
    "record",
    "simulate",
    "write_dataset",
    "write_episode",
]
