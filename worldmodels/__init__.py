"""World Models (Ha and Schmidhuber 2018, arXiv:1803.10122): the ConvVAE that sees, the MDN-RNN that
remembers, the controller that acts."""

from seqvae import __version__ as __version__
from seqvae.backend import require_tensorflow

require_tensorflow()

from worldmodels import original  # noqa: E402
from worldmodels.agent import Agent  # noqa: E402
from worldmodels.controller import Controller  # noqa: E402
from worldmodels.conv_vae import ConvVAE  # noqa: E402
from worldmodels.mdn_rnn import MDNRNN  # noqa: E402
from worldmodels.results import ConvVAETerms, Dream, Latents, Predicted, RNNData, State  # noqa: E402

__all__ = [
    "MDNRNN",
    "Agent",
    "Controller",
    "ConvVAE",
    "ConvVAETerms",
    "Dream",
    "Latents",
    "Predicted",
    "RNNData",
    "State",
    "original",
]
