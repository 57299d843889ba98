"""Reading of an agent's parts from files."""

import os
from pathlib import Path

from seqvae.saved_models import load_model
from worldmodels.agent import check_parts
from worldmodels.controller import Controller
from worldmodels.conv_vae import ConvVAE
from worldmodels.mdn_rnn import MDNRNN


def load_parts(
    vae: str | os.PathLike, rnn: str | os.PathLike, controller: str | os.PathLike
) -> tuple[ConvVAE, MDNRNN | None, Controller]:
    """Read ConvVAE, MDN-RNN and controller.

    Args:
        vae: a `model.keras`, or the folder that holds it.
        rnn: the same; "" for a controller with inputs="z".
        controller: an `.npz` that `Controller.save` wrote.

    Returns:
        The three parts; None in place of an MDN-RNN.

    Raises:
        ValueError: a file is missing or holds something else, or the sizes do not fit.
    """
    paths = {"vae": vae, "rnn": rnn, "controller": controller}
    for name, path in paths.items():
        if not os.fspath(path) and name != "rnn":
            raise ValueError(f"{name}: expected a file, got none.")
        if os.fspath(path) and not Path(path).exists():
            raise ValueError(f"{name}: no {path}. Check the name, or train one.")
    policy = Controller.load(controller)
    vision = load_model(_file(vae), ConvVAE)
    memory = load_model(_file(rnn), MDNRNN) if os.fspath(rnn) else None
    check_parts(vision, memory, policy)
    return vision, memory, policy


def _file(path: str | os.PathLike) -> Path:
    return Path(path) / "model.keras" if Path(path).is_dir() else Path(path)
