"""The arguments of a `VRAE`, and their checks."""

from typing import Any

import keras
import numpy as np

from seqvae import checks
from seqvae.checks import check_size
from vrae import arguments, likelihoods
from vrae.encoder import POOLINGS, RNNS

DECODERS = ("autoregressive", "latent")


def check(config: dict[str, Any]) -> None:
    """Check the arguments.

    Args:
        config: the arguments by name.

    Raises:
        ValueError: an argument is out of range, or two do not fit together.
    """
    for name in ("feature_size", "z_size", "rnn_size", "num_layers", "patch"):
        check_size(name, config[name])
    for name in ("condition_size", "positions", "cosines"):
        check_size(name, config[name], least=0)
    for name, choices in (
        ("rnn", tuple(RNNS)),
        ("noise", likelihoods.NOISES),
        ("pooling", POOLINGS),
    ):
        checks.check_choice(name, config[name], choices)
    if isinstance(config["likelihood"], dict):
        columns = len(likelihoods.columns_of(config["likelihood"]))
        if columns != config["feature_size"]:
            raise ValueError(
                f"likelihood: expected one kind for each of {config['feature_size']} features, got "
                f"{columns}."
            )
    else:
        other = ", or a dict of columns"
        checks.check_choice("likelihood", config["likelihood"], likelihoods.NAMES, other)
    if not isinstance(config["decoder"], keras.Layer):
        checks.check_choice("decoder", config["decoder"], DECODERS, ", or a Keras layer")
    for name, least in (
        ("kl_weight", 0),
        ("free_bits", 0),
        ("noise_var", 1e-12),
        ("noise_floor", 1e-12),
        ("warp", 0),
    ):
        arguments.check_number(name, config[name], least)
    for name in ("teacher_forcing", "hidden", "mixing"):
        arguments.check_number(name, config[name], 0, 1)
    arguments.check_number("logvar_start", config["logvar_start"], -15, 5)
    _check_together(config)


def _check_together(config: dict) -> None:
    """Arguments that exclude or need each other."""
    steps = config["segment_steps"]
    if steps is not None:
        if not isinstance(config["decoder"], str):
            raise ValueError(
                f"segment_steps: expected None with a decoder that is a layer, got {steps!r}."
            )
        if not isinstance(steps, int | np.integer) or steps < 1:
            raise ValueError(f"segment_steps: expected None or at least 1, got {steps!r}.")
        if config["patch"] > 1:
            raise ValueError(f"segment_steps: expected None with patches, got {steps!r}.")
    if config["attention"] and config["pooling"] != "last":
        raise ValueError(f"pooling: expected last with attention, got {config['pooling']!r}.")
    if config["pooling"] == "position" and not config["positions"]:
        raise ValueError("pooling: position needs positions of at least 1, got positions=0.")
    numbers = config["likelihood"] in ("gaussian", "student_t")
    if config["cosines"] and not (config["decoder"] != "autoregressive" and numbers):
        raise ValueError(
            "cosines: expected 0, or decoder='latent' and the likelihood gaussian or student_t, "
            f"got {config['cosines']} with {config['decoder']!r} and {config['likelihood']!r}."
        )
    columns = isinstance(config["likelihood"], dict)
    if config["scaling"] is not None and not (numbers or columns):
        raise ValueError(f"scaling: expected None for {config['likelihood']}, got a dict.")
    for name in ("mixing", "warp"):
        if config[name] and not numbers:
            raise ValueError(
                f"{name}: expected 0, or the likelihood gaussian or student_t, got {config[name]}."
            )
    if (config["missing"] or config["hidden"]) and config["likelihood"] == "categorical":
        raise ValueError(
            "missing, hidden: expected False and 0 for categorical. Give missing tokens a number "
            "of their own."
        )
    if config["hidden"] and not config["missing"]:
        raise ValueError(f"hidden: expected missing=True with it, got {config['hidden']}.")


def scaling(scaling: dict | None, features: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Convert the argument `scaling`.

    Args:
        scaling: {"mean": [...], "deviation": [...]}, or None.
        features: number of features.

    Returns:
        Mean and deviation of each feature [features], or None and None.

    Raises:
        ValueError: the numbers are not as described.
    """
    if scaling is None:
        return None, None
    mean, deviation = (np.asarray(scaling[name], np.float64) for name in ("mean", "deviation"))
    if mean.shape != (features,) or deviation.shape != (features,):
        raise ValueError(
            f"scaling: expected a mean and a deviation for each of {features} features, got the "
            f"shapes {mean.shape} and {deviation.shape}."
        )
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all() and (deviation > 0).all()):
        raise ValueError("scaling: expected finite means and deviations above 0, got others.")
    return mean, deviation
