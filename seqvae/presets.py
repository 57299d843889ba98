"""Trained models by name: folders in Keras' own format with a model card.

They are in the packages, on disk, or on the Hugging Face Hub.
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import yaml

from seqvae.files import atomic_write
from seqvae.saved_models import read_model

_HUB = "hf://"
_CARD, _CONFIG, _WEIGHTS = "README.md", "config.json", "model.weights.h5"


class Presets:
    """Class attribute that lists the trained models in a class's package: titles of cards by
    name.
    """

    def __get__(self, instance: Any, owner: type) -> dict[str, str]:
        return {name: card_of(folder)[1] for name, folder in shipped(owner).items()}


def shipped(kind: type) -> dict[str, Path]:
    """Find the trained models of a class in its package.

    Args:
        kind: the class.

    Returns:
        Folders by name: `<package>/presets/<class>/<name>`.
    """
    package = sys.modules[kind.__module__.partition(".")[0]]
    folder = Path(getattr(package, "__file__", None) or ".").parent / "presets" / kind.__name__
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{_CONFIG}"))}


def load_preset(preset: str | os.PathLike, kind: type[keras.Model]) -> keras.Model:
    """Load a trained model.

    Args:
        preset: a name of `kind.presets`, a folder that `save_preset` wrote, or `hf://user/name`,
            which Keras downloads from the Hugging Face Hub.
        kind: the class that is expected.

    Returns:
        The model.

    Raises:
        ImportError: `hf://` without huggingface_hub.
        ValueError: no such preset, a damaged one, or one of another class.
    """
    if str(preset).startswith(_HUB):
        if importlib.util.find_spec("huggingface_hub") is None:
            raise ImportError(
                f"preset: {preset} needs huggingface_hub. Install it: pip install 'seqvae[hf]'."
            )
        return read_model(str(preset), kind)
    folder = shipped(kind).get(str(preset), Path(preset))
    if not (folder / _CONFIG).is_file():
        known = [*shipped(kind), "a folder of save_to_preset", "hf://user/name"]
        raise ValueError(f"preset: expected one of {', '.join(known)}, got {str(preset)!r}.")
    return read_model(folder, kind)


def save_preset(
    model: keras.Model, folder: str | os.PathLike, card: str, half: bool = False
) -> None:
    """Write a trained model and its card, without the state of an optimizer.

    Args:
        model: the model.
        folder: is made; files of a model in it are replaced.
        card: Markdown, written as `README.md`; its first heading is the title.
        half: whether weights are written in float16, in half the space, with 11 bits of each
            number. They are read into the model's own type.

    Raises:
        ValueError: half, and a weight above float16's largest number.
    """
    folder = Path(folder)
    if str(folder).endswith(".keras"):
        raise ValueError(f"folder: expected a folder, got {folder}: use save for a .keras file.")
    if model.compiled:
        uncompiled = type(model).from_config(model.get_config())
        uncompiled.set_weights(model.get_weights())
        model = uncompiled
    keras.saving.save_model(model, folder, zipped=False)
    shutil.rmtree(folder / "assets", ignore_errors=True)  # the models have none
    if half:
        _halve(folder / _WEIGHTS)
    with atomic_write(folder / _CARD) as part:
        part.write_text(card, encoding="utf-8")


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    """Read a model card.

    Args:
        folder: of the trained model.

    Returns:
        The values of its head (YAML between two lines of ---, as on the Hugging Face Hub), and
        its title; {} and "" where there are none.
    """
    path = folder / _CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    head = text.split("---\n")[1] if text.startswith("---\n") else ""
    titles = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    return yaml.safe_load(head) or {}, next(iter(titles), "")


def _halve(path: Path) -> None:
    """Rewrite the float32 arrays of a file in float16."""
    with atomic_write(path) as part, h5py.File(path, "r") as old, h5py.File(part, "w") as new:

        def copy(name: str, found: h5py.Group | h5py.Dataset) -> None:
            if isinstance(found, h5py.Group):
                made = new.require_group(name)
            else:
                made = new.create_dataset(name, data=_as_half(name, found[()]))
            made.attrs.update(found.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)


def _as_half(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        small = values.astype(np.float16)
    if not np.isfinite(small).all():
        raise ValueError(f"half: {name} has a number that float16 cannot hold.")
    return small
