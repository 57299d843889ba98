"""Fixtures of the commands' tests."""

from unittest import mock

import pytest


@pytest.fixture
def without_figures(request, monkeypatch):
    """No pictures, and in fast tests no figures on test data."""
    for name in ("kvae.report.Report", "worldmodels.report.VAEReport", "worldmodels.report.RNNReport", "vrae.report.Report",
                 "vrae.vame.report.pictures", "vrae.vame.report.training_curves"):  # fmt: skip
        monkeypatch.setattr(name, mock.MagicMock())
    if not request.node.get_closest_marker("slow"):
        for name in ("kvae.evaluation.evaluate_elbo", "worldmodels.evaluation.evaluate_vae",
                     "worldmodels.evaluation.evaluate_rnn", "vrae.training.evaluate"):  # fmt: skip
            monkeypatch.setattr(name, lambda *args, **options: {})
        monkeypatch.setattr("vrae.vame.report.evaluate", lambda config: {"mse": 0.0})
