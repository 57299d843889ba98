"""The motifs' view of `seqvae play` against the bouts and measures that a report has."""

import json

import numpy as np
import pytest

from seqvae.play.views import NoModelError
from tests.vrae.test_vame_cards import KEYS, LABELS, SESSIONS, measured
from vrae.vame import Config, play, write_config
from vrae.vame.cards.bouts import all_bouts, seen_from_the_onset
from vrae.vame.cards.measures import measure
from vrae.vame.play import Found, MotifView
from vrae.vame.rnn_model import RNN_VAE
from vrae.vame.sessions import save_session

pytestmark = pytest.mark.eager

WINDOW = 6
CONFIG = Config(**KEYS, time_window=WINDOW, prediction_steps=1)
WINDOWS = {name: labels[3:-2] for name, labels in LABELS.items()}
BOUTS = all_bouts({n: np.pad(labels, (3, 2), constant_values=-1) for n, labels in WINDOWS.items()})
"""A frame has the motif of the window around it: the first three and last two have none."""


@pytest.fixture(scope="module")
def view():
    return MotifView(Found(SESSIONS, measured()[1], WINDOWS, CONFIG), seed=0, name="walks")


def test_motifs_have_the_measures_of_the_report(view):
    labels = {n: np.pad(own, (3, 2), constant_values=-1) for n, own in WINDOWS.items()}
    references = "belly", "nose"
    measures = measure(SESSIONS, labels, BOUTS, measured()[1], WINDOWS, references)
    about = view.about()
    assert about["motifs"] == [{"motif": m.motif, "share": m.share} for m in measures]
    assert about["keypoints"] == ["nose", "belly", "tail"] and about["edges"] == [[0, 1], [1, 2]]
    assert about["fps"] == 25
    one = view.answer({"motif": 1})
    assert one["nearest"] == measures[1].nearest and one["after"] == measures[1].after
    card = dict(one["card"])
    assert card["bouts"] == str(measures[1].bouts)
    assert card["share of the labelled frames"] == f"{measures[1].share:.1%}"
    assert card["median duration"] == f"{measures[1].duration:.3g} s"
    json.dumps(one, allow_nan=False)


def test_panels_are_bouts_seen_from_their_onset(view):
    panels = view.answer({"motif": 1})["bouts"]
    own = [bout for bout in BOUTS if bout.motif == 1]
    longer = [bout for bout in own if bout.frames >= np.median([b.frames for b in own])]
    assert [p["name"].split(",")[0] for p in panels] == [bout.session for bout in longer]
    for panel, bout in zip(panels, longer, strict=True):
        assert panel["to"] - panel["from"] == bout.frames
        first = bout.start - panel["from"]
        last = first + len(panel["points"])
        session = SESSIONS[bout.session]
        points = seen_from_the_onset(session, bout, ("belly", "nose"), first, last)
        np.testing.assert_allclose(panel["points"], points, atol=np.abs(points).max() / 1000)


@pytest.mark.parametrize(
    ("motif", "error"),
    [(None, "whole number"), (3, "from 0 to 2, got 3"), ("1", "got '1'")],
)
def test_motifs_that_are_refused(view, motif, error):
    with pytest.raises(ValueError, match=f"motif: .*{error}"):
        view.answer({"motif": motif})


def test_a_number_that_no_frame_has_is_refused():
    windows = {name: np.where(labels == 1, -1, labels) for name, labels in WINDOWS.items()}
    view = MotifView(Found(SESSIONS, measured()[1], windows, CONFIG), seed=0, name="walks")
    with pytest.raises(ValueError, match="motif: expected one that occurs, got 1"):
        view.answer({"motif": 1})
    none = {name: np.full_like(labels, -1) for name, labels in WINDOWS.items()}
    with pytest.raises(ValueError, match="walks: no frame has a motif"):
        MotifView(Found(SESSIONS, measured()[1], none, CONFIG), seed=0, name="walks")


# --- projects and models that ship ---


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "mine_vame"
    write_config(folder / "config.yaml", CONFIG)
    (folder / "results").mkdir()
    np.savez(folder / "results" / "segmenter.npz", centres=np.zeros(3))
    codes = measured()[1]
    for name, session in SESSIONS.items():
        save_session(folder / "data" / "processed" / f"{name}.npz", session)
        arrays = dict(latent_vectors=codes[name], motifs=WINDOWS[name])
        np.savez(folder / "results" / f"{name}.npz", **arrays)
    return folder


def test_a_project_is_shown(project, view):
    assert play.recognises(project) and not play.recognises(project.parent)
    found = play.open_view(project, "", 0)
    found.warm_up()
    assert found.answer({"motif": 2}) == view.answer({"motif": 2})


def test_projects_that_are_refused(project):
    path = project / "results" / "a.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    with pytest.raises(ValueError, match=r"a\.npz: damaged .* Resume the run"):
        play.open_view(project, "", 0)
    path.write_bytes(whole)
    (project / "data" / "processed" / "a.npz").unlink()
    with pytest.raises(ValueError, match=r"mine_vame: no poses in data/processed/\."):
        play.open_view(project, "", 0)
    np.savez(path, latent_vectors=np.zeros((3, 2)))
    error = r"no motifs in results/, the run has not ended. Resume the run: .*--run_name=mine --res"
    with pytest.raises(ValueError, match=error):
        play.open_view(project, "", 0)
    (project / "config.yaml").write_text("[")
    with pytest.raises(ValueError, match=r"config\.yaml"):
        play.open_view(project, "", 0)
    (project / "config.yaml").unlink()
    assert not play.recognises(project)
    (project / "config.json").write_text('{"time_window": 6, "n_clusters": 3}')
    assert play.recognises(project)
    with pytest.raises(ValueError, match=r"no config\.yaml, the run has not begun to train"):
        play.open_view(project, "", 0)


def test_the_preset_is_shown_and_without_it_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(play, "packaged_presets", lambda kind: {})
    with pytest.raises(NoModelError, match="`seqvae vame --preset=demo --run_name=mine`"):
        play.open_view(None, "", 0)
    model = RNN_VAE(
        TEMPORAL_WINDOW=12,
        ZDIMS=3,
        NUM_FEATURES=12,
        FUTURE_DECODER=False,
        FUTURE_STEPS=0,
        hidden_size_layer_1=4,
        hidden_size_layer_2=4,
        hidden_size_rec=4,
        hidden_size_pred=4,
        dropout_encoder=0.0,
        dropout_rec=0.0,
        dropout_pred=0.0,
        softplus=False,
    )
    card = "---\nstatistics: {mean: 0.0, std: 2.0}\n---\n# small"
    model.save_to_preset(tmp_path, card)
    monkeypatch.setattr(play, "packaged_presets", lambda kind: {"poses": tmp_path})
    monkeypatch.setattr("seqvae.presets.packaged_presets", lambda kind: {"poses": tmp_path})
    monkeypatch.setattr(play, "_FRAMES", 200)
    view = play.open_view(None, "", 0)
    about = view.about()
    assert about["name"] == "the preset poses" and len(about["keypoints"]) == 6
    assert view.answer({"motif": about["motifs"][0]["motif"]})["bouts"]
