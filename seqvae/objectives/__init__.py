"""Terms of variational objectives, and how their weights change over epochs."""

from seqvae.objectives.annealing import KLAnnealing, cyclical, linear, sigmoid
from seqvae.objectives.gaussian import bounded, gaussian_kl
from seqvae.objectives.kl_weight import KLWeight
from seqvae.objectives.means import weighted_mean

__all__ = [
    "KLAnnealing",
    "KLWeight",
    "bounded",
    "cyclical",
    "gaussian_kl",
    "linear",
    "sigmoid",
    "weighted_mean",
]
