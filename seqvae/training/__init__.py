"""The GradientTape loop: stages, schedules, clipping, checkpoints and resuming, a run log, a
progress bar.
"""

from seqvae.training.checkpoints import CheckpointError, Checkpoints
from seqvae.training.epochs import EpochLoop
from seqvae.training.gradient_step import Step, gradient_step
from seqvae.training.loop import Interrupted, NonFiniteError, Stage, Trainer
from seqvae.training.run_log import RunLog
from seqvae.training.schedules import cosine_decay, exponential_decay

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "EpochLoop",
    "Interrupted",
    "NonFiniteError",
    "RunLog",
    "Stage",
    "Step",
    "Trainer",
    "cosine_decay",
    "exponential_decay",
    "gradient_step",
]
