"""examples/run_convvae.py and run_mdnrnn.py as a user runs them: whole, killed, resumed, and with
every wrong input."""

import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import imageio.v2 as imageio
import keras
import numpy as np
import pytest

import worldmodels
from seqvae.data import save
from tests.commands import run, run_here, start
from worldmodels import train_convvae, train_mdnrnn
from worldmodels.config import ConvVAESettings, MDNRNNSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
CONVVAE, MDNRNN = EXAMPLES / "run_convvae.py", EXAMPLES / "run_mdnrnn.py"
LAYERS = (
    "--filters=3,4",
    "--kernel_sizes=4,4",
    "--decoder_filters=4",
    "--decoder_kernel_sizes=5,6",
    "--z_size=3",
    "--batch_size=7",
    "--num_epochs=3",
    "--learning_rate=0.003",
    "--deterministic",
    "--seed=5",
    "--picture_step=100",
)
RNN = (
    "--rnn_size=6",
    "--num_mixture=2",
    "--batch_size=3",
    "--num_epochs=3",
    "--seq_len=6",
    "--seen_steps=3",
    "--dream_steps=5",
    "--deterministic",
    "--seed=5",
    "--predict_done",
    "--predict_reward",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a user's own episodes: small frames, different lengths, rewards and ends."""
    folder = tmp_path_factory.mktemp("worlds")
    rng = np.random.default_rng(0)
    for i in range(10):
        steps = 9 + i % 4
        frames = np.repeat(
            rng.integers(0, 256, (steps, 7, 7, 1), dtype=np.uint8), 2, axis=1
        ).repeat(2, axis=2)
        done = np.zeros(steps, np.float32)
        done[-1] = i % 2
        save(
            folder / "mine" / f"{i}.npz",
            {
                "frames": frames,
                "actions": rng.random((steps, 2)).astype(np.float32),
                "rewards": rng.random(steps).astype(np.float32),
                "done": done,
            },
        )
    return folder


@pytest.fixture(scope="module")
def vision(folder):
    code, out, err = run_here(CONVVAE, "--dataset=mine", "--run_name=whole", *LAYERS, cwd=folder)
    assert code == 0, err
    return folder / "logs" / "whole_convvae", out


@pytest.fixture(scope="module")
def memory(folder, vision):
    code, out, err = run_here(MDNRNN, "--run_name=whole", *RNN, cwd=folder)
    assert code == 0, err
    return folder / "logs" / "whole_mdnrnn", out


def test_a_convvae_run_leaves_what_a_user_looks_for(vision):
    folder, out = vision
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "metrics.jsonl",
        "model.keras",
        "vae.json",
        "checkpoints",
        "evaluation.json",
        "report.html",
        "training_curves.png",
        "reconstruction_00001.png",
        "reconstruction_00003.png",
        "samples_00003.png",
        "traversal_00003.png",
    } <= names
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2] and lines[-1]["train_loss"] < lines[0][
        "train_loss"
    ]
    figures = json.loads((folder / "evaluation.json").read_text())
    assert figures["total"] == pytest.approx(lines[-1]["test_total"])
    assert out.splitlines()[-1] == "report: logs/whole_convvae/report.html"
    assert "squared error" in out and "epoch 3/3" in out
    model, other = keras.models.load_model(folder / "model.keras"), None
    other = worldmodels.ConvVAE.from_config(model.get_config())
    other.load_json(folder / "vae.json")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=5.1e-5)


def test_an_mdnrnn_run_leaves_what_a_user_looks_for(memory):
    folder, out = memory
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "metrics.jsonl",
        "model.keras",
        "rnn.json",
        "checkpoints",
        "evaluation.json",
        "report.html",
        "latents",
        "training_curves.png",
        "dream.gif",
        "dream_00003.mp4",
        "dream_00003.png",
    } <= names
    figures = json.loads((folder / "evaluation.json").read_text())
    assert set(figures["mdn_rnn"]) == {"z", "done", "reward"} and set(figures["baselines"]) == {
        "gaussian",
        "last_frame",
    }
    assert f"MDN-RNN {figures['mdn_rnn']['z']:.3f}" in out
    assert (
        len(imageio.mimread(folder / "dream.gif")) == 9
    )  # 3 seen, the one the dream starts from, 5 dreamt
    assert isinstance(keras.models.load_model(folder / "model.keras"), worldmodels.MDNRNN)
    tests, training = (
        len(list((folder / "latents" / part).glob("*.npz"))) for part in ("test", "train")
    )
    assert (tests, training) == (1, 9)


@pytest.mark.slow
@pytest.mark.parametrize("command, flags", [(CONVVAE, ("--dataset=mine", *LAYERS)), (MDNRNN, RNN)])
def test_a_run_that_was_killed_resumes_to_the_same_weights(folder, vision, memory, command, flags):
    family = command.stem.removeprefix("run_")
    flags = (*flags, "--run_name=killed") + (
        ("--vae=logs/whole_convvae",) if family == "mdnrnn" else ()
    )
    process = start(command, *flags, cwd=folder)
    killed, end = folder / "logs" / f"killed_{family}", time.monotonic() + 120
    while not list(killed.glob("checkpoints/step-*")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    code, _, err = run(
        command, f"--log_dir={folder}/logs", "--run_name=killed", "--resume", cwd=folder
    )
    assert code == 0, err
    whole = keras.models.load_model(folder / "logs" / f"whole_{family}" / "model.keras")
    for a, b in zip(
        whole.get_weights(),
        keras.models.load_model(killed / "model.keras").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


# --- without a run of their own ---


SMALL_CONVVAE = dict(
    z_size=3, filters="3,4", kernel_sizes="4,4", decoder_filters="4", decoder_kernel_sizes="5,6"
)


def convvae(image_shape=(14, 14, 1), **settings):
    return train_convvae._model(ConvVAESettings(**SMALL_CONVVAE, **settings), image_shape)


def test_a_convvae_starts_from_given_weights(vision):
    trained = keras.models.load_model(vision[0] / "model.keras")
    for name, tolerance in (("model.keras", 0), ("vae.json", 5.1e-5)):
        model = convvae(reload_model=str(vision[0] / name))
        for a, b in zip(model.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance)
    with pytest.raises(
        ValueError, match=r"--reload_model: .* is not a ConvVAE for frames \(16, 16, 1\)"
    ):
        convvae((16, 16, 1), reload_model=str(vision[0] / "model.keras"))
    assert convvae(mixed_precision=True).compute_dtype == "bfloat16"


@pytest.mark.slow
def test_a_reloaded_convvae_keeps_its_sizes_and_the_run_says_so(folder, vision):
    reload = f"--reload_model={vision[0] / 'model.keras'}"
    flags = ("--dataset=mine", "--run_name=longer", "--z_size=5", "--num_epochs=1", reload)
    code, out, err = run_here(CONVVAE, *flags, cwd=folder)
    assert code == 0, err
    assert "--reload_model: the model determines z_size=3 (setting: 5)" in out
    assert "kernel_sizes=4,4 (setting: 4,4,4,4)" in out and "filters=" not in out
    config = json.loads((folder / "logs" / "longer_convvae" / "config.json").read_text())
    assert config["z_size"] == 3 and config["filters"]


@pytest.mark.slow
def test_a_reloaded_mdnrnn_keeps_its_sizes_and_the_run_says_so(folder, memory):
    reload = f"--reload_model={memory[0] / 'model.keras'}"
    flags = ("--run_name=longer", "--num_mixture=3", "--num_epochs=1", reload)
    code, out, err = run_here(MDNRNN, *flags, "--vae=logs/whole_convvae", cwd=folder)
    assert code == 0, err
    assert "num_mixture=2 (setting: 3)" in out
    config = json.loads((folder / "logs" / "longer_mdnrnn" / "config.json").read_text())
    assert (config["num_mixture"], config["rnn_size"]) == (2, 6)


def test_balls_are_made_where_they_are_missing_and_the_first_are_used(tmp_path):
    from worldmodels.data import episodes_of

    config = dict(
        dataset="balls", data_dir=str(tmp_path), episodes=4, steps=6, test_fraction=0.25, seed=0
    )
    train, test = episodes_of(config, {"frames": "", "actions": ""})
    assert (len(train), len(test), train.shapes) == (3, 1, {"frames": (64, 64, 3), "actions": (2,)})
    stamp = [path.stat().st_mtime_ns for path in sorted((tmp_path / "balls-6").glob("*.npz"))]
    more, _ = episodes_of(config | {"episodes": 5}, {"frames": ""})
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "balls-6").glob("*.npz"))][
        :4
    ] == stamp and len(more) == 4
    assert len(episodes_of(config | {"episodes": 2}, {"frames": ""})[0]) == 1


def test_an_mdnrnn_starts_from_given_weights_and_its_rate_falls(memory):
    small = MDNRNNSettings(rnn_size=6, num_mixture=2, predict_done=True, predict_reward=True)
    trained = keras.models.load_model(memory[0] / "model.keras")
    for name, tolerance in (("model.keras", 0), ("rnn.json", 5.1e-5)):
        model = train_mdnrnn._model(replace(small, reload_model=str(memory[0] / name)), 3, 2)
        for a, b in zip(model.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance)
    with pytest.raises(ValueError, match="is not an MDN-RNN for z of 4, actions of 2"):
        train_mdnrnn._model(replace(small, reload_model=str(memory[0] / "model.keras")), 4, 2)
    rates = MDNRNNSettings(learning_rate=0.5, min_learning_rate=0.1, decay_rate=0.5)
    assert [train_mdnrnn._rate(rates, epoch) for epoch in range(3)] == [
        0.5,
        pytest.approx(0.3),
        pytest.approx(0.2),
    ]


def test_what_an_mdnrnn_needs_of_a_convvae(vision, memory, folder, tmp_path):
    with pytest.raises(ValueError, match="--vae: no finished run"):
        train_mdnrnn._newest(str(tmp_path))
    (tmp_path / "empty").mkdir()
    for change, message in (
        ({"vae": str(tmp_path / "empty")}, "--vae: no config.json in .*expected a finished run"),
        ({"vae": str(tmp_path / "none.keras")}, "--vae: no .*none.keras. Train one"),
        (
            {"vae": str(memory[0] / "model.keras")},
            "model.keras: expected a ConvVAE, got a MDNRNN",
        ),
        ({"vae": str(vision[0] / "model.keras")}, "--dataset: expected a folder of episodes"),
    ):
        with pytest.raises(ValueError, match=message):
            train_mdnrnn._vision(MDNRNNSettings(**change))
    save(
        tmp_path / "other" / "0.npz",
        {"frames": np.zeros((4, 8, 8, 1), np.uint8), "actions": np.zeros((4, 2))},
    )
    save(
        tmp_path / "other" / "1.npz",
        {"frames": np.zeros((4, 8, 8, 1), np.uint8), "actions": np.zeros((4, 2))},
    )
    with pytest.raises(
        ValueError, match=r"frames of \(8, 8, 1\), the ConvVAE was trained on \(14, 14, 1\)"
    ):
        train_mdnrnn._vision(
            MDNRNNSettings(vae=str(vision[0] / "model.keras"), dataset=str(tmp_path / "other"))
        )


def test_wrong_flags_end_with_one_line_and_no_run(folder, vision):
    for command, flags, message in (
        (CONVVAE, ("--dataset=nothing",), "nothing: no such folder"),
        (CONVVAE, ("--dataset=mine", "--run_name=big"), "kernel_sizes: layer enc_conv3"),
        (
            MDNRNN,
            ("--vae=logs/whole_convvae", "--dataset=mine", "--preset=best"),
            "--preset: expected one of demo",
        ),
    ):
        code, _, err = run_here(command, *flags, cwd=folder)
        assert code == 2
        lines = [line for line in err.splitlines() if line.startswith(f"{command.name}: ")]
        assert len(lines) == 1 and re.search(message, err), err
    assert not (folder / "logs" / "big_convvae").exists()
