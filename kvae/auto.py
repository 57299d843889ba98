"""Settings chosen from the data: the sizes of the code and the state, and the distribution of the
pixels.
"""

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.neighbors import NearestNeighbors

from seqvae.data import Sequences, unit_pixels

AUTO = "auto"
_FRAMES_MOST, _FRAMES_LEAST, _NEIGHBOURS = 2000, 100, 30  # for the estimate of the dimension
_BLUR = 1 / 8  # standard deviation of the blur, in units of the frame's shorter side
_CODE_SIZES = (2, 10)  # smallest and largest dim_a
_BINARY = 0.1  # a pixel is grey if it is farther than this from 0 and from 1
_GREY_SHARE = 0.2  # with a larger share of grey pixels, "gaussian" is chosen


def chosen(
    wanted: dict[str, int | str], sequences: Sequences, seed: int
) -> tuple[dict[str, int | str], list[str]]:
    """Choose the settings that are "auto".

    Args:
        wanted: `dim_a`, `dim_z` and `out_distr`, each a value or "auto".
        sequences: the training sequences.
        seed: seed of the choice of frames to examine.

    Returns:
        The settings, and a sentence for each choice.
    """
    found, reasons = dict(wanted), []
    rows = np.argwhere(sequences.observed)
    rows = rows[np.random.default_rng(seed).permutation(len(rows))[: 2 * _FRAMES_MOST]]
    frames = unit_pixels(sequences.frames[rows[:, 0], rows[:, 1]])
    if sequences.pixel_mask is not None:
        shown = sequences.pixel_mask[rows[:, 0], rows[:, 1]]
        frames = np.where(shown, frames, sequences.mean_frame())
    if wanted["out_distr"] == AUTO:
        found["out_distr"], reason = _distribution(frames)
        reasons.append(reason)
    if wanted["dim_a"] == AUTO:
        found["dim_a"], reason = _code_size(frames)
        reasons.append(reason)
    if wanted["dim_z"] == AUTO:
        found["dim_z"] = 2 * int(found["dim_a"])
        reasons.append(f"dim_z={found['dim_z']}: for each number of a its value and its velocity")
    return found, reasons


def _distribution(frames: np.ndarray) -> tuple[str, str]:
    grey = float(((frames > _BINARY) & (frames < 1 - _BINARY)).mean())
    name = "gaussian" if grey > _GREY_SHARE else "bernoulli"
    comparison = "more" if grey > _GREY_SHARE else "not more"
    return name, (
        f"out_distr={name}: {grey:.0%} of the pixels lie between {_BINARY} and {1 - _BINARY}, "
        f"{comparison} than {_GREY_SHARE:.0%}"
    )


def _code_size(frames: np.ndarray) -> tuple[int, str]:
    least, most = _CODE_SIZES
    blurred = _blurred(frames)
    _, first = np.unique(blurred, axis=0, return_index=True)
    distinct = blurred[np.sort(first)[:_FRAMES_MOST]]
    if len(distinct) < _FRAMES_LEAST:
        return least, (
            f"dim_a={least}: the minimum, because there are only {len(distinct)} distinct frames"
        )
    dimension = intrinsic_dimension(distinct)
    size = int(np.clip(round(dimension), least, most))
    return size, (
        f"dim_a={size}: the frames vary in about {dimension:.1f} dimensions (nearest-neighbour "
        f"estimate; {least} to {most} are used)"
    )


def _blurred(frames: np.ndarray) -> np.ndarray:
    """Blurred frames, [N, pixels]. Without blurring, the distance between two frames of a moving
    sharp edge grows with the square root of the distance moved, which would double the estimate.
    """
    sigma = _BLUR * min(frames.shape[1:3])
    blurred = gaussian_filter(frames, (0, sigma, sigma, *[0] * (frames.ndim - 3)))
    return blurred.reshape(len(frames), -1)


def intrinsic_dimension(points: np.ndarray, neighbours: int = _NEIGHBOURS) -> float:
    """Estimate the dimension of the manifold that points lie on.

    The estimate is the maximum-likelihood estimate of Levina and Bickel 2004 ("Maximum likelihood
    estimation of intrinsic dimension", eq. 8), with the inverses averaged over the points.

    Args:
        points: [N, D], distinct.
        neighbours: number of nearest neighbours used for each point.

    Returns:
        The estimate.
    """
    distances, _ = NearestNeighbors(n_neighbors=neighbours + 1).fit(points).kneighbors(points)
    logs = np.log(distances[:, -1:] / distances[:, 1:-1])
    return float(1.0 / logs.mean())
