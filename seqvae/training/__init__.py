"""The GradientTape loop: stages, decay, clipping, checkpoints and resume, a run log, a progress bar."""

from seqvae.training.checkpoints import CheckpointError, Checkpoints
from seqvae.training.distribution import Distribution, WorkerLost, distribution
from seqvae.training.gradient_step import Step, gradient_step
from seqvae.training.loop import Interrupted, NonFiniteError, Stage, Trainer
from seqvae.training.run_log import RunLog
from seqvae.training.schedules import cosine_decay, exponential_decay
from seqvae.training.sequence_model import SequenceModel

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "Distribution",
    "Interrupted",
    "NonFiniteError",
    "RunLog",
    "SequenceModel",
    "Stage",
    "Step",
    "Trainer",
    "WorkerLost",
    "cosine_decay",
    "distribution",
    "exponential_decay",
    "gradient_step",
]
