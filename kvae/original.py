"""Weights and configurations of the original program (simonkamronn/kvae, TensorFlow 1)."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kvae.model import KVAE

# In the original's checkpoints, but not weights of the model: fixed matrices, optimiser slots.
_NOT_WEIGHTS = (
    "Q",
    "R",
    "Sigma",
    "mu",
    "global_step",
    "vae_updates/",
    "vae_kf_updates/",
    "all_updates/",
)
_MODEL_OPTIONS = (
    "out_distr",
    "conv",
    "activation",
    "filter_size",
    "num_filters",
    "vae_num_units",
    "num_layers",
    "noise_pixel_var",
    "ll_keep_prob",
    "use_vae",
    "dim_a",
    "dim_z",
    "dim_u",
    "K",
    "noise_emission",
    "noise_transition",
    "init_cov",
    "alpha_rnn",
    "alpha_units",
    "alpha_layers",
    "alpha_activation",
    "fifo_size",
    "learn_u",
    "init_kf_matrices",
    "scale_reconstruction",
    "sample_z",
)


def build(config: str | Path | Mapping, image_shape: Sequence[int]) -> KVAE:
    """Make a model from the original's `config.json`, with the original's sampled bound.

    Args:
        config: the file's path, or its content.
        image_shape: (H, W) or (H, W, C).

    Returns:
        The model, not trained.

    Raises:
        ValueError: the configuration lacks one of the model's flags.
    """
    found: Any = (
        config
        if isinstance(config, Mapping)
        else json.loads(Path(config).read_text(encoding="utf-8"))
    )
    missing = [name for name in _MODEL_OPTIONS if name not in found]
    if missing:
        raise ValueError(
            f"config: expected the original's config.json, it lacks {', '.join(missing)}."
        )
    return KVAE(image_shape, **{name: found[name] for name in _MODEL_OPTIONS}, bound="sampled")


def load(model: KVAE, source: str | Path | Mapping[str, np.ndarray]) -> None:
    """Set the model's weights to the original's.

    Args:
        model: the model, such as `build` returns it.
        source: the prefix of a TensorFlow 1 checkpoint (`.../model.ckpt`), or a mapping from the
            original's variable names, such as "vae/encoder/fully_connected/weights", to arrays.

    Raises:
        ValueError: names are missing or left over, or shapes differ; the message lists all of them,
            and no weight is changed.
    """
    arrays = dict(source) if isinstance(source, Mapping) else _read_checkpoint(str(source))
    plan = _plan(model)
    problems = [f"missing: {name}" for name in plan if name not in arrays]
    problems += [
        f"left over: {name}"
        for name in arrays
        if name not in plan and not name.startswith(_NOT_WEIGHTS)
    ]
    for name, target in plan.items():
        if name in arrays and np.shape(arrays[name]) != target.shape:
            problems.append(
                f"shape: {name} is {np.shape(arrays[name])}, the model has {target.shape}"
            )
    if problems:
        raise ValueError(
            "source: these weights do not fit the model. Build it from the run's config.json with "
            "kvae.original.build.\n  " + "\n  ".join(problems)
        )
    for name, target in plan.items():
        target.assign(np.asarray(arrays[name]))


class _Target(NamedTuple):
    """Where one of the original's variables is stored: in one weight, or in the rows of two."""

    shape: tuple[int, ...]
    assign: Callable[[np.ndarray], object]


def _plan(model: KVAE) -> dict[str, _Target]:
    plan = {
        name: _whole(weight)
        for name, weight in (("A", model.A), ("B", model.B), ("C", model.C), ("y_0", model.a_0))
    }
    if model.get_config()["conv"]:
        encoder_names, decoder_names = _conv_names(model)
    else:
        encoder_names, decoder_names = _mlp_names(model)
    for part, network, names in (
        ("encoder", model.frame_vae.encoder, encoder_names),
        ("decoder", model.frame_vae.decoder, decoder_names),
    ):
        for layer, name in names.items():
            weights = network.get_layer(layer)
            order = (
                _depth_to_space_order if part == "decoder" and layer.startswith("conv_") else None
            )
            plan[f"vae/{part}/{name}/weights"] = _whole(weights.kernel, order)
            plan[f"vae/{part}/{name}/biases"] = _whole(weights.bias, order)
    return plan | _dynamics_plan(model)


def _conv_names(model: KVAE) -> tuple[dict[str, str], dict[str, str]]:
    layers = len(model.get_config()["num_filters"])
    encoder = {f"conv_{i}": f"Stack/convolution2d_{i}" for i in range(1, layers + 1)} | _heads(
        model
    )
    convs = [f"conv_{i}" for i in range(1, layers + 1)] + ["pixels"]
    decoder = {"dense": "fully_connected"}
    decoder |= {layer: "Conv" if i == 0 else f"Conv_{i}" for i, layer in enumerate(convs)}
    return encoder, decoder


def _mlp_names(model: KVAE) -> tuple[dict[str, str], dict[str, str]]:
    hidden = {
        f"dense_{i}": f"Repeat/fully_connected_{i}"
        for i in range(1, model.get_config()["num_layers"] + 1)
    }
    return hidden | _heads(model), hidden | {"pixels": "fully_connected"}


def _heads(model: KVAE) -> dict[str, str]:
    mean = {"mean": "fully_connected"}
    return mean | {"variance": "fully_connected_1"} if model.get_config()["use_vae"] else mean


def _dynamics_plan(model: KVAE) -> dict[str, _Target]:
    network, config = model.dynamics, model.get_config()
    if model.K == 1:
        return {}
    plan = {}
    if config["alpha_rnn"]:
        kernel, recurrent, bias = (
            network.lstm.cell.kernel,
            network.lstm.cell.recurrent_kernel,
            network.lstm.cell.bias,
        )
        split = kernel.shape[0]

        def assign_kernel(value):
            kernel.assign(_gates(value[:split]))
            recurrent.assign(_gates(value[split:]))

        def assign_bias(value):
            i, f, c, o = np.split(_gates(value), 4)
            # BasicLSTMCell adds a forget bias of 1 at run time
            bias.assign(np.concatenate([i, f + 1.0, c, o]))

        plan["alpha/basic_lstm_cell/kernel"] = _Target(
            (split + recurrent.shape[0], kernel.shape[1]), assign_kernel
        )
        plan["alpha/basic_lstm_cell/bias"] = _Target(tuple(bias.shape), assign_bias)
    layers = {f"hidden/hidden_{i}": layer for i, layer in enumerate(network.hidden, 1)} | {
        "alpha_var": network.mix
    }
    if network.control is not None:
        layers["u_var"] = network.control
    for name, layer in layers.items():
        plan[f"alpha/{name}/weights"], plan[f"alpha/{name}/biases"] = (
            _whole(layer.kernel),
            _whole(layer.bias),
        )
    return plan


def _whole(weight, order=None) -> _Target:
    return _Target(
        tuple(weight.shape), lambda value: weight.assign(value if order is None else order(value))
    )


def _gates(value: np.ndarray) -> np.ndarray:
    """Reorder the gates of BasicLSTMCell (input, cell, forget, output) to those of Keras (input,
    forget, cell, output).
    """
    i, c, f, o = np.split(value, 4, axis=-1)
    return np.concatenate([i, f, c, o], axis=-1)


def _depth_to_space_order(value: np.ndarray) -> np.ndarray:
    """Reorder channels from the original's sub-pixel order (out, block_y, block_x) to TensorFlow's
    (block_y, block_x, out).
    """
    lead = value.shape[:-1]
    blocks = value.reshape(*lead, -1, 2, 2)
    return np.moveaxis(blocks, -3, -1).reshape(*lead, -1)


def _read_checkpoint(prefix: str) -> dict[str, np.ndarray]:
    try:
        reader = tf.train.load_checkpoint(prefix)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"source: no TensorFlow checkpoint can be read at {prefix}. Expected the prefix of its "
            f"files, such as run/model.ckpt for run/model.ckpt.index ({error})."
        ) from error
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
