"""Files of a run that are needed for new series: series.json (names, columns, scaling, windows) and
the table of codes.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqvae.data.tables import write_table
from seqvae.files import write_json
from seqvae.saved_models import load_model
from vrae.data import Series
from vrae.model import VRAE

DESCRIPTION = "series.json"
_AT_ONCE = 256


class Trained(NamedTuple):
    """A run's model and the description of its series."""

    model: VRAE
    """The model."""
    names: tuple[str, ...]
    """Names of the features."""
    named: bool
    """Whether the series had names of features."""
    window: int
    """Steps of a window; 0: whole series."""
    columns: dict[str, str]
    """The run's flags --id, --label, --time and --drop."""


def write_description(folder: Path, s: Any, train: Series, scaling: dict | None) -> None:
    """Write series.json.

    Args:
        folder: the run's folder.
        s: the settings.
        train: the training series.
        scaling: mean and deviation of each feature, or None.
    """
    about = {
        "names": list(train.feature_names()),
        "named": train.names is not None,
        "window": s.window,
        "stride": s.stride,
        "columns": {name: getattr(s, name) for name in ("id", "label", "time", "drop")},
        "scaling": scaling,
    }
    write_json(folder / DESCRIPTION, about)


def load_run(folder: str | Path) -> Trained:
    """Read a run's model and the description of its series.

    Args:
        folder: the run's folder.

    Returns:
        The model and the description.

    Raises:
        FileNotFoundError: there is no such run.
        ValueError: a file is damaged; the message names it.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file. Expected the folder of a finished run of `vrae`."
        )
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        names, window = tuple(map(str, about["names"])), int(about["window"])
        named = bool(about["named"])
        columns = {name: str(about["columns"][name]) for name in ("id", "label", "time", "drop")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({error}). Train the run again.") from error
    model: Any = load_model(folder / "model.keras", VRAE)
    if model.feature_size != len(names):
        raise ValueError(
            f"{path}: expected {model.feature_size} names of features as model.keras has, got "
            f"{len(names)}. Train the run again."
        )
    return Trained(model, names, named, window, columns)


def parts_of(model: VRAE, series: Series) -> Any:
    """Make batches of up to 256 series, in their order.

    Args:
        model: the model.
        series: the series.

    Yields:
        The series of a batch, and the arrays that the model takes.
    """
    for i in range(0, len(series.mask), _AT_ONCE):
        part = series.take(slice(i, i + _AT_ONCE))
        batch = part.batch()
        if not model.get_config()["positions"]:
            batch.pop("times", None)
        yield part, batch


def codes_of(model: VRAE, series: Series) -> np.ndarray:
    """Compute the mean codes.

    Args:
        model: the model.
        series: the series.

    Returns:
        [N, z_size].
    """
    found = [model.encode(**batch).mean().numpy() for _, batch in parts_of(model, series)]
    return np.concatenate(found)


def pooled_of(model: VRAE, series: Series) -> np.ndarray:
    """Compute the pooled states of the encoder.

    Args:
        model: the model.
        series: the series.

    Returns:
        [N, width].
    """
    return np.concatenate([model.pooled(**b).numpy() for _, b in parts_of(model, series)])


def log_likelihoods(
    model: VRAE, series: Series, *, num_samples: int = 20, seed: int = 0
) -> np.ndarray:
    """Estimate log p(x) by importance weighting (`VRAE.log_likelihood`).

    Args:
        model: the model.
        series: the series.
        num_samples: draws of z for each series.
        seed: seed of the draws.

    Returns:
        [N], nats per observed number.
    """
    parts = [
        model.log_likelihood(**batch, num_samples=num_samples, seed=seed).numpy()
        for _, batch in parts_of(model, series)
    ]
    return np.concatenate(parts) / series.observed().sum(axis=(1, 2))


def reconstructions(model: VRAE, series: Series) -> np.ndarray:
    """Reconstruct series.

    Args:
        model: the model.
        series: the series.

    Returns:
        [N, T, features], in units.
    """
    found = [model.reconstruct(**batch).numpy() for _, batch in parts_of(model, series)]
    return np.concatenate(found)


def ids_of(series: Series) -> list[str]:
    """List the series' ids, or their numbers; windows of one series are numbered from 0.

    Args:
        series: the series.

    Returns:
        An id for each series.
    """
    if series.ids is None:
        return [str(i) for i in range(len(series.mask))]
    ids, seen, names = [str(i) for i in series.ids], {}, []
    repeated = len(set(ids)) < len(ids)
    for name in ids:
        number = seen[name] = seen.get(name, -1) + 1
        names.append(f"{name}/{number}" if repeated else name)
    return names


def write_codes(path: Path, model: VRAE, sets: dict[str, Series]) -> None:
    """Write a table of codes: `set` (if there are several), `id`, `label`, `z_0`, `z_1`, ...

    Args:
        path: the CSV file.
        model: the model.
        sets: series by the name of their set.
    """
    head = ["set", "id", "label"] if len(sets) > 1 else ["id", "label"]
    rows = []
    for name, series in sets.items():
        labels = [""] * len(series.mask) if series.labels is None else series.labels.tolist()
        for key, label, z in zip(ids_of(series), labels, codes_of(model, series), strict=True):
            first = [name] if len(sets) > 1 else []
            rows.append([*first, key, label, *(f"{x:.6g}" for x in z)])
    write_table(path, [*head, *(f"z_{i}" for i in range(model.z_size))], rows)
