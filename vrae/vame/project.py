"""A project around the model: sessions to training data, and a trained model's codes of a
session."""

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

_CHUNK = 4096  # windows encoded at once: a bound on memory


@renamed_keypoints
def create_training(
    config: ConfigSource,
    sessions: Mapping[str, Session | np.ndarray | str | Path],
    **keys: Any,
) -> tuple[int, int]:
    """Splits sessions into training and test frames and writes what `train_model` reads.

    In `<project_path>/data/train`: `train_seq.npy`, `test_seq.npy` [features, frames] as VAME has
    them, and beside each `*_ends.npy`, where the pieces end that followed each other: no window
    reaches over such an end. In `data/processed`: each session of a file, see `Session`.
    `num_features` in the config becomes that of the data, as in VAME, and so do `feature_names`.

    Args:
        config: path of the config.yaml, or its keys and values, of which `num_features` changes:
            `time_window`, `test_fraction`, `split_mode`, `missing_values`, and of files those of
            `Preprocessing`.
        sessions: names to sessions, arrays [features, frames] or files. NaN is missing, where the
            config says so.
        keys: of `Preprocessing`, in place of the config's.

    Returns:
        The training and the test frames.

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
                "sessions, another "
                "test_fraction, or a smaller time_window."
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
    """The names that all sessions give their features; of arrays none."""
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
    """Sessions by name, preprocessed.

    Args:
        sessions: names to files that `read_pose` reads, or poses, which are preprocessed; arrays
            [features, frames] and sessions stay as they are.
        settings: the steps of preprocessing; None: those of `Preprocessing()`.
        individual, fps, skeleton: of files, see `read_pose`.
    """
    settings, made = settings or Preprocessing(), {}
    for name, session in sessions.items():
        if isinstance(session, (str, Path)):
            session = read_pose(session, individual=individual, fps=fps, skeleton=skeleton)
        if isinstance(session, Pose):
            session = preprocess(session, settings)
        if not isinstance(session, Session):
            session = Session((), np.asarray(session, np.float64))
        made[name] = session
    return made


@renamed_keypoints
def read_sessions(
    sessions: Mapping[str, np.ndarray | str | Path], **keys: Any
) -> dict[str, np.ndarray]:
    """Sessions as arrays [features, frames] float64, as `create_training` and `embed` take them.

    Args:
        sessions: names to arrays, which stay as they are, or to files, see `load_sessions`.
        keys: of `Preprocessing`.
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

    Reads `segmentation_algorithms`, `n_clusters`, `n_init_kmeans`, `hmm_n_iter`,
    `hmm_min_duration`, `time_window`, `project_random_state`, and `individual_segmentation`: then
    every session has motifs of its own, whose numbers have nothing to do with those of other
    sessions.

    Args:
        codes: [n, zdims] by session. observed, progress: see `segment`.
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
    """The share of values that are not missing in each window of a session [features, frames]:
    [frames - time_window + 1].

    The codes of windows in which little was observed are alike whatever the animal did: `segment`
    leaves them out.
    """
    share = 1.0 - np.isnan(session).mean(axis=0)
    return np.lib.stride_tricks.sliding_window_view(share, time_window).mean(axis=-1)
