"""VAME's config.yaml: the keys of the model and its training, their defaults and their checks."""

import json
import os
import re
import warnings
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from seqvae.files import atomic_write
from vrae.vame.preprocessing import Preprocessing

ConfigSource = str | Path | Mapping[str, Any]
"""A config: the path of a config.yaml, or its keys and values."""

_CHOICES = {
    "anneal_function": ("linear", "sigmoid"),
    "mse_reconstruction_reduction": ("sum", "mean"),
    "mse_prediction_reduction": ("sum", "mean"),
    "split_mode": ("mode_1", "mode_2"),
}
_AT_LEAST_ONE = (
    "num_features",
    "batch_size",
    "max_epochs",
    "time_window",
    "zdims",
    "hidden_size_layer_1",
    "hidden_size_rec",
    "hidden_size_pred",
    "kmeans_loss",
    "annealtime",
    "model_snapshot",
    "model_convergence",
    "scheduler_step_size",
    "n_clusters",
    "n_init_kmeans",
    "length_of_motif_video",
    "hmm_n_iter",
    "hmm_min_duration",
)
_SEGMENTERS = ("kmeans", "hmm")
_NOT_READ = {
    "all_data": "yes",
    "beta_norm": False,
    "transition_function": "GRU",
    "n_layers": 1,
    "scheduler_threshold": None,
    "hmm_trained": False,
}
"""Keys of VAME that are not used, each with the value that describes our behaviour."""
_EARLIER_NAMES = {
    "n_cluster": "n_clusters",
    "parametrization": "segmentation_algorithms",
    "parametrizations": "segmentation_algorithms",
    "individual_parametrization": "individual_segmentation",
}
"""Names of keys in earlier versions of VAME."""
_ABOUT_THE_PROJECT = (
    "Project",
    "creation_datetime",
    "vame_version",
    "session_names",
    "keypoints",
    "pose_estimation_filetype",
)
"""Keys of VAME that only describe a project."""
_NOT_NEGATIVE = (
    "beta",
    "kl_start",
    "kmeans_lambda",
    "learning_rate",
    "dropout_encoder",
    "prediction_steps",
)


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """Settings of the segmentation of codes into motifs, see `segment`.

    Attributes:
        n_clusters: number of motifs.
        segmentation_algorithms: "kmeans", "hmm" or both.
        n_init_kmeans: initialisations of k-means.
        hmm_n_iter: the largest number of iterations of the hidden Markov model.
        hmm_min_duration: frames that a state of it lasts at least (ours).
        individual_segmentation: whether every session has its own motifs.
    """

    n_clusters: int = 15
    segmentation_algorithms: tuple[str, ...] = ("hmm", "kmeans")
    n_init_kmeans: int = 15
    hmm_n_iter: int = 100
    hmm_min_duration: int = 3
    individual_segmentation: bool = False


@dataclass(frozen=True, kw_only=True)
class Config(Preprocessing, Segmentation):
    """The keys of VAME's config.yaml that are used.

    Defaults are VAME's, except for `pose_confidence`. `missing_values`, `mixed_precision`,
    `batch_mixing` and `feature_names` are ours. The keys of `Preprocessing` and `Segmentation` are
    keys too.

    Attributes:
        project_name: part of the files' names, see `train_model`.
        project_path: the project's folder; a relative path: see `read_config`.
        model_name: part of the files' names, see `train_model`.
        num_features: features of a frame.
        batch_size: windows in a batch.
        max_epochs: number of epochs.
        time_window: frames of a window.
        learning_rate: the initial learning rate.
        beta: weight of the KL.
        kl_start: epochs without the KL.
        annealtime: epochs in which the KL's weight rises to 1.
        anneal_function: "linear" or "sigmoid".
        kmeans_loss: number of singular values in the cluster term.
        kmeans_lambda: weight of the cluster term.
        prediction_decoder: whether the frames after a window are predicted.
        prediction_steps: how many frames after a window are predicted.
        zdims: size of the code.
        hidden_size_layer_1: see `RNN_VAE`.
        hidden_size_layer_2: see `RNN_VAE`.
        hidden_size_rec: see `RNN_VAE`.
        hidden_size_pred: see `RNN_VAE`.
        dropout_encoder: see `RNN_VAE`.
        dropout_rec: see `RNN_VAE`.
        dropout_pred: see `RNN_VAE`.
        softplus: see `RNN_VAE`.
        noise: whether noise is added to the input in training.
        mse_reconstruction_reduction: "sum" or "mean" of the window's squared error.
        mse_prediction_reduction: "sum" or "mean" of the squared error after the window.
        scheduler: whether the learning rate is reduced when the loss stops falling.
        scheduler_step_size: epochs without progress before it is reduced.
        scheduler_gamma: the factor by which it is reduced.
        model_snapshot: epochs between two snapshots.
        model_convergence: epochs without a better model after which training ends.
        steps_per_epoch: batches of an epoch; None: one window per frame.
        project_random_state: the seed.
        test_fraction: see `create_training`.
        split_mode: see `create_training`.
        pretrained_weights: whether training starts from `pretrained_model`.
        pretrained_model: name of a model or snapshot in `model/best_model`, or the path of a file.
        missing_values: whether NaN is a missing value; otherwise it is an error.
        mixed_precision: bfloat16 in the recurrent layers.
        batch_mixing: see `Decoder`.
        length_of_motif_video: the largest number of frames of a bout in a movie.
        skeleton: pairs of keypoints that plots join by lines.
        feature_names: names of the rows of the data, see `create_training`.

    Raises:
        ValueError: a key has a wrong type or is out of range.
    """

    project_name: str = "project"
    project_path: str = "."
    model_name: str = "VAME"
    num_features: int = 12
    batch_size: int = 256
    max_epochs: int = 500
    time_window: int = 30
    learning_rate: float = 5e-4
    beta: float = 1.0
    kl_start: int = 2
    annealtime: int = 4
    anneal_function: str = "linear"
    kmeans_loss: int = 30
    kmeans_lambda: float = 0.1
    prediction_decoder: int = 1
    prediction_steps: int = 15
    zdims: int = 30
    hidden_size_layer_1: int = 256
    hidden_size_layer_2: int = 256
    hidden_size_rec: int = 256
    hidden_size_pred: int = 256
    dropout_encoder: float = 0.0
    dropout_rec: float = 0.0
    dropout_pred: float = 0.0
    softplus: bool = False
    noise: bool = False
    mse_reconstruction_reduction: str = "sum"
    mse_prediction_reduction: str = "sum"
    scheduler: int = 1
    scheduler_step_size: int = 100
    scheduler_gamma: float = 0.2
    model_snapshot: int = 50
    model_convergence: int = 50
    steps_per_epoch: int | None = None
    project_random_state: int = 42
    test_fraction: float = 0.1
    split_mode: str = "mode_2"
    pretrained_weights: bool = False
    pretrained_model: str | None = None
    missing_values: bool = False
    mixed_precision: bool = False
    batch_mixing: bool = False
    length_of_motif_video: int = 1000
    skeleton: tuple[tuple[str, str], ...] = ()
    feature_names: tuple[str, ...] = ()

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # YAML and JSON have no tuples
                value = tuple(tuple(item) if isinstance(item, list) else item for item in value)
                object.__setattr__(self, field.name, value)
            _check_type(field.name, value, field.type)
        super().__post_init__()
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name}: expected an integer of at least 1, got {getattr(self, name)!r}."
                )
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected at least 0, got {getattr(self, name)!r}.")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}."
                )
        unknown = set(self.segmentation_algorithms) - set(_SEGMENTERS)
        if unknown:
            raise ValueError(
                f"segmentation_algorithms: expected some of {', '.join(_SEGMENTERS)}, got "
                f"{', '.join(sorted(unknown))}."
            )
        if self.prediction_decoder and not 1 <= self.prediction_steps <= self.time_window:
            raise ValueError(
                f"prediction_steps: expected 1 to time_window = {self.time_window}, got "
                f"{self.prediction_steps}. Frames further ahead are not in a window."
            )
        if not 0.0 < self.test_fraction < 1.0:
            raise ValueError(
                f"test_fraction: expected above 0 and below 1, got {self.test_fraction!r}."
            )


OF_THE_DATA = tuple(f.name for f in fields(Preprocessing))
"""Keys that affect the model only through its data."""
AFTER_TRAINING = (*(f.name for f in fields(Segmentation)), "skeleton", "length_of_motif_video")
"""Keys that are used after training."""


def read_config(config: ConfigSource) -> Config:
    """Read a config of VAME: a config.yaml, or its keys and values.

    One warning names the keys that have no effect here. A relative `project_path` is relative to
    the folder of the file, for any working directory; in a mapping, to the working directory.

    Args:
        config: the path, or the keys and values.

    Returns:
        The config.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: not a YAML mapping, or a value of the wrong type or out of range; the message
            names the file and the key.
    """
    if isinstance(config, Mapping):
        return _of_values("config", config)
    path = Path(config)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such config file.")
    try:
        # safe_load: no code in the file is run
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not readable as YAML ({error}).") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected keys and values, as in VAME's config.yaml.")
    found = _of_values(str(path), values)
    # The file of a moved project contains its old path; the project is then in the file's folder.
    # os.path, because pathlib raises for a path that is too long.
    project = str(path.parent / found.project_path)
    return replace(found, project_path=project if os.path.exists(project) else str(path.parent))


def _of_values(name: str, given: Mapping[str, Any]) -> Config:
    values = {_EARLIER_NAMES.get(key, key): value for key, value in given.items()}
    if isinstance(values.get("segmentation_algorithms"), str):
        values["segmentation_algorithms"] = [values["segmentation_algorithms"]]
    known = {field.name for field in fields(Config)}
    left = {key: value for key, value in values.items() if key not in known}
    unread = [
        f"{key} ({value!r})"
        for key, value in left.items()
        if key not in _ABOUT_THE_PROJECT and not (key in _NOT_READ and _NOT_READ[key] == value)
    ]
    if unread:
        warnings.warn(
            f"{name}: these keys are set and have no effect here: {', '.join(unread)}. Remove "
            "them, or check how they are written.",
            stacklevel=3,
        )
    try:
        return Config(**{key: value for key, value in values.items() if key in known})
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def write_config(path: str | Path, config: Config) -> None:
    """Write all keys, atomically.

    Args:
        path: the file.
        config: the config.
    """
    with atomic_write(path) as part:
        values = json.loads(json.dumps(asdict(config)))  # YAML has no tuples
        part.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def set_features(config: ConfigSource, count: int, names: Sequence[str] = ()) -> None:
    """Set `num_features` and `feature_names` in a config.yaml or a dict; all else is unchanged.

    Comments in the file are kept.

    Args:
        config: the path of the file, or the dict.
        count: number of features.
        names: names of the features; empty: not set.

    Raises:
        ValueError: the config is a mapping that cannot be changed.
    """
    keys = {"num_features": count} | ({"feature_names": list(names)} if names else {})
    if not isinstance(config, Mapping):
        text = Path(config).read_text(encoding="utf-8")
        for key, value in keys.items():
            text = _with_key(text, key, value)
        with atomic_write(config) as part:
            part.write_text(text, encoding="utf-8")
    elif isinstance(config, MutableMapping):
        config.update(keys)
    else:
        raise ValueError(
            f"config: expected a dict, whose num_features becomes {count}, got "
            f"{type(config).__name__}."
        )


def _with_key(text: str, key: str, value: Any) -> str:
    """The text of a YAML file with a new value of a top-level key."""
    line = f"{key}: {json.dumps(value)}"  # JSON is YAML on one line
    found = re.compile(rf"(?m)^{key}[ \t]*:[^#\n]*?([ \t]*#.*)?$(\n[ \t]*- .*$)*")
    changed, count = found.subn(lambda match: line + (match[1] or ""), text)
    return changed if count else f"{text.rstrip()}\n{line}\n"


def _check_type(name: str, value: Any, expected: Any) -> None:
    kinds: dict[str, Any] = {
        "int": int,
        "float": (int, float),
        "str": str,
        "bool": (bool, int),
        "int | None": (int, type(None)),
        "float | None": (int, float, type(None)),
        "str | None": (str, type(None)),
        "tuple[str, ...]": tuple,
        "tuple[tuple[str, str], ...]": tuple,
    }
    wanted = expected.__name__ if type(expected) is type else str(expected)
    fine = isinstance(value, kinds[wanted]) and (
        wanted == "bool" or not isinstance(value, bool) or name in _FLAGS
    )
    if wanted.startswith("tuple") and fine:
        pairs = wanted != "tuple[str, ...]"
        wanted = "pairs of names" if pairs else "names"
        items: Any = value
        fine = all(_is_pair(item) if pairs else isinstance(item, str) for item in items)
    if not fine:
        raise ValueError(f"{name}: expected {wanted}, got {value!r} ({type(value).__name__}).")


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and [type(name) for name in item] == [str, str]


_FLAGS = ("prediction_decoder", "scheduler")  # 0 or 1 in VAME's files; booleans are accepted too
