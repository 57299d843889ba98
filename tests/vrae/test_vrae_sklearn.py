"""VRAE as scikit-learn estimators, on small series with few steps of training."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.tolerances import SAME_FLOAT32
from vrae.sklearn import VRAEAnomalyDetector, VRAEClusterer, VRAEImputer, VRAETransformer

FEW = dict(z_size=2, steps=50, options={"rnn_size": 4})


def series(count=20, steps=8, seed=0):
    """Two features; the second class rises."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    t = np.linspace(0, 1, steps)
    x = 4 * labels[:, None, None] * t[:, None] + 0.1 * rng.normal(size=(count, steps, 2))
    return x, labels


@pytest.fixture(scope="module")
def transformer():
    return VRAETransformer(**FEW).fit(series()[0])


@pytest.mark.slow
def test_codes_are_the_same_from_every_form_of_series(transformer):
    x, labels = series()
    codes = transformer.transform(x)
    assert codes.shape == (20, 2)
    np.testing.assert_array_equal(codes, transformer.model_.encode(x.astype("f")).mean())
    np.testing.assert_allclose(transformer.transform(list(x)), codes, **SAME_FLOAT32)
    other = VRAETransformer(**FEW, channels_first=True)
    other.model_, other.n_features_in_ = transformer.model_, 2
    for form in (x.transpose(0, 2, 1), [each.T for each in x]):
        np.testing.assert_allclose(other.transform(form), codes, **SAME_FLOAT32)
    assert make_pipeline(transformer, LogisticRegression()).fit(x, labels).score(x, labels) == 1.0


def test_parameters_are_those_of_scikit_learn():
    for kind in (VRAETransformer, VRAEClusterer, VRAEImputer, VRAEAnomalyDetector):
        made = kind(**FEW, random_state=3)
        copy = clone(made)
        assert copy is not made and copy.get_params() == made.get_params()
        assert copy.set_params(steps=7).steps == 7
        with pytest.raises(NotFittedError):
            getattr(made, "transform" if hasattr(made, "transform") else "predict")(series()[0])


def test_a_fit_whose_codes_carry_nothing_warns(transformer, monkeypatch):
    assert transformer.usage_["active_units"] == 2 and transformer.usage_["kl"] > 0
    monkeypatch.setattr("vrae.recipe.train", lambda *_, **__: [0.0])
    few = dict(z_size=2, steps=1, options={"rnn_size": 4, "decoder": "autoregressive"})
    with pytest.warns(ConvergenceWarning, match="z carries no information although .* KL are paid"):
        VRAETransformer(**few).fit(series()[0])
    few["options"] |= {"logvar_start": 0.0, "cosines": 0}
    with pytest.warns(ConvergenceWarning, match="z is ignored .* the decoder is autoregressive"):
        VRAETransformer(**few).fit(1e-9 * series()[0] + np.arange(8)[:, None])


@pytest.mark.slow
def test_clusters_are_the_classes():
    x, labels = series()
    found = VRAEClusterer(2, **FEW).fit(x)
    agree = (found.labels_ == labels).mean()
    assert max(agree, 1 - agree) == 1.0
    np.testing.assert_array_equal(found.predict(x), found.labels_)


@pytest.mark.slow
def test_imputation_keeps_what_was_observed_and_the_form():
    x, _ = series()
    holes = np.where(np.random.default_rng(1).random(x.shape) < 0.2, np.nan, x)
    made = VRAEImputer(**FEW).fit(x)
    filled = made.transform(holes)
    seen = np.isfinite(holes)
    assert filled.shape == x.shape and np.isfinite(filled).all() and made.missing is None
    np.testing.assert_allclose(filled[seen], x[seen], rtol=1e-6)
    parts = made.transform([holes[0], holes[1, :5]])
    assert [p.shape for p in parts] == [(8, 2), (5, 2)]
    with pytest.raises(ValueError, match="missing: expected True or None"):
        VRAEImputer(missing=False).fit(x)


@pytest.mark.slow
def test_improbable_series_and_steps_are_found():
    x, _ = series(40)
    found = VRAEAnomalyDetector(0.1, num_samples=5, **FEW).fit(x)
    assert (found.predict(x) == -1).sum() == 4
    strange = x[:2].copy()
    strange[0, 3] += 30
    scores = found.score_samples(strange)
    assert scores[0] < scores[1] and found.predict(strange)[0] == -1
    np.testing.assert_allclose(found.decision_function(strange), scores - found.offset_)
    assert np.argmax(found.score_steps(strange)[0]) == 3
    with pytest.raises(ValueError, match=r"contamination: expected a share above 0 and below 0.5"):
        VRAEAnomalyDetector(0.7, **FEW).fit(x)
    with pytest.raises(ValueError, match="num_samples: expected an integer of at least 1, got 0"):
        VRAEAnomalyDetector(num_samples=0, **FEW).fit(x)


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros((2, 3, 5)), "X: expected 2 features as in fit, got 5. .* channels_first=True"),
        ([], "X: sequences: expected at least one, got none"),
        ([np.full((3, 2), np.nan)], "X: sequences: number 0 holds no observed number"),
        (np.full((1, 3, 2), np.inf), "X: sequences: number 0 holds infinity"),
    ],
)
def test_series_that_do_not_fit_are_refused(transformer, x, message):
    with pytest.raises(ValueError, match=message):
        transformer.transform(x)
