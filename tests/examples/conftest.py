"""Fixtures of the commands' tests."""

from unittest import mock

import pytest


@pytest.fixture
def without_figures(request, monkeypatch):
    """No pictures, and in fast tests no figures on test data."""
    for name in (
        "kvae.train.Report",
        "worldmodels.train_convvae.VAEReport",
        "worldmodels.train_mdnrnn.RNNReport",
        "vrae.train.Report",
        "vrae.vame.report.pictures",
        "vrae.vame.report.training_curves",
        "vrae.vame.report.preprocessing_steps",
        "vrae.vame.cards.report.write_motif_movies",
        "vrae.vame.cards.report.sections_of",
    ):
        monkeypatch.setattr(name, mock.MagicMock())
    if not request.node.get_closest_marker("slow"):
        for name in (
            "kvae.train.evaluate_elbo",
            "worldmodels.train_convvae.evaluate_vae",
            "worldmodels.train_mdnrnn.evaluate_rnn",
            "vrae.train.evaluate",
        ):
            monkeypatch.setattr(name, lambda *args, **options: {})
        monkeypatch.setattr("vrae.vame.evaluation.evaluate", lambda config: {"mse": 0.0})
