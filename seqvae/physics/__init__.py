"""Simulated worlds and their videos: bouncing balls, simulated by pymunk and drawn by pygame, and
pendulums. A world is a dataclass of its parameters.
"""

from seqvae.physics.dataset import write_dataset
from seqvae.physics.episodes import write_episode
from seqvae.physics.pendulum import PENDULUMS, Pendulum
from seqvae.physics.recording import WORLDS, Split, record
from seqvae.physics.simulation import Motion, simulate
from seqvae.physics.worlds import BALL_WORLDS, Paddles, World

__all__ = [
    "BALL_WORLDS",
    "PENDULUMS",
    "WORLDS",
    "Motion",
    "Paddles",
    "Pendulum",
    "Split",
    "World",
    "record",
    "simulate",
    "write_dataset",
    "write_episode",
]
