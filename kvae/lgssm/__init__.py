"""The linear Gaussian state-space model (LGSSM): one step, whole sequences, gaps, bounds, and a TFP
distribution.
"""

from kvae.lgssm.continuous import discretise
from kvae.lgssm.distribution import MixedLGSSM

__all__ = ["MixedLGSSM", "discretise"]
