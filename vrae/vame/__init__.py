"""Variational Animal Motion Embedding (VAME; Luxem et al. 2022, Communications Biology 5:1267): its
RNN-VAE, under VAME's names.
"""

from typing import TYPE_CHECKING

from vrae.vame import original, rnn_model, rnn_vae
from vrae.vame.config import Config, read_config, write_config
from vrae.vame.keypoints import Pose
from vrae.vame.preprocessing import Preprocessing, preprocess
from vrae.vame.project import (
    create_training,
    embed,
    load_sessions,
    observed_share,
    read_sessions,
    segment_sessions,
)
from vrae.vame.readers import read_pose
from vrae.vame.rnn_model import RNN_VAE
from vrae.vame.sessions import Session, load_session
from vrae.vame.training import Trained, load_best, snapshots

if TYPE_CHECKING:
    from vrae.vame.evaluation import evaluate

__all__ = [
    "RNN_VAE",
    "Config",
    "Pose",
    "Preprocessing",
    "Session",
    "Trained",
    "create_training",
    "embed",
    "evaluate",
    "load_best",
    "load_session",
    "load_sessions",
    "observed_share",
    "original",
    "preprocess",
    "read_config",
    "read_pose",
    "read_sessions",
    "rnn_model",
    "rnn_vae",
    "segment_sessions",
    "snapshots",
    "write_config",
]


def __getattr__(name: str):
    """Import `evaluate` on first use: it plots, and importing Matplotlib takes long."""
    if name == "evaluate":
        from vrae.vame.evaluation import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
