"""VAME's codes on real recordings beside what needs no training.

    pip download --no-deps seglearn==1.2.5 ethome-ml==0.6.2      # their wheels hold the recordings
    python benchmarks/vame_real.py --seglearn=seglearn-1.2.5-py3-none-any.whl \\
        --ethome=ethome_ml-0.6.2-py3-none-any.whl
    python benchmarks/vame_real.py --table

seglearn: a smartwatch on the wrists of ten subjects who do seven exercises. Recordings of a
subject and side are joined in random order, so the exercises are true motifs; no window lies over a
joint. Everything is fitted on nine subjects and judged on the tenth: statistics, models, probes and
motifs.

- probe: accuracy and AUC of a logistic regression on standardised features.
- motifs: adjusted mutual information, bout F1 and transition error of k-means ("kmeans"), of a
  hidden Markov model ("hmm"), and of both joined by transitions to seven behaviours
  ("kmeans joined", "hmm joined").
- prediction: squared error of the frames after a window, beside that of the last frame held.

ethome: the first of its files of a mouse (the other two hold the same mouse), cut into five parts,
one of which is held out. It has no labels: prediction, and the motifs for `stability`.

`stability` in the table: the adjusted Rand index of held-out windows between seeds.

One JSON line for each set, row, seed and held-out subject is appended to --out. Lines that are
there are not computed again: a stopped benchmark resumes, and more seeds add to it.
"""

import itertools
import json
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from timing import machine

from vrae import vame
from vrae.vame.data import Windows
from vrae.vame.motif_scores import agreement
from vrae.vame.motifs import behaviours, communities, segment
from vrae.vame.rnn_model import RNN_VAE

ROWS = {
    "codes": "VAME's codes",
    "codes_mixing": "VAME's codes, batch_mixing as in VAME",
    "codes_of_velocities": "codes, trained with the absolute velocities as extra features",
    "pca": "principal components of windows",
    "pca_of_velocities": "principal components of windows with the absolute velocities",
    "windows": "windows",
    "velocities": "velocities",
    "speeds": "mean absolute velocities",
    "codes_speeds": "codes and speeds",
    "pca_speeds": "principal components and speeds",
}
"""What stands in a table, and its title."""
TRAINED = ("codes", "codes_mixing", "codes_of_velocities")

flags.DEFINE_string("seglearn", "", "the wheel of seglearn 1.2.5")
flags.DEFINE_string("ethome", "", "the wheel of ethome-ml 0.6.2")
flags.DEFINE_list("rows", list(ROWS), f"of {', '.join(ROWS)}")
flags.DEFINE_integer("seeds", 5, "number of seeds")
flags.DEFINE_list("subjects", [], "held-out subjects; default: all")
flags.DEFINE_list("clusters", ["8", "15", "30"], "numbers of motifs")
flags.DEFINE_list("segmentations", ["kmeans", "hmm"], "segmentations to measure: kmeans, hmm")
flags.DEFINE_integer("every", 8, "frames of seglearn (50 Hz) that are averaged to one")
flags.DEFINE_integer("time_window", 16, "frames of a window")
flags.DEFINE_integer("zdims", 30, "size of the code, and number of principal components")
flags.DEFINE_integer("hidden", 64, "units of the recurrent layers")
flags.DEFINE_integer("prediction_steps", 8, "frames that are predicted")
flags.DEFINE_float("beta", 1.0, "weight of the KL")
flags.DEFINE_integer("steps", 400, "steps of training")
flags.DEFINE_integer("batch_size", 64, "windows of a batch")
flags.DEFINE_float("learning_rate", 2e-3, "first learning rate, which falls to 0")
flags.DEFINE_integer("threads", 0, "threads; 0: as many as the libraries take")
flags.DEFINE_string("labels", "logs/vame_real", "folder of the held-out windows' motifs")
flags.DEFINE_string("out", str(Path(__file__).parent / "results" / "vame_real.jsonl"), "results")
flags.DEFINE_bool("table", False, "only print the tables of --out")

SETTINGS = (
    *("every", "time_window", "zdims", "hidden", "prediction_steps"),
    *("beta", "steps", "batch_size", "learning_rate"),
)
"""The flags that a line must agree on to be of the same table."""


class Recording(NamedTuple):
    """values [frames, F]; label: of all its frames, -1: unknown; subject; session: recordings of
    the same one are joined."""

    values: np.ndarray
    label: int
    subject: int
    session: int


class Fold(NamedTuple):
    """Windows [n, T, F] of the fitted and of the held-out recordings, standardised by the former.

    labels [n], sessions [n]: of each window. pieces: the fitted recordings [frames, F]; following
    [n, steps, F]: what comes after a held-out window, NaN where the recording ends.
    """

    fitted: np.ndarray
    held_out: np.ndarray
    fitted_labels: np.ndarray
    held_out_labels: np.ndarray
    fitted_sessions: np.ndarray
    held_out_sessions: np.ndarray
    pieces: list[np.ndarray]
    following: np.ndarray


# --- data ---


def seglearn(wheel: str, every: int) -> list[Recording]:
    """Read the recordings of the smartwatch, joined in random order.

    Args:
        wheel: path of seglearn's wheel.
        every: frames that are averaged.

    Returns:
        The recordings.
    """
    with TemporaryDirectory() as folder:
        out = Path(folder) / "recordings.npz"
        script = Path(__file__).parent / "seglearn_recordings.py"
        subprocess.run([sys.executable, str(script), wheel, str(out)], check=True)
        with np.load(out, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    values = np.split(arrays["values"], np.cumsum(arrays["lengths"])[:-1])
    order = np.random.default_rng(0).permutation(len(values))
    return [
        Recording(
            averaged(values[i], every),
            int(arrays["exercise"][i]),
            int(arrays["subject"][i]),
            2 * int(arrays["subject"][i]) + int(arrays["side"][i]),
        )
        for i in order
    ]


def averaged(values: np.ndarray, every: int) -> np.ndarray:
    """Average groups of consecutive frames; an incomplete group at the end is left out.

    Args:
        values: [frames, F].
        every: frames in a group.

    Returns:
        [frames // every, F].
    """
    count = len(values) // every
    return values[: count * every].reshape(count, every, -1).mean(axis=1)


def ethome(wheel: str, parts: int = 5) -> list[Recording]:
    """Read the aligned mouse of the first file, in parts; each is treated as a subject.

    Args:
        wheel: path of ethome's wheel.
        parts: number of parts.

    Returns:
        The recordings.
    """
    member = "ethome/data/dlc/openfield/openfield_dlc_inference_example.csv"
    keys = dict(centered_reference_keypoint="snout", orientation_reference_keypoint="tailbase")
    with zipfile.ZipFile(wheel) as archive, TemporaryDirectory() as folder:
        path = archive.extract(member, folder)
        settings = vame.Preprocessing(**keys, low_confidence="interpolate", longest_gap=1000)
        session = vame.load_sessions({"mouse": path}, settings)["mouse"]
    values = session.values[:, ~np.isnan(session.values).any(axis=0)].T
    return [Recording(part, -1, i, i) for i, part in enumerate(np.array_split(values, parts))]


def with_speeds(recordings: list[Recording]) -> list[Recording]:
    """Add the absolute velocity of each feature as a feature.

    Args:
        recordings: the recordings.

    Returns:
        The recordings with twice the features.
    """
    return [
        each._replace(values=np.hstack([each.values, np.abs(np.gradient(each.values, axis=0))]))
        for each in recordings
    ]


def fold_of(recordings: list[Recording], subject: int, time_window: int, steps: int) -> Fold:
    """Make the windows with one subject held out.

    Args:
        recordings: all recordings.
        subject: the held-out subject.
        time_window: steps of a window.
        steps: steps after a window that are predicted.

    Returns:
        The fold.
    """
    fitted = [each for each in recordings if each.subject != subject]
    joined = np.concatenate([each.values for each in fitted])
    mean, std = joined.mean(axis=0), joined.std(axis=0)
    sides = []
    for side in (fitted, [each for each in recordings if each.subject == subject]):
        side = sorted(side, key=lambda each: each.session)  # the order of drawing within a session
        found = [windows_of((each.values - mean) / std, time_window) for each in side]
        counts = [len(part) for part in found]
        labels, sessions = (
            np.repeat([getattr(each, name) for each in side], counts)
            for name in ("label", "session")
        )
        sides.append((np.concatenate(found), labels, sessions))
    following = []
    for each in sorted(
        (each for each in recordings if each.subject == subject), key=lambda each: each.session
    ):
        padded = np.pad(each.values, ((0, steps), (0, 0)), constant_values=np.nan)
        following.append(windows_of((padded - mean) / std, steps)[time_window:])
    (a, a_labels, a_sessions), (b, b_labels, b_sessions) = sides
    pieces = [(each.values - mean) / std for each in fitted]
    return Fold(a, b, a_labels, b_labels, a_sessions, b_sessions, pieces, np.concatenate(following))


def windows_of(values: np.ndarray, steps: int) -> np.ndarray:
    """Make all windows of a recording.

    Args:
        values: [frames, F].
        steps: steps of a window.

    Returns:
        [n, steps, F].
    """
    view = np.lib.stride_tricks.sliding_window_view(values, steps, axis=0)
    return np.ascontiguousarray(view.transpose(0, 2, 1), np.float32)


# --- rows ---


def trained(fold: Fold, seed: int, s, mixing: bool) -> tuple[RNN_VAE, float]:
    """Train a model on the fitted recordings.

    Args:
        fold: the fold.
        seed: seed of the training.
        s: the flags.
        mixing: `batch_mixing` of the model.

    Returns:
        The model, and the seconds of training.
    """
    keras.utils.set_random_seed(seed)
    sizes = [s.hidden] * 4
    model = RNN_VAE(
        2 * s.time_window,
        s.zdims,
        fold.fitted.shape[2],
        True,
        s.prediction_steps,
        *sizes,
        beta=s.beta,
        batch_mixing=mixing,
    )
    steps = s.time_window + s.prediction_steps
    windows = Windows([piece.T.astype(np.float32) for piece in fold.pieces], steps)
    shape = (s.batch_size, steps, fold.fitted.shape[2])
    batches = tf.data.Dataset.from_generator(
        lambda: (w.transpose(0, 2, 1) for w in windows.drawn(s.batch_size, s.steps, (seed,))),
        output_signature=tf.TensorSpec(shape, tf.float32),
    )
    rate = keras.optimizers.schedules.CosineDecay(s.learning_rate, s.steps)
    model.compile(keras.optimizers.Adam(rate))
    began = time.perf_counter()
    model.fit(batches.prefetch(2), steps_per_epoch=s.steps, shuffle=False, verbose=0)
    return model, time.perf_counter() - began


def prediction(model: RNN_VAE, fold: Fold) -> dict[str, float]:
    """Compute squared errors of standardised values.

    Args:
        model: the model.
        fold: the fold.

    Returns:
        The errors of the window, of the steps after it, and of repeating the last frame.
    """
    outputs = model.predict(fold.held_out, batch_size=512, verbose=0)
    seen = ~np.isnan(fold.following).any(axis=(1, 2))
    following, held = fold.following[seen], fold.held_out[seen][:, -1:]
    return {
        "mse": float(np.square(outputs[0] - fold.held_out).mean()),
        "future_mse": float(np.square(outputs[1][seen] - following).mean()),
        "hold_mse": float(np.square(held - following).mean()),
    }


def features(row: str, fold: Fold, size: int, codes: tuple | None) -> tuple[np.ndarray, np.ndarray]:
    """Compute the representation of a row of the table.

    Args:
        row: name of the row.
        fold: the fold.
        size: size of the representation.
        codes: the model's codes of both sides, if the row needs them.

    Returns:
        [n, size] of the fitted and of the held-out windows.
    """
    sides = fold.fitted, fold.held_out
    flat = [side.reshape(len(side), -1) for side in sides]
    speeds = [np.abs(np.diff(side, axis=1)).mean(axis=1) for side in sides]
    if row.startswith("pca"):
        pca = PCA(min(size, *flat[0].shape), random_state=0).fit(flat[0])
        found = [pca.transform(side) for side in flat]
    elif row == "windows":
        found = flat
    elif row == "velocities":
        found = [np.diff(side, axis=1).reshape(len(side), -1) for side in sides]
    elif row == "speeds":
        found = speeds
    else:
        assert codes is not None
        found = list(codes)
    if row.endswith("_speeds"):
        found = [np.hstack(pair) for pair in zip(found, speeds, strict=True)]
    scale = StandardScaler().fit(found[0])
    return scale.transform(found[0]), scale.transform(found[1])


# --- figures ---


def probe(fitted: np.ndarray, held_out: np.ndarray, fold: Fold) -> dict[str, float]:
    """Measure a logistic regression on a representation.

    Args:
        fitted: [n, size], of the fitted windows.
        held_out: [n, size], of the held-out windows.
        fold: the fold.

    Returns:
        Accuracy, and the mean AUC of one label against the others.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    model.fit(fitted[::2], fold.fitted_labels[::2])
    labels = fold.held_out_labels
    return {
        "accuracy": float(model.score(held_out, labels)),
        "auc": float(roc_auc_score(labels, model.predict_proba(held_out), multi_class="ovr")),
    }


def motifs(fitted, held_out, fold: Fold, algorithm: str, number: int, seed: int) -> dict:
    """Segment the held-out windows.

    Args:
        fitted: [n, size], of the fitted windows.
        held_out: [n, size], of the held-out windows.
        fold: the fold.
        algorithm: kmeans or hmm.
        number: number of motifs.
        seed: seed of the segmentation.

    Returns:
        Labels by session: of the motifs, and of motifs joined by their transitions.
    """
    of_fitted = _by_session(fitted, fold.fitted_sessions)
    of_held_out = _by_session(held_out, fold.held_out_sessions)
    segmenter, labels = segment(of_fitted, number, algorithm=algorithm, seed=seed, n_init_kmeans=5)
    found = {name: segmenter.apply(part) for name, part in of_held_out.items()}
    truths = len(np.unique(fold.fitted_labels))
    made = {algorithm: found}
    if 1 < truths < number:
        joined = communities(labels.values(), number, truths, seed=seed)
        made[f"{algorithm} joined"] = {n: behaviours(part, joined) for n, part in found.items()}
    return made


def _by_session(values: np.ndarray, sessions: np.ndarray) -> dict[str, np.ndarray]:
    return {str(name): values[sessions == name] for name in np.unique(sessions)}


def measure(row: str, fold: Fold, codes: tuple | None, seed: int, s, path: Path) -> dict:
    """Measure a row for one held-out subject, and write its labels.

    Args:
        row: name of the row.
        fold: the fold.
        codes: as for `features`.
        seed: seed of the segmentations.
        s: the flags.
        path: file for the labels.

    Returns:
        The figures.
    """
    fitted, held_out = features(row, fold, s.zdims, codes)
    figures: dict = {}
    labelled = len(np.unique(fold.fitted_labels)) > 1
    if labelled:
        figures |= probe(fitted, held_out, fold)
    truth = list(_by_session(fold.held_out_labels, fold.held_out_sessions).values())
    kept = {}
    for algorithm, number in itertools.product(s.segmentations, map(int, s.clusters)):
        if algorithm == "hmm" and fitted.shape[1] > 2 * s.zdims:
            continue  # full covariances of so many numbers are not determined
        made = motifs(fitted, held_out, fold, algorithm, number, seed)
        for name, labels in made.items():
            key = f"{name}, {number}"
            kept[key] = np.concatenate(list(labels.values()))
            if labelled:
                found = agreement(list(labels.values()), truth)
                wanted = ("ami", "bout_f1", "transition_error")
                figures[key] = {each: round(found[each], 4) for each in wanted}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **kept)
    return figures


# --- lines and tables ---


def lines_of(path: Path) -> list[dict]:
    """Read the lines of a file of results.

    Args:
        path: the file.

    Returns:
        The lines; none if the file does not exist.
    """
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def labels_file(folder: str, line: dict) -> Path:
    """Name the file of the labels of a line.

    Args:
        folder: the folder.
        line: a line of results.

    Returns:
        The path.
    """
    about = "-".join(str(line[key]) for key in ("set", "row", "seed", "subject", *SETTINGS))
    return Path(folder) / f"{about}.npz"


def run_fold(name: str, recordings: list[Recording], subject: int, seed: int, s) -> None:
    """Measure the rows of a fold that are not in --out.

    Args:
        name: name of the data set.
        recordings: all recordings.
        subject: the held-out subject.
        seed: seed of the training.
        s: the flags.
    """
    out, settings = Path(s.out), {key: getattr(s, key) for key in SETTINGS}
    models: dict[str, tuple] = {}
    folds: dict[bool, Fold] = {}
    for row in s.rows:
        key = {"set": name, "row": row, "seed": seed, "subject": subject} | settings
        if any(key.items() <= line.items() for line in lines_of(out)):
            continue
        more = "of_velocities" in row
        if more not in folds:
            chosen = with_speeds(recordings) if more else recordings
            folds[more] = fold_of(chosen, subject, s.time_window, s.prediction_steps)
        fold, codes, figures = folds[more], None, {}
        kind = row.removesuffix("_speeds")
        if kind in TRAINED:
            if kind not in models:
                model, seconds = trained(fold, seed, s, mixing=kind == "codes_mixing")
                sides = fold.fitted, fold.held_out
                found = tuple(
                    np.concatenate([model.embed(part) for part in np.array_split(side, 16)])
                    for side in sides
                )
                models[kind] = found, {"seconds": round(seconds, 1)} | prediction(model, fold)
            codes, figures = models[kind]
        figures = figures | measure(row, fold, codes, seed, s, labels_file(s.labels, key))
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(out, "a", encoding="utf-8") as file:
            file.write(json.dumps(key | figures | {"machine": machine()}) + "\n")
        print(json.dumps(key | figures), flush=True)


def table(lines: list[dict], labels: str) -> None:
    """Print means over the subjects; mean, minimum and maximum over the seeds.

    Args:
        lines: the lines of results.
        labels: folder of the labels.
    """
    groups: dict = {}
    for line in lines:
        about = (line["set"], *(line[key] for key in SETTINGS))
        groups.setdefault(about, {}).setdefault(line["row"], []).append(line)
    for about, rows in groups.items():
        values = zip(SETTINGS, about[1:], strict=True)
        print(f"\n{about[0]}, {', '.join(f'{key} {value}' for key, value in values)}")
        for row, found in rows.items():
            seeds = {line["seed"] for line in found}
            subjects = {line["subject"] for line in found}
            print(f"  {ROWS[row]} (seeds {len(seeds)}, subjects {len(subjects)})")
            for figure in _figures(found):
                print(f"    {figure}: {_range(found, figure)}")
            for figure, value in stability(found, labels).items():
                print(f"    stability of {figure}: {value:.2f}")


def _figures(found: list[dict]) -> list[str]:
    plain = ("accuracy", "auc", "mse", "future_mse", "hold_mse", "seconds")
    names = [name for name in plain if name in found[0]]
    nested = [
        (key, each) for key, value in found[0].items() if isinstance(value, dict) for each in value
    ]
    return names + [f"{key}: {each}" for key, each in nested]


def _value(line: dict, figure: str) -> float:
    key, _, part = figure.partition(": ")
    return line[key][part] if part else line[key]


def _range(found: list[dict], figure: str) -> str:
    """Mean over subjects for each seed: mean, least and greatest of those."""
    by_seed: dict[int, list[float]] = {}
    for line in found:
        by_seed.setdefault(line["seed"], []).append(_value(line, figure))
    means = [float(np.mean(values)) for values in by_seed.values()]
    return f"{np.mean(means):.3f} ({min(means):.3f} to {max(means):.3f})"


def stability(found: list[dict], labels: str) -> dict[str, float]:
    """Compute the mean adjusted Rand index of the motifs of two seeds on the same windows.

    Args:
        found: lines of results of one row.
        labels: folder of the labels.

    Returns:
        The index by segmentation.
    """
    pairs: dict[str, list[float]] = {}
    by_subject: dict[int, list[dict[str, np.ndarray]]] = {}
    for line in found:
        path = labels_file(labels, line)
        if path.exists():
            with np.load(path, allow_pickle=False) as file:
                by_subject.setdefault(line["subject"], []).append({k: file[k] for k in file.files})
    for runs in by_subject.values():
        for a, b in itertools.combinations(runs, 2):
            for name in a:
                pairs.setdefault(name, []).append(adjusted_rand_score(a[name], b[name]))
    return {name: float(np.mean(values)) for name, values in pairs.items()}


def main(argv: list[str]) -> None:
    """Run the command line."""
    del argv
    s = flags.FLAGS
    unknown = set(s.rows) - set(ROWS)
    if unknown:
        raise ValueError(f"--rows: expected some of {', '.join(ROWS)}, got {', '.join(unknown)}.")
    if s.table:
        table(lines_of(Path(s.out)), s.labels)
        return
    if not (s.seglearn or s.ethome):
        raise ValueError("--seglearn, --ethome: expected a wheel for one of them, got none.")
    if s.threads:
        tf.config.threading.set_intra_op_parallelism_threads(s.threads)
        tf.config.threading.set_inter_op_parallelism_threads(s.threads)
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")
    sets = {}
    if s.seglearn:
        sets["seglearn"] = seglearn(s.seglearn, s.every)
    if s.ethome:
        sets["ethome"] = ethome(s.ethome)
    with threadpool_limits(s.threads or None):
        for seed, (name, recordings) in itertools.product(range(s.seeds), sets.items()):
            subjects = sorted({each.subject for each in recordings})
            for subject in map(int, s.subjects or subjects):
                if subject in subjects:
                    run_fold(name, recordings, subject, seed, s)


if __name__ == "__main__":
    app.run(main)
