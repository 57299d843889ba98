"""The estimators of `vrae.sklearn` keep scikit-learn's rules: parameters, pipelines, grid search,
pickles, refusals."""

import io
import pickle
import random
import zipfile

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from tests.tolerances import SAME_FLOAT32
from vrae import recipe
from vrae.sklearn import VRAEAnomalyDetector, VRAEClusterer, VRAEImputer, VRAETransformer

pytestmark = [
    pytest.mark.eager,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

SMALL = {"rnn_size": 2, "patch": 8, "bidirectional": False}
FEW = dict(z_size=2, steps=1, options=SMALL)
KINDS = {
    VRAETransformer: {},
    VRAEClusterer: {"n_clusters": 3},
    VRAEImputer: {},
    VRAEAnomalyDetector: {"num_samples": 2},
}
_TWO_D = "[N, T] is N series of one feature: n_features_in_ is 1, and T may differ at transform"
_ROUNDING = "float32: products of batches of another size or order differ in the last digits"
_DRAWS = "the draws of the log-likelihood depend on a series' place in X"
DO_NOT_APPLY = dict.fromkeys(("check_n_features_in", "check_n_features_in_after_fitting"), _TWO_D)
_OF_ONE_KIND = {
    VRAETransformer: {
        "check_transformer_general": _TWO_D,
        "check_methods_sample_order_invariance": _ROUNDING,
        "check_methods_subset_invariance": _ROUNDING,
    },
    VRAEClusterer: {},
    VRAEImputer: {
        "check_transformer_general": _TWO_D,
        "check_transformer_data_not_an_array": "of a list of series it makes a list",
    },
    VRAEAnomalyDetector: {
        "check_outliers_train": _TWO_D,
        "check_classifier_data_not_an_array": "a table is refused: its rows may be series or steps",
        "check_methods_sample_order_invariance": _DRAWS,
        "check_methods_subset_invariance": _DRAWS,
    },
}


def series(count=12, steps=8):
    return np.random.default_rng(0).normal(size=(count, steps, 2))


@pytest.fixture
def untrained(monkeypatch):
    """`fit` without training, and no graphs."""
    monkeypatch.setattr("vrae.recipe.train", lambda *_, **__: [0.0])
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(before)


def results(estimator, x):
    """What an estimator computes from series."""
    if isinstance(estimator, VRAEAnomalyDetector):
        return estimator.score_samples(x)
    return getattr(estimator, "transform", getattr(estimator, "predict", None))(x)


@pytest.fixture(scope="module")
def fitted():
    return {kind: kind(**FEW, **more).fit(series()) for kind, more in KINDS.items()}


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def estimator(request, fitted):
    return fitted[request.param]


@pytest.mark.slow
def test_a_fitted_estimator_survives_a_pickle(estimator):
    x = series()
    if isinstance(estimator, VRAEImputer):
        x[0, 2:4] = np.nan
    expected = results(estimator, x)
    stream = io.BytesIO()
    joblib.dump(estimator, stream)
    stream.seek(0)
    for copy in (pickle.loads(pickle.dumps(estimator)), joblib.load(stream)):
        np.testing.assert_array_equal(results(copy, x), expected)
        assert copy.get_params() == estimator.get_params() and copy.n_features_in_ == 2
        assert vars(copy).keys() == vars(estimator).keys()


def test_the_model_in_a_pickle_is_a_keras_file_that_runs_no_code(fitted):
    state = fitted[VRAETransformer].__getstate__()
    content = state["model_"]
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert {"config.json", "model.weights.h5"} <= set(file.namelist())
    other = VRAETransformer()
    with pytest.raises(ValueError, match=r"not a \.keras file that can be read"):
        other.__setstate__(state | {"model_": content[:100]})
    other.__setstate__(state)
    assert state["model_"] is content


def test_clones_have_the_parameters_and_no_model(estimator):
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params() and not hasattr(copy, "model_")
    assert type(copy)(**copy.get_params()).set_params(steps=7).steps == 7
    with pytest.raises(ValueError, match="Invalid parameter 'z'"):
        copy.set_params(z=3)
    for name in ("transform", "predict", "score_samples", "score_steps", "decision_function"):
        if hasattr(copy, name):
            with pytest.raises(NotFittedError):
                getattr(copy, name)(series())


def test_features_and_tags(estimator):
    assert estimator.n_features_in_ == 2
    with pytest.raises(ValueError, match="X: expected 2 features as in fit, got 1"):
        results(estimator, series()[:, :, 0])
    inputs = get_tags(estimator).input_tags
    assert inputs.three_d_array and inputs.allow_nan and not inputs.sparse
    assert not get_tags(VRAETransformer(missing=False)).input_tags.allow_nan


def test_nan_is_taken_as_documented(fitted):
    holes = series()
    holes[0, 2] = np.nan
    with pytest.raises(ValueError, match=r"X: expected no NaN, .* Use missing=True"):
        fitted[VRAETransformer].transform(holes)
    masked = np.ma.masked_invalid(holes)
    imputer = fitted[VRAEImputer]
    np.testing.assert_array_equal(imputer.transform(masked), imputer.transform(holes))
    np.testing.assert_array_equal(
        imputer.transform([masked[0], masked[1]])[0], imputer.transform(list(holes[:2]))[0]
    )


def test_imputation_returns_the_observed_numbers_themselves(fitted):
    imputer = fitted[VRAEImputer]
    for kind in (np.float64, np.float32, int):
        x = (series() * 10).astype(kind)
        filled = imputer.transform(x)
        assert filled.dtype == (kind if kind is not int else np.float64)
        np.testing.assert_array_equal(filled, x)


def test_codes_have_names(fitted):
    transformer = clone(fitted[VRAETransformer])
    with pytest.raises(NotFittedError):
        transformer.get_feature_names_out()
    names = ["vraetransformer0", "vraetransformer1"]
    assert fitted[VRAETransformer].get_feature_names_out().tolist() == names
    frame = pickle.loads(pickle.dumps(fitted[VRAETransformer])).set_output(transform="pandas")
    assert frame.transform(list(series()[:3])).columns.tolist() == names


@pytest.mark.slow
def test_grid_search_over_a_pipeline_of_ragged_series():
    x, labels = [each[: 6 + i % 3] for i, each in enumerate(series())], np.arange(12) % 2
    made = Pipeline([("codes", VRAETransformer(**FEW)), ("classes", LogisticRegression())])
    search = GridSearchCV(made, {"codes__z_size": [1, 3]}, cv=2, error_score="raise")
    search.fit(x, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_
    assert best["codes"].model_.z_size == search.best_params_["codes__z_size"]
    assert best["classes"].coef_.shape == (1, best["codes"].z_size)
    assert search.predict(x).shape == (12,)


@pytest.mark.slow
def test_grid_search_without_labels_is_by_the_log_likelihood(untrained):
    x = [each[: 6 + i % 3] for i, each in enumerate(series())]
    search = GridSearchCV(VRAETransformer(**FEW), {"z_size": [1, 2]}, cv=2, error_score="raise")
    search.fit(x)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.slow
def test_scores_are_log_likelihoods_of_an_observed_number(fitted):
    x, estimator = series(), fitted[VRAEClusterer]
    expected = estimator.model_.log_likelihood(x.astype("f"), num_samples=20, seed=estimator.seed_)
    np.testing.assert_allclose(estimator.score(x), np.mean(expected) / 16, **SAME_FLOAT32)
    assert estimator.score(x * 100) < estimator.score(x)


def test_pooled_states_in_place_of_codes(fitted, untrained):
    x, transformer = series(), clone(fitted[VRAETransformer]).set_params(output="pooled")
    states = transformer.fit(x).transform(x)
    np.testing.assert_array_equal(states, transformer.model_.pooled(x.astype("f")))
    assert states.shape == (12, 16) and len(transformer.get_feature_names_out()) == 16


@pytest.mark.slow
def test_settings_chosen_on_held_out_series(monkeypatch):
    taught = []
    monkeypatch.setattr("vrae.recipe.train", lambda _, batch, **said: taught.append((batch, said)))
    made = VRAETransformer(z_size=2, steps=30, options=SMALL, held_out=0.25).fit(series())
    assert [(len(batch["mask"]), said["steps"]) for batch, said in taught] == [
        *[(9, 10)] * 3,
        (12, 30),
    ]
    found = {k: made.model_.get_config()[k] for k in ("warp", "noise_floor")}
    assert found in [dict(each) for each in recipe.CANDIDATES]


@pytest.mark.slow
def test_seeds(fitted):
    x, first = series(), fitted[VRAETransformer]
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    again = VRAETransformer(**FEW).fit(x)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002
    np.testing.assert_allclose(again.transform(x), first.transform(x), **SAME_FLOAT32)
    drawn = [
        VRAETransformer(**FEW, random_state=seed).fit(x)
        for seed in (None, np.random.RandomState(3), np.random.RandomState(3))
    ]
    assert drawn[1].seed_ == drawn[2].seed_ != drawn[0].seed_


def test_two_axes_and_tensors_are_series_of_one_feature(fitted):
    x = series()
    np.testing.assert_array_equal(
        fitted[VRAETransformer].transform(tf.constant(x)), fitted[VRAETransformer].transform(x)
    )
    flat = VRAETransformer(**FEW).fit(x[:, :, 0])
    assert flat.n_features_in_ == 1
    np.testing.assert_array_equal(flat.transform(x[:, :, 0]), flat.transform(x[:, :, :1]))


@pytest.mark.parametrize(
    "x, error, message",
    [
        (None, TypeError, r"X: expected an array \[N, T, features\] .* got NoneType"),
        ("abc", TypeError, "X: expected an array .* got str"),
        ({"a": 1}, TypeError, "X: expected an array .* got dict"),
        (iter([]), TypeError, "X: expected an array .* got list_iterator"),
        (scipy.sparse.eye_array(3), TypeError, r"X: .* got a sparse one. Use X.toarray\(\)"),
        (
            pd.DataFrame({"a": [1.0]}),
            ValueError,
            r"X: .* got the columns a\. .* use X.to_numpy\(\)",
        ),
        (np.arange(3.0), ValueError, r"X: .* got an array of the shape \(3,\)"),
        (np.zeros((1, 2, 3, 4)), ValueError, r"X: .* got an array of the shape \(1, 2, 3, 4\)"),
        (np.zeros((3, 4, 0)), ValueError, r"X: .* got 0 feature\(s\)"),
        (np.zeros((2, 3, 2)) + 1j, ValueError, "X: expected real numbers. Complex data"),
        ([["a", "b"], ["c"]], ValueError, "X: number 0: expected numbers, got strings"),
        (np.array([["1", "2"]]), ValueError, "X: expected numbers, got strings"),
        (np.array([["1", 2.0]], object), ValueError, "X: expected numbers, got strings"),
        (np.array([["2020"]], "M8[D]"), ValueError, "X: expected numbers, got datetime64"),
        ([[[1.0], [1.0, 2.0]]], ValueError, "X: number 0: .* got unequal rows"),
    ],
)
def test_series_of_other_forms_are_refused(fitted, x, error, message):
    for verb in (VRAETransformer().fit, fitted[VRAETransformer].transform):
        with pytest.raises(error, match=message):
            verb(x)


@pytest.mark.parametrize(
    "made, error, message",
    [
        (VRAETransformer(steps=0), ValueError, "steps: expected a whole number of at least 1"),
        (VRAETransformer(options={"units": 3}), ValueError, r"options: .* got units. They are"),
        (VRAETransformer(options=[3]), TypeError, "options: expected a dict .* got list"),
        (VRAETransformer(held_out=1), ValueError, "held_out: expected a share above 0 and below 1"),
        (VRAETransformer(output="h"), ValueError, "output: expected z or pooled, got 'h'"),
        (VRAETransformer(z_size=0), ValueError, "z_size: expected"),
        (VRAETransformer(random_state="a"), ValueError, "cannot be used to seed"),
        (VRAEClusterer(13), ValueError, "n_clusters: expected at most 12, the number of series"),
        (VRAEClusterer(0), ValueError, "n_clusters: expected a whole number of at least 1"),
    ],
)
def test_parameters_are_refused_before_the_training(made, error, message, monkeypatch):
    monkeypatch.setattr("vrae.recipe.train", None)
    with pytest.raises(error, match=message):
        made.fit(series())
    assert not hasattr(made, "model_")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_checks_of_scikit_learn(kind, untrained):
    """All pass but those of `DO_NOT_APPLY` and `_OF_ONE_KIND`."""
    found = check_estimator(
        kind(**FEW, **KINDS[kind]),
        expected_failed_checks=DO_NOT_APPLY | _OF_ONE_KIND[kind],
        on_skip=None,
        on_fail=None,
    )
    failed = [f"{r['check_name']}: {r['exception']}" for r in found if r["status"] == "failed"]
    assert not failed, "\n".join(failed)
    accepted = {r["check_name"] for r in found if r["status"] == "xfail"}
    assert DO_NOT_APPLY.keys() <= accepted
