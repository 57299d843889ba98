"""Weights of VAME itself (PyTorch): reading and writing."""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from seqvae.files import NPZ_ERRORS, reason
from vrae.vame.plain_pickle import Call, Name, read_plain
from vrae.vame.rnn_model import RNN_VAE

_GRU = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_TYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}
"""NumPy's types for PyTorch's."""


def load_state_dict(model: RNN_VAE, source: str | Path | Mapping[str, np.ndarray]) -> None:
    """Set the model's weights to VAME's.

    Args:
        model: the model.
        source: a mapping of VAME's names ("encoder.encoder_rnn.weight_ih_l0", ...) to arrays, an
            `.npz` of them, or a file that VAME saved (`.pkl`, `.pt`), which is read without running
            code. Files of torch before 1.6 are read by torch, which must be installed.

    Raises:
        ValueError: names are missing or left over, shapes differ, or values are not finite; the
            message lists all of them, and nothing is changed.
        ImportError: a file of torch before 1.6, and torch is not installed.
    """
    arrays = {name: np.asarray(value) for name, value in _read(source).items()}
    plan = to_state_dict(model)
    problems = [f"missing: {name}" for name in plan if name not in arrays]
    problems += [f"left over: {name}" for name in arrays if name not in plan]
    for name in plan.keys() & arrays.keys():
        if plan[name].shape != arrays[name].shape:
            problems.append(
                f"shape: {name} is {arrays[name].shape}, the model has {plan[name].shape}"
            )
        elif arrays[name].dtype.kind not in "fiu" or not np.isfinite(arrays[name]).all():
            problems.append(f"not finite: {name}")
    if problems:
        name = "these weights" if isinstance(source, Mapping) else f"the weights in {source}"
        raise ValueError(
            f"source: {name} do not fit the model; build it with the sizes of the config they were "
            "trained with.\n  " + "\n  ".join(sorted(problems))
        )
    for prefix, suffix, gru in _grus(model):
        parts = [arrays[f"{prefix}.{part}_{suffix}"] for part in _GRU]
        kernel, recurrent = (_swap_gates(part).T for part in parts[:2])
        for weight, value in zip(
            gru.cell.trainable_variables,
            (kernel, recurrent, np.stack(_swap_gates_of(parts[2:]))),
            strict=True,
        ):
            weight.assign(value)
    for prefix, dense in _denses(model):
        dense.kernel.assign(arrays[f"{prefix}.weight"].T)
        dense.bias.assign(arrays[f"{prefix}.bias"])


def to_state_dict(model: RNN_VAE) -> dict[str, np.ndarray]:
    """Read the model's weights under VAME's names, in PyTorch's layout.

    Args:
        model: the model.

    Returns:
        The weights by name.
    """
    arrays = {}
    for prefix, suffix, gru in _grus(model):
        kernel, recurrent, bias = (weight.numpy() for weight in gru.cell.trainable_variables)
        values = _swap_gates(kernel.T), _swap_gates(recurrent.T), *_swap_gates_of(bias)
        arrays |= {
            f"{prefix}.{part}_{suffix}": value for part, value in zip(_GRU, values, strict=True)
        }
    for prefix, dense in _denses(model):
        arrays |= {f"{prefix}.weight": dense.kernel.numpy().T, f"{prefix}.bias": dense.bias.numpy()}
    return arrays


def _grus(model: RNN_VAE):
    """VAME's prefix and suffix of each GRU's weights, and our GRU."""
    layers = [
        ("encoder.encoder_rnn", "l0", model.encoder.layer_0),
        ("encoder.encoder_rnn", "l1", model.encoder.layer_1),
        ("decoder.rnn_rec", "l0", model.decoder.rnn_rec),
    ]
    if model.FUTURE_DECODER:
        layers.append(("decoder_future.rnn_pred", "l0", model.decoder_future.rnn_pred))
    for prefix, number, layer in layers:
        yield prefix, number, layer.forward_layer
        yield prefix, f"{number}_reverse", layer.backward_layer


def _denses(model: RNN_VAE):
    yield "lmbda.hidden_to_mean", model.lmbda.hidden_to_mean
    yield "lmbda.hidden_to_logvar", model.lmbda.hidden_to_logvar
    for name in ("decoder", "decoder_future")[: 1 + model.FUTURE_DECODER]:
        for part in ("latent_to_hidden", "hidden_to_output"):
            yield f"{name}.{part}", getattr(getattr(model, name), part)


def _swap_gates(rows: np.ndarray) -> np.ndarray:
    """Reorder gates from r, z, n (PyTorch's) to z, r, n (Keras'), or back."""
    first, second, n = np.split(rows, 3, axis=0)
    return np.concatenate([second, first, n], axis=0)


def _swap_gates_of(biases) -> list[np.ndarray]:
    return [_swap_gates(bias) for bias in biases]


def _read(source) -> Mapping[str, np.ndarray]:
    if isinstance(source, Mapping):
        return {
            name: value.numpy() if hasattr(value, "numpy") else value
            for name, value in source.items()
        }
    path = Path(source)
    if not path.exists():
        raise ValueError(f"source: no file {path}.")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
    except NPZ_ERRORS as error:
        raise ValueError(
            f"source: {path} is not a readable .npz file, it may be truncated ({reason(error)})."
        ) from error
    return _read_archive(path) if zipfile.is_zipfile(path) else _read_torch(path)


def _read_archive(path: Path) -> dict[str, np.ndarray]:
    """Read a state dict as torch.save writes it: a zip with names in `data.pkl`, and files of
    numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (index,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            folder = index.removesuffix("data.pkl") + "data/"
            state = read_plain(archive.read(index))
            return {name: _tensor(value, archive, folder) for name, value in state.items()}
    except (*NPZ_ERRORS, AttributeError, IndexError) as error:
        raise ValueError(
            f"source: {path} is not a PyTorch state dict of arrays ({reason(error)}). Save it "
            "where torch is: torch.save(model.state_dict(), path)."
        ) from error


def _tensor(value, archive: zipfile.ZipFile, folder: str) -> np.ndarray:
    """The array of a tensor in a pickle, which gives the file and offset of its numbers and its
    shape.
    """
    if not isinstance(value, Call) or value.name != "torch._utils._rebuild_tensor_v2":
        raise ValueError(f"expected a tensor, got {value!r:.80}")
    storage, offset, shape, strides = value.arguments[:4]
    _, kind, key = storage.arguments[:3]
    rows = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
    if not isinstance(kind, Name) or tuple(strides) != rows:
        raise ValueError(f"a tensor with the strides {strides} of {kind!r:.60} is not read")
    numbers = np.frombuffer(archive.read(folder + key), _TYPES[kind.name.split(".")[-1]])
    return numbers[offset : offset + math.prod(shape)].reshape(shape)


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            f"{path}: this file is no zip archive, as torch 1.6 and later write it; reading it "
            "needs torch (pip install torch). Or save it where torch is: "
            "np.savez('model.npz', **{k: v.numpy() for k, v in state_dict.items()})."
        ) from error
    try:
        # weights_only: no code in the file is run
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value.numpy() for name, value in state.items()}
    except Exception as error:  # torch raises many kinds for damaged files
        raise ValueError(f"source: {path} is not a PyTorch state dict ({error}).") from error
