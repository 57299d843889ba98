"""VRAE as scikit-learn estimators: codes, clusters, imputation, anomalies, for series of one length
or of several.

Series are [N, T, features], [N, T] of one feature, or a list of arrays [T_i, features]; NaN is
missing. `channels_first=True` reads them as aeon has them: [N, features, T] and [features, T_i].
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin, OutlierMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted

from vrae import recipe
from vrae.data import Series, pad
from vrae.model import VRAE
from vrae.runs import codes_of, parts_of

Input = np.ndarray | Sequence[np.ndarray]


class _Estimator(BaseEstimator):
    """What all have: `fit` makes the model by the rules of `vrae.recipe.choose`, and trains it.

    Args:
        z_size: of the code; None: by the rules. steps: of training, of 32 series each.
        missing: whether series given later may lack numbers; None: as in `fit`.
        options: other arguments of `VRAE`. channels_first: the axes of the series.
        random_state: seed of weights, order and noise.
        verbose: print the rules.
    """

    def __init__(
        self,
        z_size: int | None = None,
        *,
        steps: int = recipe.STEPS,
        missing: bool | None = None,
        options: dict[str, Any] | None = None,
        channels_first: bool = False,
        random_state: int = 0,
        verbose: bool = False,
    ):
        self.z_size, self.steps, self.missing = z_size, steps, missing
        self.options, self.channels_first = options, channels_first
        self.random_state, self.verbose = random_state, verbose

    def fit(self, X: Input, y: Any = None):
        """Trains on series X; y is not used."""
        series = self._series(X)
        chosen = dict(self.options or {})
        if self.z_size is not None:
            chosen["z_size"] = self.z_size
        if self.missing is not None:
            chosen["missing"] = self.missing
            chosen.setdefault("hidden", 0.1 if self.missing else 0.0)
        keras.utils.set_random_seed(self.random_state)
        self.model_ = VRAE.for_series(
            series, verbose=self.verbose, **{"seed": self.random_state} | chosen
        )
        self.losses_ = recipe.train(
            self.model_, series.batch(), steps=self.steps, seed=self.random_state
        )
        self.n_features_in_ = series.sequences.shape[2]
        self._after_fit(series)
        return self

    def _after_fit(self, series: Series) -> None:
        """What an estimator learns beside the model."""

    def _series(self, X: Input) -> Series:
        if self.channels_first:
            X = [np.asarray(x).T for x in X]
        try:
            return pad(X)
        except ValueError as error:
            raise ValueError(f"X: {error}") from error

    def _fitted(self, X: Input) -> Series:
        check_is_fitted(self, "model_")
        series = self._series(X)
        if series.sequences.shape[2] != self.n_features_in_:
            raise ValueError(
                f"X: expected {self.n_features_in_} features as in fit, got "
                f"{series.sequences.shape[2]}. With [N, features, T] use channels_first=True."
            )
        return series


class VRAETransformer(TransformerMixin, _Estimator):
    """Series to their mean codes [N, z_size]."""

    def transform(self, X: Input) -> np.ndarray:
        """The mean codes [N, z_size] of series."""
        series = self._fitted(X)
        return codes_of(self.model_, series)


class VRAEClusterer(ClusterMixin, _Estimator):
    """Clusters of codes by k-means.

    Args:
        n_clusters: the number of clusters. The others: as for `VRAETransformer`.
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        z_size: int | None = None,
        steps: int = recipe.STEPS,
        missing: bool | None = None,
        options: dict[str, Any] | None = None,
        channels_first: bool = False,
        random_state: int = 0,
        verbose: bool = False,
    ):
        super().__init__(
            z_size,
            steps=steps,
            missing=missing,
            options=options,
            channels_first=channels_first,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_clusters = n_clusters

    def _after_fit(self, series: Series) -> None:
        codes = codes_of(self.model_, series)
        self.kmeans_ = KMeans(self.n_clusters, n_init=10, random_state=self.random_state).fit(codes)
        self.labels_ = self.kmeans_.labels_

    def predict(self, X: Input) -> np.ndarray:
        """The cluster [N] of each series."""
        series = self._fitted(X)
        return self.kmeans_.predict(codes_of(self.model_, series))


class VRAEImputer(TransformerMixin, _Estimator):
    """Fills missing numbers by their posterior mean."""

    def fit(self, X: Input, y: Any = None):
        """Trains on series X, which may be complete; y is not used."""
        if self.missing is False:
            raise ValueError("missing: expected True or None for imputation, got False.")
        before, self.missing = self.missing, True
        try:
            return super().fit(X, y)
        finally:
            self.missing = before

    def transform(self, X: Input) -> Any:
        """X with missing numbers filled: an array where X is one, otherwise a list, with X's
        axes."""
        series = self._fitted(X)
        made = [
            self.model_.impute(**batch).mean.numpy() for _, batch in parts_of(self.model_, series)
        ]
        filled = np.concatenate(made)
        rows = [f[: int(m.sum())] for f, m in zip(filled, series.mask, strict=True)]
        flat = all(np.ndim(x) == 1 for x in X)
        rows = [row[:, 0] if flat else row.T if self.channels_first else row for row in rows]
        return np.stack(rows) if isinstance(X, np.ndarray) else rows


class VRAEAnomalyDetector(OutlierMixin, _Estimator):
    """Series and steps that the model finds improbable.

    Args:
        contamination: share of the training series above whose scores a series is an outlier.
        num_samples: draws for the log-likelihood. The others: as for `VRAETransformer`.
    """

    def __init__(
        self,
        contamination: float = 0.05,
        *,
        num_samples: int = 20,
        z_size: int | None = None,
        steps: int = recipe.STEPS,
        missing: bool | None = None,
        options: dict[str, Any] | None = None,
        channels_first: bool = False,
        random_state: int = 0,
        verbose: bool = False,
    ):
        super().__init__(
            z_size,
            steps=steps,
            missing=missing,
            options=options,
            channels_first=channels_first,
            random_state=random_state,
            verbose=verbose,
        )
        self.contamination, self.num_samples = contamination, num_samples

    def _after_fit(self, series: Series) -> None:
        if not 0 < self.contamination < 0.5:
            raise ValueError(
                f"contamination: expected a share above 0 and below 0.5, got {self.contamination}."
            )
        self.offset_ = float(np.quantile(self._scores(series), self.contamination))

    def _scores(self, series: Series) -> np.ndarray:
        parts = [
            self.model_.log_likelihood(
                **batch, num_samples=self.num_samples, seed=self.random_state
            ).numpy()
            for _, batch in parts_of(self.model_, series)
        ]
        return np.concatenate(parts) / series.observed().sum(axis=(1, 2))

    def score_samples(self, X: Input) -> np.ndarray:
        """log p(x) [N] by importance weighting, nats for each observed number; low: improbable."""
        return self._scores(self._fitted(X))

    def decision_function(self, X: Input) -> np.ndarray:
        """`score_samples` less the threshold: below 0 for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Input) -> np.ndarray:
        """-1 for outliers, 1 for the others."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def score_steps(self, X: Input) -> list[np.ndarray]:
        """The mean squared error of each step [T_i], in standardised units; NaN where nothing was
        observed."""
        series, made = self._fitted(X), []
        scaling = self.model_.get_config()["scaling"]
        deviation = np.array(scaling["deviation"]) if scaling else 1.0
        for part, batch in parts_of(self.model_, series):
            error = np.square(
                (self.model_.reconstruct(**batch).numpy() - part.sequences) / deviation
            )
            seen = part.observed()
            total, count = np.where(seen, error, 0.0).sum(2), seen.sum(2)
            step = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            made += [row[: int(m.sum())] for row, m in zip(step, part.mask, strict=True)]
        return made
