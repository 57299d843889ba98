"""World Models (Ha and Schmidhuber 2018, arXiv:1803.10122): vision (ConvVAE), memory (MDN-RNN) and
controller.
"""

from typing import TYPE_CHECKING

from seqvae import __version__ as __version__
from seqvae.backend import require_tensorflow

require_tensorflow()

from worldmodels import original  # noqa: E402
from worldmodels.agent import Agent  # noqa: E402
from worldmodels.controller import Controller  # noqa: E402
from worldmodels.conv_vae import ConvVAE  # noqa: E402
from worldmodels.mdn_rnn import MDNRNN  # noqa: E402
from worldmodels.results import ConvVAETerms, Dream, Imagined, Latents, Predicted, RNNData, State  # noqa: E402

if TYPE_CHECKING:
    from worldmodels.dream_env import DreamEnv as DreamEnv
    from worldmodels.dream_env import DreamVectorEnv as DreamVectorEnv

__all__ = [
    "MDNRNN",
    "Agent",
    "Controller",
    "ConvVAE",
    "ConvVAETerms",
    "Dream",
    "Imagined",
    "Latents",
    "Predicted",
    "RNNData",
    "State",
    "original",
]


def __getattr__(name: str):
    """Import the environments on first use: they need gymnasium, an optional dependency."""
    if name in ("DreamEnv", "DreamVectorEnv"):
        from worldmodels import dream_env

        return getattr(dream_env, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), "DreamEnv", "DreamVectorEnv"]
