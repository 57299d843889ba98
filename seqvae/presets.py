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
    """Class attribute that lists the trained models in the package of a class.

    Its value is a dict: the title of each model's card by the model's name.
    """

    def __get__(self, instance: Any, owner: type) -> dict[str, str]:
        return {name: card_of(folder)[1] for name, folder in packaged_presets(owner).items()}


def packaged_presets(kind: type) -> dict[str, Path]:
    """Find the trained models of a class in its package.

    Args:
        kind: the class.

    Returns:
        Folders by name: `<package>/presets/<class>/<name>`.
    """
    package = sys.modules[kind.__module__.partition(".")[0]]
    folder = Path(getattr(package, "__file__", None) or ".").parent / "presets" / kind.__name__
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{_CARD}"))}


def find_preset(
    preset: str | os.PathLike, kind: type, file: str = _CONFIG, others: tuple[str, ...] = ()
) -> Path:
    """Find the folder of a trained model.

    Args:
        preset: a name of `packaged_presets`, or a folder.
        kind: the class of the model.
        file: the file that makes a folder such a model.
        others: other forms of `preset` that the caller accepts, for the message.

    Returns:
        The folder.

    Raises:
        ValueError: there is none.
    """
    known = packaged_presets(kind)
    folder = known.get(str(preset), Path(preset))
    if not (folder / file).is_file():
        expected = ", ".join([*known, "a folder of save_to_preset", *others])
        raise ValueError(f"preset: expected one of {expected}, got {str(preset)!r}.")
    return folder


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
                f"preset: {preset} needs huggingface_hub. Install it: pip install huggingface_hub."
            )
        return read_model(str(preset), kind)
    return read_model(find_preset(preset, kind, others=(f"{_HUB}user/name",)), kind)


def save_preset(
    model: keras.Model, folder: str | os.PathLike, card: str, half: bool = False
) -> None:
    """Write a trained model and its card, without the state of an optimizer.

    Args:
        model: the model.
        folder: created if missing; files of a model in it are replaced.
        card: Markdown, written as `README.md`; its first heading is the title.
        half: whether weights are written in float16, in half the space, with 11
            significant bits. They are read into the model's own type.

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
    write_card(folder, card)


def write_card(folder: str | os.PathLike, card: str) -> None:
    """Write a model card.

    Args:
        folder: of the trained model.
        card: Markdown; its first heading is the title.
    """
    with atomic_write(Path(folder) / _CARD) as part:
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
    """Rewrite the float32 arrays of an .h5 file in float16."""
    with atomic_write(path) as part, h5py.File(path, "r") as old, h5py.File(part, "w") as new:

        def copy(name: str, found: h5py.Group | h5py.Dataset) -> None:
            if isinstance(found, h5py.Group):
                copied = new.require_group(name)
            else:
                copied = new.create_dataset(name, data=_as_half(name, found[()]))
            copied.attrs.update(found.attrs)

        new.attrs.update(old.attrs)
        old.visititems(copy)


def _as_half(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        small = values.astype(np.float16)
    if not np.isfinite(small).all():
        raise ValueError(
            f"half: {name} has a number that float16 cannot hold. Write with half=False."
        )
    return small
