"""A project around the model: sessions to training data, and a trained model's codes of a
session."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from vrae.vame.config import Config, ConfigSource, read_config, set_num_features
from vrae.vame.data import Statistics, check_sessions, save_array, save_pieces, split_sessions
from vrae.vame.keypoints import egocentric, read_deeplabcut
from vrae.vame.motifs import segment
from vrae.vame.renamed import renamed_keypoints
from vrae.vame.rnn_model import RNN_VAE

_CHUNK = 4096  # windows encoded at once: a bound on memory


@renamed_keypoints
def create_training(
    config: ConfigSource,
    sessions: Mapping[str, np.ndarray | str | Path],
    *,
    centered_reference_keypoint: str | None = None,
    orientation_reference_keypoint: str | None = None,
    pose_confidence: float = 0.9,
    longest_gap: int = 30,
) -> tuple[int, int]:
    """Splits sessions into training and test frames and writes what `train_model` reads.

    In `<project_path>/data/train`: `train_seq.npy`, `test_seq.npy` [features, frames] as VAME has
    them, and beside each `*_ends.npy`, where the pieces end that followed each other: no window
    reaches over such an end. `num_features` in the config becomes that of the data, as in VAME.

    Args:
        config: path of the config.yaml, or its keys and values, of which `num_features` changes:
            `time_window`, `test_fraction`, `split_mode`, `missing_values`.
        sessions: names to arrays [features, frames] or to files. NaN is missing, where the config
            says so.
        centered_reference_keypoint, orientation_reference_keypoint, pose_confidence, longest_gap:
            see `read_sessions`.

    Returns:
        The training and the test frames.

    Raises:
        ValueError: a session cannot be used; the message names it and says why.
    """
    settings = read_config(config)
    arrays = read_sessions(
        sessions,
        centered_reference_keypoint=centered_reference_keypoint,
        orientation_reference_keypoint=orientation_reference_keypoint,
        pose_confidence=pose_confidence,
        longest_gap=longest_gap,
    )
    features = next((data.shape[0] for data in arrays.values() if data.ndim), 0)
    steps = 2 * settings.time_window
    check_sessions(
        arrays, num_features=features, steps=steps, missing_values=settings.missing_values
    )
    parts = split_sessions(
        arrays, settings.test_fraction, settings.split_mode, settings.project_random_state
    )
    for name, pieces in zip(("train", "test"), parts, strict=True):
        if not any(piece.shape[1] >= steps for piece in pieces):
            raise ValueError(
                f"sessions: no {name} piece has {steps} frames, twice time_window. Give longer "
                "sessions, another "
                "test_fraction, or a smaller time_window."
            )
    if features != settings.num_features:
        set_num_features(config, features)
    folder = Path(settings.project_path) / "data" / "train"
    for name, pieces in zip(("train", "test"), parts, strict=True):
        save_array(folder / f"{name}_ends.npy", np.cumsum([piece.shape[1] for piece in pieces]))
        save_pieces(folder / f"{name}_seq.npy", pieces)
    train, test = (sum(piece.shape[1] for piece in pieces) for pieces in parts)
    return train, test


@renamed_keypoints
def read_sessions(
    sessions: Mapping[str, np.ndarray | str | Path],
    *,
    centered_reference_keypoint: str | None = None,
    orientation_reference_keypoint: str | None = None,
    pose_confidence: float = 0.9,
    longest_gap: int = 30,
) -> dict[str, np.ndarray]:
    """Sessions as arrays [features, frames] float64, as `create_training` and `embed` take them.

    Args:
        sessions: names to arrays, which stay as they are, or to paths of DeepLabCut's CSV files.
        centered_reference_keypoint, orientation_reference_keypoint: of files: the keypoints that
            positions are aligned by, see `egocentric`; None for both leaves positions as they are.
        pose_confidence: of files: a keypoint of a lower likelihood is missing in that frame.
        longest_gap: of files: the longest gap of a reference keypoint that is interpolated, in
            frames.
    """
    centre, ahead = centered_reference_keypoint, orientation_reference_keypoint
    if (centre is None) != (ahead is None):
        raise ValueError(
            "centered_reference_keypoint, orientation_reference_keypoint: expected the names of "
            "two keypoints, or neither, "
            f"got {centre!r} and {ahead!r}."
        )
    made = {}
    for name, session in sessions.items():
        if isinstance(session, (str, Path)):
            pose = read_deeplabcut(session, pose_confidence=pose_confidence)
            session = pose.positions
            if centre is not None and ahead is not None:
                session = egocentric(pose, centre, ahead, longest_gap=longest_gap)
        made[name] = np.asarray(session, np.float64)
    return made


def embed(
    model: RNN_VAE,
    statistics: Statistics,
    settings: Config,
    session: np.ndarray,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """The codes of a session [features, frames]: [frames - time_window + 1, zdims] float32, one a
    window, by its first frame.

    The session is normalised as the training data were (VAME does not). Memory beside the result
    does not grow with it.

    Args:
        model, statistics, settings: what `load_best` gives.
        progress: called with the number of windows just done.

    Raises:
        ValueError: the session cannot be used; the message says why.
    """
    session, steps = np.asarray(session), settings.time_window
    if session.ndim != 2 or len(session) != settings.num_features:
        raise ValueError(
            f"session: expected [{settings.num_features}, frames], got the shape {session.shape}."
        )
    if session.shape[1] < steps:
        raise ValueError(f"session: {session.shape[1]} frames, a window has {steps}.")
    if not settings.missing_values and not np.isfinite(session).all():
        raise ValueError(
            "session: NaN or infinite values, and the model was trained with missing_values: false."
        )
    count = session.shape[1] - steps + 1
    codes = np.empty((count, settings.zdims), np.float32)
    for first in range(0, count, _CHUNK):
        last = min(first + _CHUNK, count)
        part = statistics.normalise(session[:, first : last + steps - 1])
        codes[first:last] = model.embed(np.nan_to_num(part).T)
        progress(last - first)
    return codes


def segment_sessions(
    config: ConfigSource,
    codes: Mapping[str, np.ndarray],
    *,
    observed: Mapping[str, np.ndarray] | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, dict[str, np.ndarray]]:
    """The motif of every window by algorithm and session, as a config asks for.

    Reads `segmentation_algorithms`, `n_clusters`, `n_init_kmeans`, `hmm_n_iter`, `time_window`,
    `project_random_state`, and `individual_segmentation`: then every session has motifs of its own,
    whose numbers have nothing to do with those of other sessions.

    Args:
        codes: [n, zdims] by session. observed, progress: see `segment`.
    """
    s = read_config(config)
    groups = [[name] for name in codes] if s.individual_segmentation else [list(codes)]
    found: dict[str, dict[str, np.ndarray]] = {}
    for algorithm in s.segmentation_algorithms:
        found[algorithm] = {}
        for names in groups:
            _, labels = segment(
                {name: codes[name] for name in names},
                s.n_clusters,
                algorithm=algorithm,
                seed=s.project_random_state,
                observed=observed,
                n_init_kmeans=s.n_init_kmeans,
                hmm_n_iter=s.hmm_n_iter,
                time_window=s.time_window,
                progress=progress,
            )
            found[algorithm] |= labels
    return found


def observed_share(session: np.ndarray, time_window: int) -> np.ndarray:
    """The share of values that are not missing in each window of a session [features, frames]:
    [frames - time_window + 1].

    The codes of windows in which little was observed are alike whatever the animal did: `segment`
    leaves them out.
    """
    share = 1.0 - np.isnan(session).mean(axis=0)
    return np.lib.stride_tricks.sliding_window_view(share, time_window).mean(axis=-1)
