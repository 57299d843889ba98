"""The demos keep their promises."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_demo_beats_no_ball_clearly_within_six_minutes(tmp_path):
    began = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "examples" / "run_kvae.py",
            "--preset=demo",
            "--run_name=demo",
            f"--data_dir={tmp_path}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    seconds = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "logs" / "demo_kvae" / "imputation.json").read_text())[
        "headline"
    ]["frames"]
    wrong = {name: errors["wrong_pixels"] for name, errors in figures.items()}
    assert wrong["smoothing"] < 0.8 * wrong["mean frame"], figures
    assert seconds < 360, seconds


@pytest.mark.slow
def test_the_agent_beats_the_random_policy_within_fifteen_minutes(tmp_path):
    began = time.monotonic()
    command = [sys.executable, ROOT / "examples" / "run_worldmodel.py", "--preset=demo"]
    done = subprocess.run(
        [*command, "--run_name=demo"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - began
    folder = tmp_path / "logs" / "demo_worldmodel"
    figures = json.loads((folder / "evaluation.json").read_text())
    assert figures["agent"]["mean"] > 1.3 * figures["random policy"]["mean"], figures
    assert seconds < 900, seconds


@pytest.mark.slow
def test_the_world_models_dream_within_eight_minutes(tmp_path):
    began = time.monotonic()
    for command, *flags in (["run_convvae", f"--data_dir={tmp_path}"], ["run_mdnrnn"]):
        flags = ["--preset=demo", "--run_name=demo", *flags]
        done = subprocess.run(
            [sys.executable, ROOT / "examples" / f"{command}.py", *flags],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    seconds = time.monotonic() - began
    figures = json.loads((tmp_path / "logs" / "demo_mdnrnn" / "evaluation.json").read_text())
    best = min(figures["baselines"].values())
    assert figures["mdn_rnn"]["z"] < best - 0.05, figures
    assert seconds < 480, seconds


def demo(command, folder):
    """Seconds of a demo of vrae, and its evaluation."""
    began = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "examples" / f"run_{command}.py",
            "--preset=demo",
            "--run_name=demo",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((folder / "logs" / f"demo_{command}" / "evaluation.json").read_text())
    return time.monotonic() - began, figures


@pytest.mark.slow
def test_vames_motifs_are_clearly_above_both_baselines_within_six_minutes(tmp_path):
    seconds, figures = demo("vame", tmp_path)
    best = max(figures[name]["nmi"] for name in ("windows_kmeans", "pca_kmeans"))
    assert figures["vame"]["nmi"] > best + 0.3, figures
    assert seconds < 360, seconds


@pytest.mark.slow
def test_the_vrae_uses_its_code_within_six_minutes(tmp_path):
    seconds, figures = demo("vrae", tmp_path)
    assert figures["elbo"] > -10 and figures["active_units"] >= 15, figures
    assert seconds < 360, seconds
