"""examples/run_worldmodel.py as a user runs it: whole, killed, resumed, with given parts, and with
every wrong input."""

import json
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import tests.worldmodels.small_worlds as worlds
from tests.commands import run_here, start
from worldmodels import Controller
from worldmodels.config import CONVVAE, WorldModelSettings
from worldmodels.report import verdicts
from worldmodels.train_worldmodel import model_flags

SCRIPT = Path(__file__).parents[2] / "examples" / "run_worldmodel.py"
SMALL = (
    f"--env={worlds.HERE}:DotOne-v0",
    "--size=14,14",
    "--workers=1",
    "--episodes=6",
    "--max_steps=9",
    "--vae_flags=--filters=3,4 --kernel_sizes=4,4 --decoder_filters=4 --decoder_kernel_sizes=5,6 "
    "--z_size=3 --batch_size=7 --num_epochs=1 --picture_step=100",
    "--rnn_flags=--rnn_size=4 --num_mixture=2 --batch_size=3 --num_epochs=1 --predict_done "
    "--predict_reward --seen_steps=2 --dream_steps=2",
    "--population=4",
    "--rollouts=2",
    "--generations=3",
    "--check_every=2",
    "--check_rollouts=2",
    "--test_episodes=3",
    "--video_steps=5",
    "--deterministic",
    "--seed=5",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    code, out, err = run_here(SCRIPT, *SMALL, "--run_name=whole", cwd=folder)
    assert code == 0, err
    return folder / "logs" / "whole_worldmodel", out


@pytest.mark.slow
def test_a_run_leaves_what_a_user_looks_for(whole):
    folder, out = whole
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "episodes",
        "1_convvae",
        "1_mdnrnn",
        "1_controller",
        "1_controller_z",
        "vae.keras",
        "rnn.keras",
        "controller.npz",
        "evaluation.json",
        "evolution.png",
        "agent.mp4",
        "agent.gif",
        "report.html",
    } <= names
    assert out.splitlines()[-1] == "report: logs/whole_worldmodel/report.html"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "agent in its dream" in page and "data:video/mp4;base64" in page
    stage = (folder / "1_convvae" / "report.html").read_text(encoding="utf-8")
    assert "seqvae convvae" in stage and "--z_size=3" in stage
    figures = json.loads((folder / "evaluation.json").read_text())
    assert list(figures) == sorted(["random policy", "z only", "agent", "agent in its dream"])
    for name, each in figures.items():
        assert each["episodes"] == 3
        assert re.search(rf"  {name} +{each['mean']:.1f} \+- {each['std']:.1f}", out), out
    lines = (folder / "1_controller" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 3 and "generation 3/3" in out
    assert Controller.load(folder / "controller.npz").inputs == "zh"


@pytest.mark.slow
def test_finished_stages_are_not_repeated_and_the_controller_is_the_same(whole, tmp_path):
    folder, _ = whole
    copy = tmp_path / "logs" / "whole_worldmodel"
    shutil.copytree(folder, copy)
    before = Controller.load(copy / "controller.npz").vector
    shutil.rmtree(copy / "1_controller_z")
    (copy / "1_controller" / "controller.npz").unlink()
    (copy / "controller.npz").unlink()
    stamps = [(copy / f"1_{name}" / "model.keras").stat().st_mtime_ns for name in STAGES]
    code, _, err = run_here(SCRIPT, "--run_name=whole", "--resume", cwd=tmp_path)
    assert code == 0, err
    np.testing.assert_array_equal(Controller.load(copy / "controller.npz").vector, before)
    assert [(copy / f"1_{name}" / "model.keras").stat().st_mtime_ns for name in STAGES] == stamps


STAGES = ("convvae", "mdnrnn")


@pytest.mark.slow
def test_given_parts_leave_their_stages_out(whole, tmp_path):
    folder, _ = whole
    parts = [
        f"--dataset={folder / 'episodes'}",
        f"--vae={folder / '1_convvae'}",
        f"--rnn={folder / 'rnn.keras'}",
        f"--controller={folder / 'controller.npz'}",
        "--noz_only",
    ]
    code, _, err = run_here(SCRIPT, *SMALL, *parts, "--run_name=given", cwd=tmp_path)
    assert code == 0, err
    made = tmp_path / "logs" / "given_worldmodel"
    assert not list(made.glob("1_*")) and not (made / "episodes").exists()
    ours, theirs = (json.loads((f / "evaluation.json").read_text()) for f in (made, folder))
    assert ours == {name: each for name, each in theirs.items() if name != "z only"}


@pytest.mark.slow
def test_iterations_record_with_the_agent_and_train_again(tmp_path):
    flags = [flag for flag in SMALL if not flag.startswith("--generations")]
    code, _, err = run_here(
        SCRIPT, *flags, "--generations=1", "--iterations=2", "--run_name=two", cwd=tmp_path
    )
    assert code == 0, err
    folder = tmp_path / "logs" / "two_worldmodel"
    assert len(list((folder / "episodes").glob("*.npz"))) == 12
    assert {"2_convvae", "2_mdnrnn", "2_controller"} <= {path.name for path in folder.iterdir()}
    settings = json.loads((folder / "2_convvae" / "config.json").read_text())
    assert settings["reload_model"].endswith("1_convvae/model.keras")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ("episodes", "1_convvae", "1_mdnrnn", "1_controller"))
def test_a_run_that_was_killed_resumes_to_the_same_controller(whole, tmp_path, stage):
    process = start(SCRIPT, *SMALL, "--run_name=killed", cwd=tmp_path)
    killed, end = tmp_path / "logs" / "killed_worldmodel", time.monotonic() + 900
    while not (killed / stage).exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    resumed = start(SCRIPT, "--run_name=killed", "--resume", cwd=tmp_path)
    _, err = resumed.communicate(timeout=900)
    assert resumed.returncode == 0, err
    ours, theirs = (Controller.load(f / "controller.npz").vector for f in (killed, whole[0]))
    np.testing.assert_array_equal(ours, theirs)


# --- what the scores say ---


def scores(**means):
    rows = {"random": "random policy", "z": "z only", "dream": "agent in its dream"}
    noise = np.array([-1.0, 1.0, 0.0, 2.0, -2.0])
    return {rows.get(name, name): mean + noise for name, mean in means.items()}


def test_an_agent_that_is_no_better_than_chance_is_called_so():
    assert verdicts(scores(random=10, z=20, agent=40, dream=45)) == []
    (line,) = verdicts(scores(random=10, agent=10.5, dream=11))
    assert line.startswith("The agent is no better than the random policy.")
    (line,) = verdicts(scores(random=10, z=40, agent=40, dream=45))
    assert "no better than a controller on z alone" in line
    (line,) = verdicts(scores(random=10, agent=20, dream=200))
    assert "it exploits what the MDN-RNN predicts wrongly" in line


# --- wrong input ---


def test_given_flags_of_a_model_keep_those_of_the_preset():
    settings = WorldModelSettings(preset="demo", vae_flags="--num_epochs=3")
    given = model_flags(settings, CONVVAE)
    assert given["num_epochs"] == 3 and given["z_size"] == 16
    assert model_flags(WorldModelSettings(vae_flags="--z_size=4"), CONVVAE) == {"z_size": 4}


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--rnn=x"], "--rnn: needs --vae, the models it was trained with"),
        (["--controller=x", "--vae=y"], "--controller: needs --rnn, the models"),
        (["--iterations=2", "--dataset=x"], "--iterations: expected 1 where dataset, vae"),
        (["--generations=0"], "--generations: expected an integer of at least 1, got 0"),
        (["--size=big"], "--size: expected height,width such as 64,64, got 'big'"),
        (["--env=None-v0"], "env: "),
        ([f"--env={worlds.HERE}:DotDiscrete-v0"], "env: expected actions that are bounded floats"),
        (["--vae_flags=--nothing=3"], "Unknown command line flag 'nothing'"),
        (["--rnn_flags=--nothing=3"], "Unknown command line flag 'nothing'"),
        (["--vae_flags=word"], "--vae_flags: expected flags of `seqvae convvae`, got 'word'"),
        (["--vae=nothing.keras"], "nothing.keras"),
        (["--preset=best"], "--preset: expected one of demo"),
    ],
)
def test_wrong_flags_end_with_one_line(tmp_path, flags, message):
    code, _, err = run_here(SCRIPT, *SMALL, *flags, "--run_name=wrong", cwd=tmp_path)
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith(f"{SCRIPT.name}: ")]
    assert len(lines) == 1 and re.search(message, lines[0]), err
    assert not list(tmp_path.rglob("episode*"))  # nothing was recorded before
