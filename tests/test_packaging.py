"""The wheel holds the packages and nothing else, and its commands work from an empty folder."""

import email
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import kvae
import seqvae
import vrae
import worldmodels
from seqvae.cli import COMMANDS
from seqvae.data import load, save
from seqvae.plotting import save_video

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy: building must not leave build/ in the tree.
    tracked = [
        p
        for name in ("seqvae", "kvae", "worldmodels", "vrae", "tests", "datasets")
        for p in [
            *(ROOT / name).rglob("*.py"),
            *(ROOT / name).rglob("*.html"),
            *(ROOT / name).glob("play/page/*"),
            *(ROOT / name).glob("py.typed"),
            *(ROOT / name).glob("presets/*/*/*"),
        ]
    ]
    for path in [
        *tracked,
        *(ROOT / name for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE")),
    ]:
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        source,
    ]
    done = subprocess.run(build, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob(f"seqvae-{seqvae.__version__}-*.whl")
    return made


def test_the_wheel_holds_every_module_of_the_packages(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"seqvae", "kvae", "worldmodels", "vrae"}
    assert {
        p.relative_to(ROOT).as_posix()
        for name in tops
        for ending in ("py", "html", "css", "js")
        for p in (ROOT / name).rglob(f"*.{ending}")
    } <= set(names)
    trained = {p.relative_to(ROOT).as_posix() for p in ROOT.glob("*/presets/*/*/*")}
    assert trained and trained <= set(names)
    assert {f"{name}/py.typed" for name in tops} <= set(
        names
    )  # type checkers then read the annotations


def test_the_metadata_are_those_of_pyproject(wheel):
    archive = zipfile.ZipFile(wheel)
    folder = f"seqvae-{seqvae.__version__}.dist-info"
    metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
    assert (metadata["Name"], metadata["Version"]) == ("seqvae", seqvae.__version__)
    assert (metadata["License-Expression"], metadata["Author"]) == ("MIT", "The seqvae developers")
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert metadata["License-File"] == "LICENSE" and len(metadata.get_all("Project-URL")) >= 4
    assert {"test", "dev", "gpu", "onnx"} <= set(metadata.get_all("Provides-Extra"))
    assert "seqvae = seqvae.cli:main" in archive.read(f"{folder}/entry_points.txt").decode()


def test_the_citation_is_of_this_version():
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert f"version: {seqvae.__version__}" in lines
    cite = (ROOT / "docs" / "cite.md").read_text(encoding="utf-8")
    assert f"version = {{{seqvae.__version__}}}" in cite


def test_the_changelog_has_this_version_with_its_date_below_unreleased():
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", log, flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    (date,) = re.findall(rf"^{re.escape(seqvae.__version__)} - (\S+)$", headings[1])
    assert f"date-released: {date}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_an_index_shows_the_readme_without_relative_links_and_pictures(wheel):
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(f"seqvae-{seqvae.__version__}.dist-info/METADATA")
    text = str(email.message_from_bytes(metadata).get_payload())
    assert "make test" in text and "](https://arxiv.org" in text
    assert not re.findall(r"\]\((?!https?:)[^)]*\)|!\[", text)


RUNS = {
    "kvae": (
        "--num_filters=2 --alpha_units=2 --num_epochs=2 --kf_update_steps=1 --batch_size=2 "
        "--t_init_mask=2 --t_steps_mask=2 --n_steps_gen=6",
        "model.keras",
    ),
    "convvae": (
        "--dataset=episodes --filters=3,4 --kernel_sizes=4,4 --decoder_filters=4 "
        "--decoder_kernel_sizes=5,6 --z_size=3 --batch_size=7 --num_epochs=1",
        "model.keras",
    ),
    "mdnrnn": (
        "--rnn_size=3 --num_mixture=2 --batch_size=3 --num_epochs=1 --seq_len=6 --seen_steps=3 "
        "--dream_steps=5",
        "model.keras",
    ),
    "vrae": (
        "--csv=series.csv --test_fraction=0.4 --z_size=2 --rnn_size=3 --batch_size=4 "
        "--num_epochs=1 --annealing_epochs=1",
        "model.keras",
    ),
    "vame": (
        "--sessions=2 --frames=200 --time_window=6 --zdims=2 --hidden_size_layer_1=3 "
        "--hidden_size_rec=3 --hidden_size_pred=3 --prediction_steps=2 --kmeans_loss=2 "
        "--batch_size=16 --max_epochs=1 --steps_per_epoch=2 --kl_start=0 --annealtime=1 "
        "--n_clusters=3",
        "motifs.png",
    ),
}
"""For each command that trains: flags of a tiny run, and a file that the run leaves."""


def write_episodes_series_and_videos(folder):
    """The data of `RUNS` that are not simulated."""
    rng = np.random.default_rng(0)
    for i in range(6):
        arrays = {"frames": rng.integers(0, 256, (10, 14, 14, 1), dtype=np.uint8)}
        save(folder / "episodes" / f"{i}.npz", arrays | {"actions": rng.random((10, 2))})
    rows = [f"{i},{x:.3f},{y:.3f}" for i in range(8) for x, y in rng.standard_normal((5, 2))]
    (folder / "series.csv").write_text("\n".join(["sequence,x,y", *rows, ""]))
    for i in range(2):
        save_video(
            folder / "videos" / f"{i}.gif", rng.integers(0, 256, (6, 16, 16), np.uint8), fps=10
        )


@pytest.mark.slow
def test_the_installed_commands_run_in_an_empty_folder(wheel, tmp_path):
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        tmp_path / "site",
        wheel,
    ]
    subprocess.run(install, check=True, capture_output=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "CUDA_VISIBLE_DEVICES": "-1"}

    def seqvae(*words):
        command = [sys.executable, "-P", tmp_path / "site" / "bin" / "seqvae", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=empty, env=environment, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    for name in COMMANDS:
        assert f"seqvae {name}" in seqvae(name, "--help")
    seqvae("make-data", "box", "--sequences=2", "--test_sequences=2", "--steps=6", "--workers=1")
    write_episodes_series_and_videos(empty)
    seqvae("from-videos", "videos", "--size=8,8", "--steps=6", "--out=clips.npz")
    assert load(empty / "clips.npz").frames.shape[1:] == (6, 8, 8)
    for name, (flags, left) in RUNS.items():
        out = seqvae(name, "--run_name=first", *flags.split())
        assert (empty / "logs" / f"first_{name}" / left).exists(), name
        assert name != "kvae" or "2 training and 2 test sequences of 6 frames" in out


def test_every_package_has_the_version_of_the_wheel():
    assert {package.__version__ for package in (kvae, worldmodels, vrae)} == {seqvae.__version__}
