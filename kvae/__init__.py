"""The Kalman variational auto-encoder, KVAE (Fraccaro, Kamronn, Paquet and Winther, NIPS 2017,
arXiv:1710.05741).
"""

from seqvae import __version__ as __version__
from seqvae.backend import require_tensorflow

require_tensorflow()

from kvae import original  # noqa: E402
from kvae.collapse import CollapseError, StopOnCollapse  # noqa: E402
from kvae.model import KVAE  # noqa: E402
from kvae.results import (  # noqa: E402
    Elbo,
    Filtered,
    Forecast,
    Generated,
    Imputed,
    ImputedWithSamples,
    LgssmBound,
    PosteriorSample,
    Scores,
    Smoothed,
)

__all__ = [
    "KVAE",
    "CollapseError",
    "Elbo",
    "Filtered",
    "Forecast",
    "Generated",
    "Imputed",
    "ImputedWithSamples",
    "LgssmBound",
    "PosteriorSample",
    "Scores",
    "Smoothed",
    "StopOnCollapse",
    "original",
]
