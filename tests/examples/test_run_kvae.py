"""examples/run_kvae.py as a user runs it: whole, interrupted, killed, resumed, and with every wrong
input."""

import dataclasses
import html
import json
import signal
import time
from pathlib import Path

import imageio.v2 as imageio
import keras
import numpy as np
import pytest

import kvae  # noqa: F401  (keras.models.load_model needs the class)
from seqvae.data import save
from seqvae.physics import WORLDS, Split, record
from tests.commands import run, run_here, start

SCRIPT = Path(__file__).parents[2] / "examples" / "run_kvae.py"
SMALL = (
    "--num_filters=2,2",
    "--alpha_units=3",
    "--batch_size=4",
    "--num_epochs=3",
    "--kf_update_steps=1",
    "--n_steps_gen=6",
    "--t_steps_mask=3",
    "--deterministic",
    "--seed=5",
)


def wait_for(path, process, seconds=120):
    end = time.monotonic() + seconds
    while not path.exists() or not path.stat().st_size:
        assert process.poll() is None and time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a user's own dataset: small videos, no test file."""
    folder = tmp_path_factory.mktemp("runs")
    images = record(WORLDS["box"], sequences=14, steps=9)["images"][:, :, ::2, ::2]
    save(folder / "mine.npz", {"images": images})
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    code, out, err = run_here(SCRIPT, "--dataset=mine.npz", "--run_name=whole", *SMALL, cwd=folder)
    assert code == 0, err
    return folder / "logs" / "whole_kvae", out


@pytest.mark.slow
def test_a_run_leaves_what_a_user_looks_for(whole):
    folder, out = whole
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "metrics.jsonl",
        "model.keras",
        "checkpoints",
        "imputation.json",
        "training_curves.png",
        "imputation.gif",
        "report.html",
    } <= names
    for epoch in (0, 2):  # after the first and the last
        for stem, endings in (
            ("imputation", ("mp4",)),
            ("generation", ("mp4",)),
            ("frames", ("png",)),
            ("alpha", ("png",)),
            ("trajectories", ("png",)),
        ):
            for ending in endings:
                assert f"{stem}_{epoch + 1:05d}.{ending}" in names
    assert len(list(imageio.mimread(folder / "generation_00003.mp4"))) == 6
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["stage"]) for line in lines] == [
        (0, "vae+lgssm"),
        (1, "all"),
        (2, "all"),
    ]
    assert all(np.isfinite(v) for line in lines for v in line.values() if isinstance(v, float))
    assert json.loads((folder / "config.json").read_text())["num_filters"] == "2,2"
    model = keras.models.load_model(folder / "model.keras")
    assert model.image_shape == (16, 16)
    figures = json.loads((folder / "imputation.json").read_text())
    assert set(figures) == {"test_elbo", "headline", "curves"}
    (line,) = (line for line in out.splitlines() if line.startswith("  smoothing"))
    assert f"{figures['headline']['frames']['smoothing']['rmse']:.4f}" in line
    assert "no mine_test.npz beside mine.npz: 1 of its sequences are kept for the test" in out
    assert "look at logs/whole_kvae/: imputation.gif" in out.splitlines()[-2]
    assert out.splitlines()[-1] == "report: logs/whole_kvae/report.html"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:video/mp4;base64") == 2 and "--dataset=mine.npz" in page
    assert f"{figures['headline']['frames']['smoothing']['rmse']:.3g}</td>" in page
    assert all(html.escape(sentence) in page for sentence in figures["headline"]["worse"])
    assert "nearest training sequence" in out and "original" not in out
    assert all(sentence in out for sentence in figures["headline"]["worse"])


@pytest.mark.slow
def test_interrupted_then_killed_then_resumed_it_ends_with_the_weights_of_the_run_never_stopped(
    folder, whole
):
    flags = ("--dataset=mine.npz", "--run_name=stopped", *SMALL)
    stopped = folder / "logs" / "stopped_kvae"
    process = start(SCRIPT, *flags, cwd=folder)
    wait_for(stopped / "metrics.jsonl", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "--log_dir=logs --run_name=stopped --resume" in out.splitlines()[-1]
    assert list((stopped / "checkpoints").iterdir())

    process = start(SCRIPT, "--run_name=stopped", "--resume", cwd=folder)
    end = time.monotonic() + 120
    while len((stopped / "metrics.jsonl").read_text().splitlines()) < 2 and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.communicate()

    code, _, err = run(SCRIPT, "--run_name=stopped", "--resume", cwd=folder)
    assert code == 0, err
    ours, theirs = (keras.models.load_model(path / "model.keras") for path in (stopped, whole[0]))
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (path / "metrics.jsonl").read_text().splitlines()
        ]
        for path in (stopped, whole[0])
    ]
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_two_pushed_balls_in_colour_at_twice_the_size(tmp_path):
    world = dataclasses.replace(WORLDS["box_push"], balls=2, radius=2.0, colour=True).scaled(2)
    for split, name in ((Split.TRAIN, "push.npz"), (Split.TEST, "push_test.npz")):
        save(tmp_path / name, record(world, sequences=8, steps=6, split=split))
    stages = ("--num_epochs=2", "--kf_update_steps=1", "--dynamics_epochs=1")
    code, out, err = run_here(
        SCRIPT,
        "--dataset=push.npz",
        "--run_name=push",
        *SMALL,
        *stages,
        "--t_init_mask=2",
        cwd=tmp_path,
    )
    assert code == 0, err
    folder = tmp_path / "logs" / "push_kvae"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines] == ["vae+lgssm", "all", "dynamics"]
    assert "train_elbo" not in lines[2]
    assert np.isfinite([line["test_elbo"] for line in lines]).all()
    model = keras.models.load_model(folder / "model.keras")
    assert (model.image_shape, model.dim_u, model.B.shape) == ((64, 64, 3), 2, (3, 4, 2))
    assert np.abs(model.B.numpy()).max() > 0
    assert imageio.imread(folder / "frames_00003.png").std() > 0
    assert "wrong pixels on 3 missing frames after 2 seen" in out


@pytest.mark.slow
def test_a_run_of_the_same_name_is_neither_replaced_nor_resumed_with_other_settings(folder, whole):
    for flags, message in (
        (("--dataset=mine.npz",), "a run of this name is there. Add --resume or --overwrite"),
        (("--resume", "--dim_z=5"), "a checkpoint of another configuration (dim_z: 4 there, 5"),
    ):
        code, _, err = run_here(SCRIPT, "--run_name=whole", *flags, cwd=folder)
        assert code == 2 and message in err and len(err.splitlines()) == 1, err


def test_wrong_inputs_end_with_one_clear_line(folder):
    (folder / "cut.npz").write_bytes((folder / "mine.npz").read_bytes()[:500])
    save(folder / "odd.npz", {"images": np.zeros((4, 3, 10, 10), np.uint8)})
    (folder / "file").write_text("")
    mine = "--dataset=mine.npz"
    cases = [
        (
            ("--dataset=moon",),
            "--dataset: expected one of box, box_gravity, polygon, pong, box_push, pendulum, "
            "pendulum_swing_up, or the path of an .npz",
        ),
        (("--dataset=none.npz",), "none.npz: no such file"),
        (("--dataset=cut.npz",), "cut.npz: not a readable .npz file, it may be truncated"),
        (("--dataset=odd.npz",), "image_shape: 10x10 pixels cannot be halved 3 times"),
        (
            (mine, "--preset=fast"),
            "--preset: expected one of paper, demo, best, series, got 'fast'",
        ),
        (
            (mine, "--activation=sine"),
            "activation: expected a name or function that keras.activations.get accepts",
        ),
        (
            (mine, "--run_name=x", "--log_dir=file/logs", *SMALL),
            "--log_dir: cannot make the folder",
        ),
        (("--run_name=nothing", "--resume"), "--resume: no run nothing_kvae in logs"),
        ((mine, "--reload_model=nowhere/model.ckpt"), "--reload_model: no nowhere/config.json"),
        ((mine, "--train_miss_prob=2"), "drop_prob: expected a probability"),
    ]
    for flags, message in cases:
        code, _, err = run_here(SCRIPT, *flags, cwd=folder)
        assert code == 2, (message, err)
        assert message in err and len(err.splitlines()) == 1
    assert {p.name for p in (folder / "logs").glob("[!.]*")} <= {"whole_kvae", "stopped_kvae"}


@pytest.mark.slow
def test_a_dataset_with_hidden_pixels(folder):
    """`mask` of the frames' shape: trained, judged on visible pixels, drawn."""
    images = np.load(folder / "mine.npz")["images"]
    seen = np.ones(images.shape, bool)
    seen[:, :, :, 6:9] = False  # a pole
    seen[3, 2] = False
    save(folder / "pole.npz", {"images": images, "mask": seen})
    code, out, err = run_here(
        SCRIPT, "--dataset=pole.npz", "--run_name=pole", *SMALL, "--dim_a=auto", cwd=folder
    )
    assert code == 0, err
    figures = json.loads((folder / "logs/pole_kvae/imputation.json").read_text())
    assert figures["headline"]["count"] > 0 and "missing frames after" in out
    frames = imageio.imread(folder / "logs" / "pole_kvae" / "frames_00003.png")
    assert frames.std() > 0
