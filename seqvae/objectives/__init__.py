"""Terms of variational objectives: pure functions of tensors."""

from seqvae.objectives.gaussian import bounded, gaussian_kl

__all__ = ["bounded", "gaussian_kl"]
