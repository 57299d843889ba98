"""VRAE as scikit-learn estimators: codes, clusters, imputation and anomalies, for series of equal
or different lengths.

Series are [N, T, features], [N, T] of one feature, a list of arrays [T_i, features], or a long
pandas frame, with a row for each step (`vrae.frames.from_frame`). NaN and masked entries
are missing. `channels_first=True` reads arrays as aeon has them: [N, features, T] and
[features, T_i]. scikit-learn's cross-validation splits arrays and lists, not long frames,
because their rows are not series. A fitted estimator can be pickled: the model inside is bytes of a
`.keras` file, which Keras loads in its safe mode.
"""

import inspect
import numbers
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    OutlierMixin,
    TransformerMixin,
)
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from seqvae.checks import check_size
from seqvae.saved_models import load_model
from vrae import recipe
from vrae.data import Series, pad
from vrae.evaluation import about_usage, latent_usage
from vrae.frames import from_frame
from vrae.model import VRAE
from vrae.runs import codes_of, log_likelihoods, parts_of, pooled_of

_JUDGED = 1000
Input = np.ndarray | Sequence[np.ndarray] | pd.DataFrame
_EXPECTED = "an array [N, T, features] or [N, T], a list of arrays [T_i, features], or a long frame"


class _Estimator(BaseEstimator):
    """Base class of the estimators: `fit` makes the model by `vrae.recipe.choose` and trains it.

    Args:
        z_size: size of the code; None: chosen by the rules.
        steps: training steps of 32 series each.
        missing: whether later series may lack numbers; None: as in `fit`.
        held_out: share of the series of `fit`, such as 0.2, on which three trial models of a third
            of the steps each choose warp and noise floor; 0: both are fixed.
        options: other arguments of `VRAE`; None: chosen by the rules.
        channels_first: whether the axes are [N, features, T].
        random_state: seed of weights, order and random draws; with a `RandomState` or None it is
            drawn.
        verbose: whether the rules are printed.

    Attributes:
        model_: the `VRAE`, after `fit`.
        losses_: the mean losses of blocks of training steps.
        seed_: the seed that was used.
        usage_: KL, active units and mutual information of z on up to 1,000 training series
            (`vrae.evaluation.latent_usage`). `fit` warns (`ConvergenceWarning`) if z carries
            no information.
        n_features_in_: features of a step (1 for [N, T]).
        feature_names_in_: names of the features, if `fit` was given a frame.
    """

    def __init__(
        self,
        z_size: int | None = None,
        *,
        steps: int = recipe.STEPS,
        missing: bool | None = None,
        held_out: float = 0.0,
        options: dict[str, Any] | None = None,
        channels_first: bool = False,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ):
        self.z_size, self.steps, self.missing = z_size, steps, missing
        self.held_out, self.options, self.channels_first = held_out, options, channels_first
        self.random_state, self.verbose = random_state, verbose

    def fit(self, X: Input, y: Any = None):
        """Train on series.

        Args:
            X: the series.
            y: unused.

        Returns:
            The estimator.

        Raises:
            TypeError: X or a parameter has another type; the message names it.
            ValueError: X or a parameter has another value; the message names it.
        """
        self.__dict__.pop("feature_names_in_", None)
        series = self._series(X)
        options = self._model_options()
        self._check(series)
        seed = self.random_state
        if not isinstance(seed, numbers.Integral):
            seed = check_random_state(seed).randint(2**31 - 1)
        self.seed_ = int(seed)
        with recipe.seeded(self.seed_):
            self.model_ = VRAE.for_series(
                series,
                held_out=self.held_out,
                trial_steps=max(1, self.steps // 3),
                verbose=self.verbose,
                **{"seed": self.seed_} | options,
            )
            self.losses_ = recipe.train(
                self.model_, series.batch(), steps=self.steps, seed=self.seed_
            )
            self.n_features_in_ = series.sequences.shape[2]
            self._check_latent_usage(series.take(slice(0, _JUDGED)))
            if series.names is not None:
                self.feature_names_in_ = np.array(series.names, object)
            self._after_fit(series)
        return self

    def _check_latent_usage(self, series: Series) -> None:
        """Measure the use of z, and warn if it carries no information."""
        config = self.model_.get_config()
        self.usage_ = latent_usage(
            self.model_,
            series.sequences,
            series.mask,
            times=series.times if config["positions"] else None,
            seed=self.seed_,
        )
        _, *collapse = about_usage(
            self.usage_,
            config["z_size"],
            autoregressive=config.get("decoder") == "autoregressive",
        )
        for sentence in collapse:
            warnings.warn(sentence, ConvergenceWarning, stacklevel=3)

    def _model_options(self) -> dict[str, Any]:
        """Arguments of `VRAE` that replace the chosen ones."""
        if self.options is not None and not isinstance(self.options, Mapping):
            raise TypeError(
                f"options: expected a dict of arguments of VRAE, got {type(self.options).__name__}."
            )
        options = dict(self.options or {})
        known = inspect.signature(VRAE).parameters
        unknown = sorted(str(name) for name in options if name not in known)
        if unknown:
            raise ValueError(
                f"options: expected arguments of VRAE, got {', '.join(unknown)}. They are "
                f"{', '.join(known)}."
            )
        if self.z_size is not None:
            options["z_size"] = self.z_size
        if self._missing() is not None:
            options["missing"] = self._missing()
            options.setdefault("hidden", 0.1 if self._missing() else 0.0)
        return options

    def _missing(self) -> bool | None:
        return self.missing

    def _check(self, series: Series) -> None:
        """Check the parameters before training."""
        if not isinstance(self.steps, numbers.Integral) or self.steps < 1:
            raise ValueError(f"steps: expected a whole number of at least 1, got {self.steps!r}.")

    def _after_fit(self, series: Series) -> None:
        """Compute what an estimator needs besides the model."""

    def score(self, X: Input, y: Any = None) -> float:
        """Compute the mean of log p(x) over series, by importance weighting with 20 draws.

        Models of one likelihood can be compared by it, also in `GridSearchCV` without labels.

        Args:
            X: the series.
            y: unused.

        Returns:
            Nats for each observed standardised number.
        """
        series = self._fitted(X)
        return float(log_likelihoods(self.model_, series, seed=self.seed_).mean())

    def _series(self, X: Input) -> Series:
        try:
            if isinstance(X, pd.DataFrame):
                return from_frame(X, self._names()).series
            arrays = _arrays(X)
            return pad([x.T for x in arrays] if self.channels_first else arrays)
        except ValueError as error:
            text = str(error)
            raise ValueError(text if text.startswith("X: ") else f"X: {text}") from error

    def _names(self) -> list[str] | None:
        """The features of the frame that `fit` was given."""
        names = getattr(self, "feature_names_in_", None)
        return None if names is None else names.tolist()

    def _fitted(self, X: Input) -> Series:
        check_is_fitted(self, "model_")
        series = self._series(X)
        if series.sequences.shape[2] != self.n_features_in_:
            raise ValueError(
                f"X: expected {self.n_features_in_} features as in fit, got "
                f"{series.sequences.shape[2]}. With [N, features, T] use channels_first=True."
            )
        if not self.model_.missing and np.isnan(series.sequences).any():
            raise ValueError(
                "X: expected no NaN, because the series of fit had none. Use missing=True."
            )
        return series

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self._missing() is not False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                state["model_"].save(path)
                state["model_"] = path.read_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "model_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.keras"
                path.write_bytes(state["model_"])
                state = state | {"model_": load_model(path, VRAE)}
        super().__setstate__(state)


def _arrays(X: Any) -> np.ndarray | list[np.ndarray]:
    """X as one array or a list of arrays of real numbers, NaN where a masked array masks."""
    if issparse(X):
        raise TypeError(f"X: expected {_EXPECTED}, got a sparse one. Use X.toarray().")
    if hasattr(X, "columns"):
        raise TypeError(
            f"X: expected {_EXPECTED}, got a {type(X).__name__}. Use X.to_pandas() or X.to_numpy()."
        )
    if hasattr(X, "__array__") and not isinstance(X, np.ndarray):
        X = np.asarray(X)
    if isinstance(X, np.ndarray) and (X.dtype != object or X.ndim != 1):
        if X.ndim not in (2, 3):
            raise ValueError(
                f"X: expected {_EXPECTED}, got an array of the shape {X.shape}. Reshape your data."
            )
        if 0 in X.shape[1:]:
            raise ValueError(
                f"X: expected {_EXPECTED}, got 0 feature(s) (shape={X.shape}) while a minimum of 1 "
                "is required."
            )
        return _numbers(X, "X")
    if isinstance(X, (str, bytes, Mapping)) or not hasattr(X, "__len__"):
        raise TypeError(f"X: expected {_EXPECTED}, got {type(X).__name__}.")
    return [_numbers(x, f"X: number {i}") for i, x in enumerate(X)]


def _numbers(x: Any, name: str) -> np.ndarray:
    try:
        array = x if np.ma.isMaskedArray(x) else np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name}: expected [steps, features], got unequal rows.") from error
    if array.dtype.kind == "c":
        raise ValueError(f"{name}: expected real numbers. Complex data not supported.")
    strings = array.dtype == object and any(isinstance(value, str) for value in array.flat)
    if strings or array.dtype.kind not in "biufO":
        got = "strings" if strings or array.dtype.kind in "US" else str(array.dtype)
        raise ValueError(f"{name}: expected numbers, got {got}. Drop or encode them.")
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: expected numbers: {error}") from error
    if np.ma.isMaskedArray(array):
        kind = array.dtype if array.dtype.kind == "f" else np.float64
        array = np.ma.filled(array.astype(kind), np.nan)
    return array


class VRAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Estimator):
    """Maps series to their mean codes [N, z_size], float32, named "vraetransformer0", ...

    Args:
        z_size: size of the code; None: chosen by the rules.
        output: "z" for the mean codes; "pooled" for the summary of the encoder's states that z is
            computed from (1,024 numbers by the rules), for classifiers.
        steps: training steps of 32 series each.
        missing: whether later series may lack numbers; None: as in `fit`.
        held_out: share of the series of `fit`, such as 0.2, on which three trial models of a third
            of the steps each choose warp and noise floor; 0: both are fixed.
        options: other arguments of `VRAE`; None: chosen by the rules.
        channels_first: whether the axes are [N, features, T].
        random_state: seed of weights, order and random draws; with a `RandomState` or None it is
            drawn.
        verbose: whether the rules are printed.

    Attributes:
        model_: the `VRAE`, after `fit`.
        losses_: the mean losses of blocks of training steps.
        seed_: the seed that was used.
        usage_: KL, active units and mutual information of z on up to 1,000 training series
            (`vrae.evaluation.latent_usage`). `fit` warns (`ConvergenceWarning`) if z carries
            no information.
        n_features_in_: features of a step (1 for [N, T]).
        feature_names_in_: names of the features, if `fit` was given a frame.
    """

    def __init__(
        self,
        z_size: int | None = None,
        *,
        output: str = "z",
        steps: int = recipe.STEPS,
        missing: bool | None = None,
        held_out: float = 0.0,
        options: dict[str, Any] | None = None,
        channels_first: bool = False,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ):
        super().__init__(
            z_size,
            steps=steps,
            missing=missing,
            held_out=held_out,
            options=options,
            channels_first=channels_first,
            random_state=random_state,
            verbose=verbose,
        )
        self.output = output

    def _check(self, series: Series) -> None:
        super()._check(series)
        if self.output not in ("z", "pooled"):
            raise ValueError(f"output: expected z or pooled, got {self.output!r}.")

    @property
    def _n_features_out(self) -> int:
        return self.model_.z_size if self.output == "z" else self.model_.encoder.width

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def transform(self, X: Input) -> np.ndarray:
        """Compute the codes of series.

        Args:
            X: the series.

        Returns:
            Mean codes [N, z_size], or pooled states [N, width] with `output="pooled"`.
        """
        series = self._fitted(X)
        return (codes_of if self.output == "z" else pooled_of)(self.model_, series)


class VRAEClusterer(ClusterMixin, _Estimator):
    """Clusters the codes of series by k-means.

    Args:
        n_clusters: number of clusters.
        z_size: size of the code; None: chosen by the rules.
        steps: training steps of 32 series each.
        missing: whether later series may lack numbers; None: as in `fit`.
        held_out: share of the series of `fit`, such as 0.2, on which three trial models of a third
            of the steps each choose warp and noise floor; 0: both are fixed.
        options: other arguments of `VRAE`; None: chosen by the rules.
        channels_first: whether the axes are [N, features, T].
        random_state: seed of weights, order and random draws; with a `RandomState` or None it is
            drawn.
        verbose: whether the rules are printed.

    Attributes:
        model_: the `VRAE`, after `fit`.
        losses_: the mean losses of blocks of training steps.
        seed_: the seed that was used.
        usage_: KL, active units and mutual information of z on up to 1,000 training series
            (`vrae.evaluation.latent_usage`). `fit` warns (`ConvergenceWarning`) if z carries
            no information.
        n_features_in_: features of a step (1 for [N, T]).
        feature_names_in_: names of the features, if `fit` was given a frame.
        kmeans_: the fitted k-means.
        labels_: the clusters of the training series.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        z_size: int | None = None,
        steps: int = recipe.STEPS,
        missing: bool | None = None,
        held_out: float = 0.0,
        options: dict[str, Any] | None = None,
        channels_first: bool = False,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ):
        super().__init__(
            z_size,
            steps=steps,
            missing=missing,
            held_out=held_out,
            options=options,
            channels_first=channels_first,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_clusters = n_clusters

    def _check(self, series: Series) -> None:
        super()._check(series)
        if not isinstance(self.n_clusters, numbers.Integral) or self.n_clusters < 1:
            raise ValueError(
                f"n_clusters: expected a whole number of at least 1, got {self.n_clusters!r}."
            )
        if self.n_clusters > len(series.mask):
            raise ValueError(
                f"n_clusters: expected at most {len(series.mask)}, the number of series, got "
                f"{self.n_clusters}."
            )

    def _after_fit(self, series: Series) -> None:
        codes = codes_of(self.model_, series)
        self.kmeans_ = KMeans(self.n_clusters, n_init=10, random_state=self.seed_).fit(codes)
        self.labels_ = self.kmeans_.labels_

    def predict(self, X: Input) -> np.ndarray:
        """Assign series to clusters.

        Args:
            X: the series.

        Returns:
            [N], the cluster of each series.
        """
        series = self._fitted(X)
        return self.kmeans_.predict(codes_of(self.model_, series))


class VRAEImputer(TransformerMixin, _Estimator):
    """Fills missing numbers by their posterior mean.

    `fit` also takes complete series.

    Args:
        z_size: size of the code; None: chosen by the rules.
        steps: training steps of 32 series each.
        missing: whether later series may lack numbers; None: as in `fit`.
        held_out: share of the series of `fit`, such as 0.2, on which three trial models of a third
            of the steps each choose warp and noise floor; 0: both are fixed.
        options: other arguments of `VRAE`; None: chosen by the rules.
        channels_first: whether the axes are [N, features, T].
        random_state: seed of weights, order and random draws; with a `RandomState` or None it is
            drawn.
        verbose: whether the rules are printed.

    Attributes:
        model_: the `VRAE`, after `fit`.
        losses_: the mean losses of blocks of training steps.
        seed_: the seed that was used.
        usage_: KL, active units and mutual information of z on up to 1,000 training series
            (`vrae.evaluation.latent_usage`). `fit` warns (`ConvergenceWarning`) if z carries
            no information.
        n_features_in_: features of a step (1 for [N, T]).
        feature_names_in_: names of the features, if `fit` was given a frame.
    """

    def _check(self, series: Series) -> None:
        super()._check(series)
        if self.missing is False:
            raise ValueError("missing: expected True or None for imputation, got False.")

    def _missing(self) -> bool:
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def transform(self, X: Input) -> Any:
        """Fill the missing numbers of series.

        Args:
            X: the series.

        Returns:
            An array, a list or a frame like X, with the axes or the index of X. Observed numbers
            are those of X; the dtype is that of X if it is a float.
        """
        series = self._fitted(X)
        imputed = [
            self.model_.impute(**batch).mean.numpy() for _, batch in parts_of(self.model_, series)
        ]
        ends = series.lengths()
        imputed = [row[:end] for row, end in zip(np.concatenate(imputed), ends, strict=True)]
        if isinstance(X, pd.DataFrame):
            return self._filled_frame(X, imputed)
        arrays = _arrays(X)
        rows = [self._filled(x, row) for x, row in zip(arrays, imputed, strict=True)]
        return np.stack(rows) if isinstance(arrays, np.ndarray) else rows

    def _filled_frame(self, frame: pd.DataFrame, imputed: list[np.ndarray]) -> pd.DataFrame:
        long, frame = from_frame(frame, self._names()), frame.copy()
        rows, values = np.concatenate(long.rows), np.concatenate(imputed)
        for k, name in enumerate(long.columns):
            column = frame[name].to_numpy(np.float64, na_value=np.nan, copy=True)
            column[rows] = np.where(np.isnan(column[rows]), values[:, k], column[rows])
            frame[name] = column
        return frame

    def _filled(self, x: np.ndarray, imputed: np.ndarray) -> np.ndarray:
        imputed = imputed[:, 0] if x.ndim == 1 else imputed.T if self.channels_first else imputed
        kind = x.dtype if x.dtype.kind == "f" else np.float64
        return np.where(np.isnan(x), imputed, x).astype(kind)


class VRAEAnomalyDetector(OutlierMixin, _Estimator):
    """Finds series and steps that are improbable under the model.

    Args:
        contamination: share of the training series that are outliers; it sets the threshold.
        num_samples: draws for the log-likelihood. They depend on the place of a series in X, so
            scores change a little with the order.
        z_size: size of the code; None: chosen by the rules.
        steps: training steps of 32 series each.
        missing: whether later series may lack numbers; None: as in `fit`.
        held_out: share of the series of `fit`, such as 0.2, on which three trial models of a third
            of the steps each choose warp and noise floor; 0: both are fixed.
        options: other arguments of `VRAE`; None: chosen by the rules.
        channels_first: whether the axes are [N, features, T].
        random_state: seed of weights, order and random draws; with a `RandomState` or None it is
            drawn.
        verbose: whether the rules are printed.

    Attributes:
        model_: the `VRAE`, after `fit`.
        losses_: the mean losses of blocks of training steps.
        seed_: the seed that was used.
        usage_: KL, active units and mutual information of z on up to 1,000 training series
            (`vrae.evaluation.latent_usage`). `fit` warns (`ConvergenceWarning`) if z carries
            no information.
        n_features_in_: features of a step (1 for [N, T]).
        feature_names_in_: names of the features, if `fit` was given a frame.
        offset_: the threshold.
    """

    def __init__(
        self,
        contamination: float = 0.05,
        *,
        num_samples: int = 20,
        z_size: int | None = None,
        steps: int = recipe.STEPS,
        missing: bool | None = None,
        held_out: float = 0.0,
        options: dict[str, Any] | None = None,
        channels_first: bool = False,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ):
        super().__init__(
            z_size,
            steps=steps,
            missing=missing,
            held_out=held_out,
            options=options,
            channels_first=channels_first,
            random_state=random_state,
            verbose=verbose,
        )
        self.contamination, self.num_samples = contamination, num_samples

    def _check(self, series: Series) -> None:
        super()._check(series)
        check_size("num_samples", self.num_samples)
        if not 0 < self.contamination < 0.5:
            raise ValueError(
                f"contamination: expected a share above 0 and below 0.5, got {self.contamination}."
            )

    def _after_fit(self, series: Series) -> None:
        self.offset_ = float(np.quantile(self._scores(series), self.contamination))

    def _scores(self, series: Series) -> np.ndarray:
        return log_likelihoods(self.model_, series, num_samples=self.num_samples, seed=self.seed_)

    def score_samples(self, X: Input) -> np.ndarray:
        """Compute log p(x) by importance weighting.

        Args:
            X: the series.

        Returns:
            [N], nats per observed number; low values are improbable.
        """
        return self._scores(self._fitted(X))

    def decision_function(self, X: Input) -> np.ndarray:
        """Compute `score_samples` minus the threshold.

        Args:
            X: the series.

        Returns:
            [N], negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Input) -> np.ndarray:
        """Find outliers.

        Args:
            X: the series.

        Returns:
            [N], -1 for outliers, 1 for others.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def score_steps(self, X: Input) -> list[np.ndarray]:
        """Compute the mean squared error of each step.

        Args:
            X: the series.

        Returns:
            [T_i] for each series, in standardised units; NaN where nothing is observed.
        """
        series, errors = self._fitted(X), []
        scaling = self.model_.get_config()["scaling"]
        deviation = np.array(scaling["deviation"]) if scaling else 1.0
        for part, batch in parts_of(self.model_, series):
            error = np.square(
                (self.model_.reconstruct(**batch).numpy() - part.sequences) / deviation
            )
            seen = part.observed()
            total, count = np.where(seen, error, 0.0).sum(2), seen.sum(2)
            step = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            errors += [row[:end] for row, end in zip(step, part.lengths(), strict=True)]
        return errors
