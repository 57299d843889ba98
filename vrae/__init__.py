"""Variational recurrent auto-encoders: `VRAE`, and in `vrae.vame` the RNN-VAE of VAME for animal
motion.
"""

from seqvae import __version__ as __version__
from seqvae.backend import require_tensorflow

require_tensorflow()

from vrae import vame  # noqa: E402
from vrae.model import VRAE  # noqa: E402
from vrae.results import VRAETerms  # noqa: E402

__all__ = ["VRAE", "VRAETerms", "vame"]
