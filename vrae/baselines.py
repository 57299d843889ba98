"""Simple methods on the same series: principal components of the code's size, and the nearest
neighbour.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from vrae.data import Series

_LONGEST = 512
"""The largest number of steps to which series are resampled, which limits memory."""


def on_one_length(series: Series, length: int) -> np.ndarray:
    """Resample series to one length by linear interpolation at equal relative times.

    Args:
        series: the series; missing numbers are interpolated, missing features become 0.
        length: number of steps.

    Returns:
        [N, length, features].
    """
    resampled = np.zeros((len(series.mask), length, series.sequences.shape[2]))
    observed = series.observed()
    for i, (sequence, end) in enumerate(zip(series.sequences, series.lengths(), strict=True)):
        at = np.linspace(0.0, max(end - 1, 0), length)
        for k in range(sequence.shape[1]):
            seen = np.flatnonzero(observed[i, :, k])
            if len(seen):
                resampled[i, :, k] = np.interp(at, seen, sequence[seen, k])
    return resampled


class Principal:
    """Principal components of series, resampled to the length of the longest training series.

    Args:
        train: the training series, standardised; numbers may be missing.
        size: number of components; fewer if the series have fewer.
    """

    def __init__(self, train: Series, size: int):
        self._length = min(_LONGEST, int(train.lengths().max()))
        flat = self._flat(train)
        self._pca = PCA(min(size, *flat.shape), random_state=0).fit(flat)

    def _flat(self, series: Series) -> np.ndarray:
        return on_one_length(series, self._length).reshape(len(series.mask), -1)

    def codes(self, series: Series) -> np.ndarray:
        """Compute the components of series.

        Args:
            series: the series.

        Returns:
            [N, size].
        """
        return self._pca.transform(self._flat(series))

    def reconstruction(self, series: Series) -> np.ndarray:
        """Reconstruct series at their own lengths.

        Args:
            series: the series.

        Returns:
            [N, T, features], 0 in the padding.
        """
        features = series.sequences.shape[2]
        even = self._pca.inverse_transform(self.codes(series))
        even = even.reshape(-1, self._length, features)
        reconstructed = np.zeros(series.sequences.shape)
        for i, (row, end) in enumerate(zip(even, series.lengths(), strict=True)):
            at = np.linspace(0.0, self._length - 1, end)
            for k in range(features):
                reconstructed[i, :end, k] = np.interp(at, np.arange(self._length), row[:, k])
        return reconstructed


def squared_error(series: Series, reconstructed: np.ndarray) -> float:
    """Compute the mean squared error of the observed numbers.

    Args:
        series: the true series.
        reconstructed: [N, T, features].

    Returns:
        The error.
    """
    observed = series.observed()
    return float(np.mean(np.square(reconstructed[observed] - series.sequences[observed])))


def nearest_neighbour_accuracy(
    train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> float:
    """Compute the accuracy of the nearest neighbour.

    Args:
        train: [N, ...], training rows.
        train_labels: [N].
        test: [M, ...], test rows.
        test_labels: [M].

    Returns:
        The share of test rows whose nearest training row has the same label.
    """
    return float(KNeighborsClassifier(1).fit(train, train_labels).score(test, test_labels))


def are_classes(labels: np.ndarray | None) -> bool:
    """Whether labels are classes: words, or few whole numbers.

    Args:
        labels: [N], or None.

    Returns:
        True for classes.
    """
    if labels is None:
        return False
    if labels.dtype.kind in "US":
        return True
    whole = bool(np.isfinite(labels).all() and (labels == np.round(labels)).all())
    return whole and len(np.unique(labels)) <= max(2, min(50, len(labels) // 2))
