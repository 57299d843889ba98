"""World Models (Ha and Schmidhuber 2018, arXiv:1803.10122): vision (ConvVAE), memory (MDN-RNN) and
controller.
"""

import importlib
from typing import TYPE_CHECKING

from seqvae import __version__ as __version__
from seqvae.backend import require_tensorflow

require_tensorflow()

from worldmodels import original  # noqa: E402
from worldmodels.agent import Agent  # noqa: E402
from worldmodels.controller import Controller  # noqa: E402
from worldmodels.conv_vae import ConvVAE  # noqa: E402
from worldmodels.dream_rollouts import DreamRollouts  # noqa: E402
from worldmodels.evolution import Evolution  # noqa: E402
from worldmodels.mdn_rnn import MDNRNN  # noqa: E402
from worldmodels.padding import padded  # noqa: E402
from worldmodels.planning import Planner  # noqa: E402
from worldmodels.results import ConvVAETerms, Dream, Imagined, Latents, Predicted, RNNData, State  # noqa: E402

if TYPE_CHECKING:
    from worldmodels.dream_env import DreamEnv as DreamEnv
    from worldmodels.dream_env import DreamVectorEnv as DreamVectorEnv
    from worldmodels.world_rollouts import WorldRollouts as WorldRollouts

_ON_FIRST_USE = {
    "DreamEnv": "worldmodels.dream_env",
    "DreamVectorEnv": "worldmodels.dream_env",
    "WorldRollouts": "worldmodels.world_rollouts",
}
"""Classes that need gymnasium, an optional dependency, or pygame, which takes time to import."""

__all__ = [
    "MDNRNN",
    "Agent",
    "Controller",
    "ConvVAE",
    "ConvVAETerms",
    "Dream",
    "DreamRollouts",
    "Evolution",
    "Imagined",
    "Latents",
    "Planner",
    "Predicted",
    "RNNData",
    "State",
    "original",
    "padded",
]


def __getattr__(name: str):
    """Import the classes of `_ON_FIRST_USE` on first use."""
    if name in _ON_FIRST_USE:
        return getattr(importlib.import_module(_ON_FIRST_USE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_ON_FIRST_USE]
