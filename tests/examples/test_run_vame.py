"""examples/run_vame.py as a user runs it."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from seqvae.data import save
from tests.commands import run_here
from vrae.vame.config import read_config
from vrae.vame.data import Statistics
from vrae.vame.motif_scores import agreement, baselines, of_windows
from vrae.vame.motifs import segment
from vrae.vame.segmenters import load_segmenter
from vrae.vame.sessions import load_session

SCRIPT = Path(__file__).parents[2] / "examples" / "run_vame.py"
SMALL = (
    "--time_window=6",
    "--zdims=2",
    "--hidden_size_layer_1=4",
    "--hidden_size_rec=3",
    "--hidden_size_pred=3",
    "--prediction_steps=2",
    "--kmeans_loss=2",
    "--batch_size=16",
    "--steps_per_epoch=2",
    "--kl_start=0",
    "--annealtime=1",
    "--n_clusters=3",
)


@pytest.mark.slow
def test_a_run_leaves_a_project_and_resumes(tmp_path):
    flags = ("--sessions=2", "--frames=200", "--run_name=mine", *SMALL)
    done = run_here(
        SCRIPT, "--max_epochs=1", "--n_communities=3", "--mixed_precision", *flags, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "logs" / "mine_vame"
    names = [path.name for path in folder.iterdir()]
    assert {
        "config.json",
        "config.yaml",
        "data",
        "model",
        "results",
        "evaluation.json",
        "report.html",
        "motifs.png",
        "latent_space.png",
        "motif_usage.png",
        "training_curves.png",
    } <= set(names)
    assert (folder / "model" / "evaluate" / "future_reconstruction.png").exists()
    assert done.stdout.splitlines()[-1] == "report: logs/mine_vame/report.html"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "NMI with the truth" in page and "--n_communities=3" in page
    figures = json.loads((folder / "evaluation.json").read_text())
    assert set(figures) == {"vame", "windows_kmeans", "pca_kmeans", "pca"}
    assert all(0 <= f["nmi"] <= 1 for f in figures.values())
    assert all(
        f["true_bouts"] == figures["vame"]["true_bouts"] > 2 and f["bouts"] > 0
        for f in figures.values()
    )
    assert (
        "embedding session_0: 195 of 200 frames" in done.stdout
        and "k-means of 390 codes" in done.stdout
    )
    with np.load(folder / "results" / "session_1.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(
            load_segmenter(folder / "results" / "segmenter.npz").apply(file["latent_vectors"]),
            file["motifs"],
        )
        assert (
            file["motifs"].shape == (195,)
            and set(file["behaviours"]) <= {0, 1, 2}
            and file["motifs"].max() <= 2
        )
    again = run_here(SCRIPT, "--resume", "--run_name=mine", "--max_epochs=2", cwd=tmp_path)
    assert (
        again.returncode == 0 and "epoch 2/2" in again.stdout and "epoch 1/2" not in again.stdout
    ), again.stderr


@pytest.mark.slow
def test_deeplabcuts_files_and_their_gaps_by_a_hidden_markov_model(tmp_path):
    (tmp_path / "mine").mkdir()
    rng = np.random.default_rng(0)
    for name in "ab":
        points = np.cumsum(rng.standard_normal((150, 9)), axis=0)
        points[:, 2::3] = rng.uniform(0.5, 1.0, (150, 3)) ** 0.2
        parts = ",".join(part for part in ("nose", "belly", "tail") for _ in range(3))
        rows = "\n".join(f"{t}," + ",".join(map(str, row)) for t, row in enumerate(points))
        header = f"scorer{',net' * 9}\nbodyparts,{parts}\ncoords{',x,y,likelihood' * 3}\n"
        (tmp_path / "mine" / f"{name}.csv").write_text(header + rows)
    done = run_here(
        SCRIPT,
        "--dataset=mine",
        "--centered_reference_keypoint=belly",
        "--ahead=nose",
        "--extra_features=speed:nose",
        "--fps=20",
        "--segmentation=hmm",
        "--max_epochs=1",
        *SMALL,
        "--n_clusters=2",
        cwd=tmp_path,
    )
    assert done.returncode == 0 and "2 sessions of 4 features" in done.stdout, done.stderr
    assert (
        "of the values missing" in done.stdout
        and "hidden Markov model of 3 states, initialisation 1" in done.stdout
    )
    (folder,) = (tmp_path / "logs").glob("*_vame")
    with open(folder / "results" / "frames" / "b.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with np.load(folder / "results" / "b.npz", allow_pickle=False) as file:
        motifs = file["motifs"]
    assert [row["motif"] for row in rows[3:148]] == ["" if m < 0 else str(m) for m in motifs]
    assert rows[7]["seconds"] == "0.35" and rows[2]["motif"] == rows[148]["motif"] == ""
    bouts = (folder / "results" / "bouts.csv").read_text().splitlines()
    assert bouts[0].startswith("session,motif,start,stop,frames") and len(bouts) > 2
    assert len((folder / "results" / "sessions.csv").read_text().splitlines()) >= 3
    movies = {path.name for path in (folder / "movies").iterdir()}
    assert {"motif_0.mp4", "motif_0.gif"} <= movies
    if importlib.util.find_spec("jinja2"):
        page = (folder / "report.html").read_text()
        assert "Motif 0" in page and "data:video/mp4;base64" in page
    assert (folder / "preprocessing.png").stat().st_size > 10_000
    config = read_config(folder / "config.yaml")
    assert config.feature_names == ("nose y", "tail x", "tail y", "speed:nose")
    assert config.missing_values and config.extra_features == ("speed:nose",)
    session = load_session(folder / "data" / "processed" / "a.npz")
    assert session.pose.fps == 20.0 and session.values.shape == (4, 150)


def test_what_is_refused(tmp_path):
    (tmp_path / "bad").mkdir()
    save(tmp_path / "bad" / "s.npz", {"other": np.zeros((3, 9))})
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "s.npz").write_bytes((tmp_path / "bad" / "s.npz").read_bytes()[:60])
    for flags, message in (
        (("--dataset=none",), "--dataset: expected `simulated`, or a folder"),
        (("--dataset=bad",), "not a readable .npz with `positions`"),
        (("--dataset=cut",), "s.npz: not a readable .npz with `positions`"),
        (("--frames=200", "--missing=0.1", *SMALL), "Set missing_values: true"),
        (("--min_observed=1.5",), "--min_observed: expected a share of 0 to 1, got 1.5"),
    ):
        done = run_here(SCRIPT, *flags, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr, done.stderr


def test_agreement_is_one_for_the_truth_by_any_names_and_small_for_chance():
    truth = np.random.default_rng(0).integers(0, 4, 2000)
    same = agreement([np.array([3, 0, 2, 1])[truth]], [truth])
    assert same["nmi"] == pytest.approx(1) and same["purity"] == 1
    assert (
        same["bouts"] == same["true_bouts"] and same["transition_error"] == 0 == same["unlabelled"]
    )
    chance = agreement([np.random.default_rng(1).integers(0, 4, 2000)], [truth])
    assert chance["nmi"] < 0.02 and chance["purity"] < 0.35
    with pytest.raises(ValueError, match="labels: expected the truth's shape"):
        agreement([truth[:-1]], [truth])
    with pytest.raises(ValueError, match="labels: no window has a motif"):
        agreement([np.full(2000, -1)], [truth])


def test_agreement_counts_bouts_and_compares_transitions():
    truth = [
        np.repeat([0, 1, 0, 2, 0, 1], 5),
        np.repeat([2, 0, 1], 5),
    ]  # 0 goes to 1 three times, to 2 once
    labels = [part.copy() for part in truth]
    labels[0][17:20] = 1  # 2 is followed by 1, which is followed by 0: one bout more
    labels[1][:2] = -1
    found = agreement(labels, truth)
    assert (found["bouts"], found["true_bouts"], found["unlabelled"]) == (
        10,
        9,
        pytest.approx(2 / 45),
    )
    # what follows 0: 1 (3 of 4), 2 (1 of 4), as it should; 1: 0 (2 of 2), as it should; 2: 1 and 0,
    # not 0 alone
    assert found["transition_error"] == pytest.approx((0 + 0 + 0.5) / 3)


@pytest.mark.slow
def test_baselines_are_windows_and_their_components_and_a_windows_motif_is_that_of_its_middle():
    motifs = np.repeat([0, 1, 0], 60)
    level = np.repeat([0.0, 5.0, 0.0], 60) + 0.1 * np.random.default_rng(0).standard_normal(
        (2, 180)
    )
    windows, components = baselines({"a": level}, Statistics(2.0, 2.0), 7, 3)
    np.testing.assert_allclose(windows["a"][5], ((level[:, 5:12] - 2) / 2).ravel(), rtol=1e-6)
    assert components["a"].shape == (174, 3)
    holes = level.copy()
    holes[0, 3:6], holes[1] = np.nan, np.nan
    filled = baselines({"a": holes}, Statistics(0.0, 1.0), 7, 3)[0]["a"][0].reshape(2, 7)
    np.testing.assert_allclose(filled[0, 2:7], np.linspace(level[0, 2], level[0, 6], 5), rtol=1e-6)
    assert (filled[1] == 0).all()  # never seen
    truth = of_windows(motifs, 7)
    assert len(truth) == 174 and truth[56] == 0 and truth[57] == 1
    for codes in (windows, components):
        assert agreement([segment(codes, 2)[1]["a"]], [truth])["purity"] > 0.97
