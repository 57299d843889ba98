"""Trained models by name: what ships is what its card says, and folders go round."""

import json
import types
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.saving import saving_lib

import kvae
import vrae
import worldmodels
from seqvae.presets import card_of, packaged_presets
from vrae.vame.rnn_model import RNN_VAE

ROOT = Path(__file__).parents[1]
KINDS = (
    kvae.KVAE,
    vrae.VRAE,
    RNN_VAE,
    worldmodels.ConvVAE,
    worldmodels.MDNRNN,
    worldmodels.Controller,
)
SHIPPED = [(kind, name) for kind in KINDS for name in kind.presets]
CARD = "---\nlicense: mit\ncheck: {value: 0.5}\n---\n# A small one\n\n# Another heading\n"


@pytest.fixture
def rnn():
    keras.utils.set_random_seed(0)
    return worldmodels.MDNRNN(z_size=2, action_size=1, rnn_size=3, num_mixtures=2)


SLOW_PRESETS = ("pendulum", "pong")
"""The fast suite tests another preset of the same class."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=pytest.mark.slow if name in SLOW_PRESETS else ())
        for kind, name in SHIPPED
    ],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_a_shipped_model_has_the_figure_of_its_card(load_script, kind, name):
    script = load_script(ROOT / "benchmarks" / "train_presets.py")
    preset = script.preset_of(kind, name)
    folder = packaged_presets(kind)[name]
    head, title = card_of(folder)
    model = kind.from_preset(name)
    assert type(model) is kind and f"{script.weights(model):,} weights" in title
    assert kind.presets[name] == title
    found = preset.check(model, head)
    assert found == pytest.approx(head["check"]["value"], rel=preset.tolerance)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"seqvae {' '.join(preset.command)}" in text
    for part in ("## Training", "## Figures", "## Limits", "## Licence"):
        assert part in text
    (code,) = text.split("```python\n")[1:]
    exec(compile(code.split("```")[0], "card", "exec"), {})


def test_something_ships_and_all_of_it_is_small():
    assert (kvae.KVAE, "box") in SHIPPED
    files = [path for kind, name in SHIPPED for path in packaged_presets(kind)[name].iterdir()]
    assert sum(path.stat().st_size for path in files) < 6e6
    model = {"README.md", "config.json", "metadata.json", "model.weights.h5"}
    assert {path.name for path in files} - model <= {"controller.npz"}


def test_a_folder_goes_round_without_the_optimizer(tmp_path, rnn):
    rnn.compile("adam")
    rnn.save_to_preset(tmp_path / "mine", CARD)
    again = worldmodels.MDNRNN.from_preset(tmp_path / "mine")
    for ours, theirs in zip(again.get_weights(), rnn.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not again.compiled and rnn.compiled
    assert card_of(tmp_path / "mine") == (
        {"license": "mit", "check": {"value": 0.5}},
        "A small one",
    )
    assert keras.saving.load_model(tmp_path / "mine").z_size == 2  # Keras alone reads it too
    rnn.save_to_preset(tmp_path / "mine")
    assert card_of(tmp_path / "mine") == ({}, "")


def test_float16_weights_are_read_into_float32(tmp_path, rnn):
    rnn.save_to_preset(tmp_path / "half", half=True)
    again = worldmodels.MDNRNN.from_preset(str(tmp_path / "half"))
    for ours, theirs in zip(again.weights, rnn.weights, strict=True):
        assert ours.dtype == "float32"
        expected = np.asarray(theirs, np.float16).astype(np.float32)
        np.testing.assert_array_equal(ours, expected)
    kinds = set()
    with h5py.File(tmp_path / "half" / "model.weights.h5") as file:
        file.visititems(lambda name, found: kinds.add(str(getattr(found, "dtype", ""))))
    assert "float16" in kinds and "float32" not in kinds
    rnn.weights[0].assign(rnn.weights[0] + 1e6)
    with pytest.raises(
        ValueError, match=r"half: .* that float16 cannot hold\. Write with half=False"
    ):
        rnn.save_to_preset(tmp_path / "large", half=True)


def test_the_hub_is_read_by_keras_own_loader(tmp_path, monkeypatch, rnn):
    """A local folder stands for the download."""
    rnn.save_to_preset(tmp_path / "mine", CARD)
    asked = []

    def snapshot_download(repo_id, **options):
        asked.append(repo_id)
        if repo_id == "me/none":
            raise OSError("404 Not Found")
        return str(tmp_path / "mine")

    hub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setattr(saving_lib, "huggingface_hub", hub)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    assert worldmodels.MDNRNN.from_preset("hf://me/dreams").z_size == 2
    with pytest.raises(ValueError, match=r"hf://me/dreams: expected a ConvVAE, got a MDNRNN"):
        worldmodels.ConvVAE.from_preset("hf://me/dreams")
    with pytest.raises(ValueError, match=r"hf://me/none: cannot be loaded \(404 Not Found\)"):
        worldmodels.MDNRNN.from_preset("hf://me/none")
    assert asked == ["me/dreams", "me/dreams", "me/none"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs huggingface_hub.*pip install huggingface_hub"):
        worldmodels.MDNRNN.from_preset("hf://me/dreams")


def test_what_is_refused(tmp_path, rnn):
    with pytest.raises(
        ValueError, match=r"preset: expected one of box, .*hf://user/name, got 'bx'"
    ):
        kvae.KVAE.from_preset("bx")
    rnn.save_to_preset(tmp_path / "mine")
    with pytest.raises(ValueError, match="mine: expected a KVAE, got a MDNRNN"):
        kvae.KVAE.from_preset(tmp_path / "mine")
    (tmp_path / "mine" / "model.weights.h5").write_bytes(b"nothing")
    with pytest.raises(
        ValueError, match=r"mine: not a saved model that can be read; it may be dam"
    ):
        worldmodels.MDNRNN.from_preset(tmp_path / "mine")
    (tmp_path / "mine" / "config.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match=r"mine: not a saved model that can be read"):
        worldmodels.MDNRNN.from_preset(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"folder: expected a folder, got .*a\.keras"):
        rnn.save_to_preset(tmp_path / "a.keras")


def test_a_users_own_subclass_has_no_shipped_models():
    class Mine(kvae.KVAE):
        pass

    assert Mine.presets == {}


def test_a_controller_goes_round(tmp_path):
    controller = worldmodels.Controller(z_size=2, rnn_size=3, action_size=1, squash="tanh")
    controller.vector = np.arange(controller.size) / 7
    controller.save_to_preset(tmp_path / "mine", CARD)
    again = worldmodels.Controller.from_preset(tmp_path / "mine")
    np.testing.assert_array_equal(again.vector, controller.vector)
    assert card_of(tmp_path / "mine")[1] == "A small one"
    with pytest.raises(
        ValueError, match=r"preset: expected one of .*a folder of save_to_preset, g"
    ):
        worldmodels.Controller.from_preset("nobody")
