"""The results of a run are saved as soon as they are known, and shown as they are saved."""

from dataclasses import replace

import numpy as np
import pytest

from seqvae.plotting import ethogram
from vrae.vame import report
from vrae.vame.command_config import VAMESettings
from vrae.vame.config import Config
from vrae.vame.data import Statistics
from vrae.vame.project import observed_share
from vrae.vame.result_files import Results

SETTINGS = VAMESettings(n_clusters=2, time_window=4, min_observed=0.5)
CONFIG = Config(time_window=4, prediction_steps=2, zdims=1)


def walking(frames=40):
    """A session that is at 0, then at 9; two frames in the middle were not seen."""
    session = np.where(np.arange(frames) < frames // 2, 0.0, 9.0) + np.zeros((2, 1))
    session[:, 10:13] = np.nan
    return session


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose model's code of a window is the mean of the window; the sessions that were
    embedded."""
    embedded, model = [], tmp_path / "model.npz"
    model.write_bytes(b"weights")

    def embed(model, statistics, config, session, progress):
        embedded.append(session)
        progress(session.shape[1])
        return (
            np.lib.stride_tricks.sliding_window_view(np.nan_to_num(session[:1]), 4, axis=1)
            .mean(-1)
            .T
        )

    monkeypatch.setattr(
        "vrae.vame.result_files.load_best", lambda config: (None, Statistics(0.0, 1.0), CONFIG)
    )
    monkeypatch.setattr("vrae.vame.result_files.model_file", lambda config: model)
    monkeypatch.setattr("vrae.vame.result_files.embed", embed)
    return tmp_path, model, embedded


def test_codes_are_saved_before_they_are_segmented_and_read_by_the_next_process(
    project, monkeypatch
):
    folder, model, embedded = project
    sessions, lines = {"a": walking(), "b": walking(30)}, []
    results = Results(folder / "results", lines.append)
    codes, observed = results.embedded("config.yaml", sessions, 0.5)
    assert lines == ["embedding a: 40 of 40 frames", "embedding b: 30 of 30 frames"]
    with monkeypatch.context() as broken, pytest.raises(ValueError, match="does not fit"):
        broken.setattr(
            "vrae.vame.result_files.segment",
            lambda *args, **options: (_ for _ in ()).throw(ValueError("does not fit")),
        )
        results.segmented(codes, observed, SETTINGS)
    again, seen = Results(folder / "results").embedded("config.yaml", sessions, 0.5)
    assert len(embedded) == 2
    for name in sessions:
        np.testing.assert_array_equal(again[name], codes[name])
        np.testing.assert_array_equal(seen[name], observed[name])
    Results(folder / "results").embedded("config.yaml", sessions | {"b": walking(30) + 1}, 0.5)
    assert len(embedded) == 3  # another session of this name
    model.write_bytes(b"other weights")
    Results(folder / "results").embedded("config.yaml", sessions, 0.5)
    assert len(embedded) == 5
    (folder / "results" / "a.npz").write_bytes(b"PK cut")
    Results(folder / "results").embedded("config.yaml", sessions, 0.5)
    assert len(embedded) == 6


def test_motifs_are_saved_before_they_are_joined(project, capsys):
    folder = project[0]
    results = Results(folder / "results")
    codes, observed = results.embedded("config.yaml", {"a": walking()}, 0.5)
    with pytest.raises(
        ValueError, match="n_communities: expected 1 to the number of motifs that occur, 2, got 9"
    ):
        results.segmented(codes, observed, replace(SETTINGS, n_communities=9))
    with np.load(folder / "results" / "a.npz", allow_pickle=False) as file:
        motifs = file["motifs"]
        np.testing.assert_allclose(file["observed"], observed_share(walking(), 4))
        assert "behaviours" not in file.files
    # of the frames 10 to 12 nothing was seen: windows 9 and 10 hold three of them
    expected = np.where(np.arange(37) + 2 < 20, 1, 0)
    np.testing.assert_array_equal(np.flatnonzero(motifs == -1), [9, 10])
    assert (motifs == expected)[motifs >= 0].mean() > 0.95
    assert (
        "5.4% of the windows have no motif: less than 50% of their values was observed"
        in capsys.readouterr().out
    )


def test_observed_share_of_every_window():
    session = np.ones((2, 6))
    session[0, 2], session[:, 4] = np.nan, np.nan
    expected = [np.mean(~np.isnan(session[:, i : i + 3])) for i in range(4)]
    np.testing.assert_allclose(observed_share(session, 3), expected)


def test_pictures_show_the_numbers_of_the_files(tmp_path, monkeypatch):
    """The truth is renumbered, not the motifs; windows without a motif are left out."""
    shown = {}
    for name in ("ethogram", "scatter", "usage_and_transitions"):
        monkeypatch.setattr(
            f"seqvae.plotting.{name}",
            lambda *args, plot=name, **options: shown.update({plot: args}),
        )
    monkeypatch.setattr("seqvae.plotting.save_figure", lambda path, figure: None)
    labels = {"a": np.array([2, 2, 0, -1, 0, 1]), "b": np.array([1, 1, 2])}
    truth = {"a": np.array([0, 0, 1, 1, 1, 2]), "b": np.array([2, 2, 0])}
    codes = {name: np.arange(len(part) * 2.0).reshape(-1, 2) for name, part in labels.items()}
    report.pictures(tmp_path, codes, labels, truth)
    rows = shown["ethogram"][0]
    assert rows["motifs"].tolist() == [2, 2, 0, -1, 0, 1] and rows["truth"].tolist() == [
        2,
        2,
        0,
        0,
        0,
        1,
    ]
    points, colours = shown["scatter"]
    assert len(points) == 8 and colours["motifs"].tolist() == [2, 2, 0, 0, 1, 1, 1, 2]
    assert shown["usage_and_transitions"][0].tolist() == [2, 3, 3]
    report.pictures(tmp_path, codes, labels, None, name="behaviour")
    assert list(shown["ethogram"][0]) == ["behaviours"]


def test_a_window_without_a_motif_is_a_gap_in_the_ethogram():
    figure = ethogram({"motifs": np.array([0, -1, 1])}, title="")
    image = figure.axes[0].images[0].get_array()
    assert image.mask.tolist() == [[False, True, False]]
