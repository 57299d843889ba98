"""The report on test sequences that have gaps themselves."""

import json

import keras
import numpy as np
import pytest

import kvae
from kvae.report import Report
from seqvae.data import Sequences

OPTIONS = dict(t_init_mask=2, t_steps_mask=3, n_steps_gen=4, seed=0)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3)


def gaps(*rows):
    mask = np.array(rows, np.float32)
    images = (np.random.default_rng(0).random((*mask.shape, 8, 8)) < 0.3).astype(np.float32)
    images[mask == 0] = np.nan
    return Sequences(images, mask=mask)


@pytest.mark.slow
def test_sequences_whose_beginning_is_missing_are_not_imputed(model, tmp_path):
    report = Report(model, gaps([0, 0, 1, 1, 1, 1], [1, 0, 1, 1, 0, 1]), tmp_path, **OPTIONS)
    report.pictures(0, gif=True)
    figures = report.final()
    assert (tmp_path / "imputation.gif").exists() and (tmp_path / "imputation_curves.png").exists()
    assert np.isfinite(figures["headline"]["frames"]["smoothing"]["rmse"])
    alone = Report(model, gaps([1, 0, 1, 1, 0, 1]), tmp_path, **OPTIONS).final()
    assert len(figures["curves"]["block"]["x"]) == len(alone["curves"]["block"]["x"]) == 2


@pytest.mark.slow
def test_where_every_hidden_frame_is_missing_already_there_is_no_figure(model, tmp_path):
    report = Report(model, gaps([1, 1, 0, 0, 0, 1]), tmp_path, **OPTIONS)
    figures = report.final()
    assert (
        set(figures) == set(json.loads((tmp_path / "imputation.json").read_text())) == {"test_elbo"}
    )
    assert report.summary(figures)[0].startswith("test ELBO")


def test_without_any_observed_beginning_there_is_no_report(model, tmp_path):
    with pytest.raises(
        ValueError, match="t_init_mask: no test sequence is observed in its first 2 frames"
    ):
        Report(model, gaps([0, 0, 1, 1]), tmp_path, **OPTIONS)


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("t_init_mask", 0, 1), ("t_steps_mask", -1, 0), ("n_steps_gen", 0, 1)],
)
def test_numbers_of_frames_are_checked(model, tmp_path, name, value, least):
    with pytest.raises(ValueError, match=f"{name}: expected at least {least} frames, got {value}"):
        Report(model, gaps([1, 1, 1, 1]), tmp_path, **OPTIONS | {name: value})


@pytest.mark.slow
def test_sequences_that_end_before_the_block_are_shown_without_it(model, tmp_path):
    report = Report(
        model, Sequences(np.random.default_rng(0).random((2, 2, 8, 8)) < 0.3), tmp_path, **OPTIONS
    )
    report.pictures(0)
    assert (tmp_path / "frames_00001.png").exists()
    assert set(report.final()) == {"test_elbo"}
