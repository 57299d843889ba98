"""A VAME project: from sessions to training data, and a trained model's codes of a session."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vrae.vame.config import Config, ConfigSource, read_config, set_features
from vrae.vame.data import Statistics, check_sessions, save_array, save_pieces, split_sessions
from vrae.vame.keypoints import Pose
from vrae.vame.preprocessing import Preprocessing, preprocess
from vrae.vame.readers import read_pose
from vrae.vame.renamed import renamed_keypoints
from vrae.vame.rnn_model import RNN_VAE
from vrae.vame.sessions import Session, save_session

_CHUNK = 4096  # windows encoded at once; limits memory


@renamed_keypoints
def create_training(
    config: ConfigSource,
    sessions: Mapping[str, Session | np.ndarray | str | Path],
    **keys: Any,
) -> tuple[int, int]:
    """Split sessions into training and test frames and write the data for `train_model`.

    Written to `<project_path>/data/train`: `train_seq.npy` and `test_seq.npy` [features, frames] as
    in VAME, and beside each `*_ends.npy`, the ends of pieces of consecutive frames: no window
    crosses such an end. Written to `data/processed`: each session of a file, see `Session`.
    `num_features` and `feature_names` in the config become those of the data, as in VAME.

    Args:
        config: path of the config.yaml, or its keys and values, whose `num_features` is set. Used
            are `time_window`, `test_fraction`, `split_mode`, `missing_values`, and for files the
            keys of `Preprocessing`.
        sessions: by name: sessions, arrays [features, frames] or files. NaN is missing, if the
            config allows it.
        **keys: of `Preprocessing`, which replace the config's.

    Returns:
        The numbers of training and test frames.

    Raises:
        ValueError: a session cannot be used; the message names it and says why.
    """
    settings = read_config(config)
    loaded = load_sessions(sessions, replace(settings, **keys))
    names = _same_features(loaded)
    arrays = {name: session.values for name, session in loaded.items()}
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
                "sessions, another test_fraction, or a smaller time_window."
            )
    if (features, names) != (settings.num_features, settings.feature_names):
        set_features(config, features, names)
    folder = Path(settings.project_path) / "data"
    for name, session in loaded.items():
        if session.pose is not None:
            save_session(folder / "processed" / f"{name}.npz", session)
    for name, pieces in zip(("train", "test"), parts, strict=True):
        ends = np.cumsum([piece.shape[1] for piece in pieces])
        save_array(folder / "train" / f"{name}_ends.npy", ends)
        save_pieces(folder / "train" / f"{name}_seq.npy", pieces)
    train, test = (sum(piece.shape[1] for piece in pieces) for pieces in parts)
    return train, test


def _same_features(sessions: Mapping[str, Session]) -> tuple[str, ...]:
    """The names that all sessions give their features; empty for arrays."""
    first, names = next(((name, s.features) for name, s in sessions.items()), ("", ()))
    for name, session in sessions.items():
        if session.features != names:
            raise ValueError(
                f"sessions: {first} has the features {', '.join(names) or 'without names'}; "
                f"{name} has {', '.join(session.features) or 'none with names'}. Read all with the "
                "same settings; `exclude` leaves keypoints out."
            )
    return names


def load_sessions(
    sessions: Mapping[str, Session | Pose | np.ndarray | str | Path],
    settings: Preprocessing | None = None,
    *,
    individual: str | None = None,
    fps: float | None = None,
    skeleton: tuple[str, ...] | tuple[tuple[str, str], ...] = (),
) -> dict[str, Session]:
    """Read and preprocess sessions.

    Args:
        sessions: by name: files that `read_pose` reads, or poses, which are preprocessed; arrays
            [features, frames] and sessions are unchanged.
        settings: the steps of preprocessing; None: `Preprocessing()`.
        individual: for files, see `read_pose`.
        fps: for files, see `read_pose`.
        skeleton: for files, see `read_pose`.

    Returns:
        The sessions by name.
    """
    settings, prepared = settings or Preprocessing(), {}
    for name, session in sessions.items():
        if isinstance(session, (str, Path)):
            session = read_pose(session, individual=individual, fps=fps, skeleton=skeleton)
        if isinstance(session, Pose):
            session = preprocess(session, settings)
        if not isinstance(session, Session):
            session = Session((), np.asarray(session, np.float64))
        prepared[name] = session
    return prepared


@renamed_keypoints
def read_sessions(
    sessions: Mapping[str, np.ndarray | str | Path], **keys: Any
) -> dict[str, np.ndarray]:
    """Read sessions as arrays, as `create_training` and `embed` take them.

    Args:
        sessions: by name: arrays, which are unchanged, or files, see `load_sessions`.
        **keys: of `Preprocessing`.

    Returns:
        [features, frames] float64 by name.
    """
    loaded = load_sessions(sessions, Preprocessing(**keys))
    return {name: session.values for name, session in loaded.items()}


def embed(
    model: RNN_VAE,
    statistics: Statistics,
    settings: Config,
    session: np.ndarray,
    progress: Callable[[int], None] = lambda done: None,
) -> np.ndarray:
    """Compute the codes of all windows of a session.

    The session is normalised like the training data (VAME does not normalise it). Memory, apart
    from the result, does not grow with the session.

    Args:
        model: the model, from `load_best`.
        statistics: the statistics of the training data, from `load_best`.
        settings: the config, from `load_best`.
        session: [features, frames].
        progress: called with the number of windows just encoded.

    Returns:
        [frames - time_window + 1, zdims] float32, one code per window, by its first frame.

    Raises:
        ValueError: the session cannot be used; the message says why.
    """
    session, steps = np.asarray(session), settings.time_window
    if session.ndim != 2 or len(session) != settings.num_features:
        raise ValueError(
            f"session: expected [{settings.num_features}, frames], got the shape {session.shape}."
        )
    if session.shape[1] < steps:
        raise ValueError(
            f"session: expected at least the {steps} frames of a window, got {session.shape[1]}."
        )
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
    """Find motifs as a config asks for.

    The keys used are `segmentation_algorithms`, `n_clusters`, `n_init_kmeans`, `hmm_n_iter`,
    `hmm_min_duration`, `time_window`, `project_random_state`, and `individual_segmentation`. With
    the last one every session has its own motifs, whose numbers are unrelated to those of other
    sessions.

    Args:
        config: path of the config.yaml, or its keys and values.
        codes: [n, zdims] by session.
        observed: see `segment`.
        progress: see `segment`.

    Returns:
        The motif of every window by algorithm and session.
    """
    from vrae.vame.motifs import segment  # an import of this module does not wait for hmmlearn

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
                hmm_min_duration=s.hmm_min_duration,
                time_window=s.time_window,
                progress=progress,
            )
            found[algorithm] |= labels
    return found


def observed_share(session: np.ndarray, time_window: int) -> np.ndarray:
    """Compute the share of observed values in each window of a session.

    Windows with few observed values have similar codes whatever the animal did; `segment` leaves
    them out.

    Args:
        session: [features, frames], NaN is missing.
        time_window: frames of a window.

    Returns:
        [frames - time_window + 1].
    """
    share = 1.0 - np.isnan(session).mean(axis=0)
    return np.lib.stride_tricks.sliding_window_view(share, time_window).mean(axis=-1)
