"""VRAE at four tasks beside simple methods: collapse, missing numbers, anomalies, generation.

    pip download --no-deps aeon==1.6.0                  # its wheel holds the series; not installed
    python benchmarks/vrae_tasks.py --wheel=aeon-1.6.0-py3-none-any.whl

- `collapse`: the model of 2014, whose decoder is autoregressive, with the KL's weight rising alone,
  and with the free bits of `--annealing=auto`.
- `imputation`: 10 % of the numbers missing, in training and test, as in TSI-Bench; mean absolute
  error of standardised numbers.
- `anomalies`: a long series in windows; scores of steps by reconstruction, judged by event.
- `generation`: the discriminative and the predictive score of TimeGAN (Yoon et al. 2019), with
  networks of ours.

One JSON line for each task, set and seed, appended to --out; lines that are there already are not
computed again. `--table` prints them.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
from absl import app, flags
from archive_wheel import labelled_series, load, rows_of
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from vrae import VRAE, recipe
from vrae.data import Series, pad, scaling_of
from vrae.evaluation import coverage, latent_usage
from vrae.runs import codes_of, reconstructions

flags.DEFINE_string("wheel", "", "the wheel of aeon 1.6.0")
flags.DEFINE_list("tasks", ["collapse", "imputation", "anomalies", "generation"], "tasks")
flags.DEFINE_list("sets", None, "sets; default: all of a task")
flags.DEFINE_integer("seeds", 1, "number of seeds")
flags.DEFINE_integer("steps", 1000, "steps of training")
flags.DEFINE_string("out", str(Path(__file__).parent / "results" / "vrae_tasks.jsonl"), "results")
flags.DEFINE_bool("table", False, "only print --out")

SETS = {
    "collapse": ("ItalyPowerDemand", "JapaneseVowels"),
    "imputation": ("ItalyPowerDemand", "JapaneseVowels"),
    "anomalies": ("ecg-diff-count-3", "KDD-TSAD_135"),
    "generation": ("ItalyPowerDemand", "sines"),
}


def trained(series: Series, seed: int, steps: int, **options) -> VRAE:
    """Make and train a model by the recipe.

    Args:
        series: training series.
        seed: seed of the training.
        steps: training steps.
        **options: arguments of `VRAE.for_series`.

    Returns:
        The model.
    """
    keras.utils.set_random_seed(seed)
    model = VRAE.for_series(series, verbose=False, **options)
    recipe.train(model, series.batch(), steps=steps, seed=seed)
    return model


def standard(series: Series, by: Series) -> Series:
    """Standardise series.

    Args:
        series: the series.
        by: the series that give mean and deviation.

    Returns:
        The standardised series.
    """
    scale = scaling_of(by)
    values = (series.sequences - np.array(scale["mean"])) / np.array(scale["deviation"])
    values = np.where(series.is_step()[..., None], values, 0.0)
    return series._replace(sequences=values.astype(np.float32))


# --- collapse ---


def collapse(name: str, wheel: str, seed: int, steps: int) -> dict:
    """Measure KL, active units, mutual information and the error of free-running decoding.

    Args:
        name: name of the data.
        wheel: path of aeon's wheel; "": the installed package.
        seed: seed of the run.
        steps: training steps.

    Returns:
        The figures by kind of annealing.
    """
    train, test = (standard(s, load(wheel, name)[0]) for s in load(wheel, name))
    figures, observed = {}, test.observed()
    size = 8
    for kind, free in (("linear", 0.0), ("auto", recipe.free_bits_of(len(train.mask), size))):
        keras.utils.set_random_seed(seed)
        model = VRAE(
            train.sequences.shape[2], z_size=size, rnn_size=64, noise_var=0.05, free_bits=free
        )
        recipe.train(model, train.batch(), steps=steps, seed=seed)
        error = np.square(reconstructions(model, test) - test.sequences)[observed].mean()
        usage = latent_usage(model, test.sequences, test.mask, seed=seed)
        figures[kind] = usage | {"squared_error": float(error), "free_bits": free}
    return figures


# --- missing numbers ---


def imputation(name: str, wheel: str, seed: int, steps: int) -> dict:
    """Measure errors and coverage for hidden test numbers.

    A tenth of the training numbers is missing.

    Args:
        name: name of the data.
        wheel: path of aeon's wheel; "": the installed package.
        seed: seed of the run.
        steps: training steps.

    Returns:
        The figures.
    """
    train, test = load(wheel, name)
    train, test = standard(train, train), standard(test, train)
    rng = np.random.default_rng(seed)
    missing = rng.random(train.sequences.shape) < 0.1
    given = train._replace(sequences=np.where(missing, np.nan, train.sequences))
    model = trained(given, seed, steps, missing=True, hidden=0.1)
    return coverage(model, test, share=0.1, num_samples=50, seed=seed)


# --- anomalies ---


def anomalies(name: str, wheel: str, seed: int, steps: int) -> dict:
    """Measure anomaly scores by the reconstruction of windows, and of simple methods.

    Args:
        name: name of the data.
        wheel: path of aeon's wheel; "": the installed package.
        seed: seed of the run.
        steps: training steps.

    Returns:
        The figures by method.
    """
    values, test, labels, window = _long_series(wheel, name)
    mean, deviation = values.mean(), values.std()
    values, test = (values - mean) / deviation, (test - mean) / deviation
    stride = window // 4
    train_windows, train_starts = _windows(values, window, stride)
    test_windows, starts = _windows(test, window, stride)
    model = trained(pad(train_windows), seed, steps)
    pca = PCA(model.z_size).fit(train_windows)
    near = NearestNeighbors(n_neighbors=1).fit(train_windows)

    def score_all(scores: Callable[[np.ndarray], np.ndarray]) -> dict:
        spread = _of_steps(scores(test_windows), starts, len(test), window)
        usual = _of_steps(scores(train_windows), train_starts, len(values), window)
        return event_scores(spread, labels, float(np.quantile(usual, 0.999)))

    methods: dict[str, Callable] = {
        "vrae": lambda x: np.square(reconstructions(model, pad(x))[..., 0] - x),
        "pca": lambda x: np.square(pca.inverse_transform(pca.transform(x)) - x),
        "nearest window": lambda x: np.repeat(near.kneighbors(x)[0], window, axis=1),
        "distance from the mean": lambda x: np.abs(x),
    }
    return {kind: score_all(scores) for kind, scores in methods.items()} | {"window": window}


def _long_series(wheel: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Training values, test values, labels of the test, and steps of a window (about five periods
    of the electrocardiogram, one of the blood pressure)."""
    if name == "ecg-diff-count-3":
        values, _ = labelled_series(wheel, f"UnitTest/{name}_TRAIN_NA")
        return values, *labelled_series(wheel, f"UnitTest/{name}_TEST"), 100
    base = "KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16"
    values, _ = labelled_series(wheel, f"{base}_TRAIN")
    test, labels = labelled_series(wheel, f"{base}_TEST")
    return values, test[len(values) :], labels[len(values) :], 184  # it begins with the training


def _windows(values: np.ndarray, steps: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows [N, steps] and where they begin; the last ends with the series."""
    starts = np.unique([*range(0, len(values) - steps, stride), len(values) - steps])
    return np.stack([values[i : i + steps] for i in starts]).astype(np.float32), starts


def _of_steps(scores: np.ndarray, starts: np.ndarray, steps: int, window: int) -> np.ndarray:
    """The mean over windows of the scores of each step, then over 21 steps around it."""
    total, count = np.zeros(steps), np.zeros(steps)
    for start, score in zip(starts, scores, strict=True):
        total[start : start + window] += score
        count[start : start + window] += 1
    kernel = np.ones(21)
    each = total / np.maximum(count, 1)
    return np.convolve(each, kernel, "same") / np.convolve(np.ones(steps), kernel, "same")


def spans(flags_of_steps: np.ndarray) -> list[tuple[int, int]]:
    """Find the stretches of true values.

    Args:
        flags_of_steps: [T] bool.

    Returns:
        First index, and the index after the last, of each stretch.
    """
    edges = np.flatnonzero(np.diff(np.r_[0, flags_of_steps.astype(int), 0]))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def event_scores(scores: np.ndarray, labels: np.ndarray, threshold: float, slack: int = 20) -> dict:
    """Count events found and false alarms.

    An event is found if a score within `slack` steps of it is above the threshold; a stretch of
    scores above the threshold that is near no event is a false alarm.

    Args:
        scores: [T].
        labels: [T], 1 for an anomaly.
        threshold: the threshold.
        slack: distance in steps within which a score belongs to an event.

    Returns:
        events, found, false_alarms at the threshold; best_f1, the largest harmonic mean of
        precision and recall by event over thresholds; auc, of steps.
    """
    events = spans(labels > 0.5)

    def judged(threshold: float) -> tuple[int, int]:
        alarms = spans(scores > threshold)
        hit = [any(a < e + slack and b > s - slack for a, b in alarms) for s, e in events]
        false = [all(b <= s - slack or a >= e + slack for s, e in events) for a, b in alarms]
        return sum(hit), sum(false)

    def f1(found: int, false: int) -> float:
        return 2 * found / (found + false + len(events)) if found else 0.0

    found, false = judged(threshold)
    levels = np.quantile(scores, np.linspace(0.5, 0.9999, 200))
    return {
        "events": len(events),
        "found": found,
        "false_alarms": false,
        "best_f1": max(f1(*judged(level)) for level in levels),
        "auc": float(roc_auc_score(labels > 0.5, scores)),
    }


# --- generation ---


def generation(name: str, wheel: str, seed: int, steps: int) -> dict:
    """Measure discriminative and predictive scores of generated series, by several methods.

    Args:
        name: name of the data.
        wheel: path of aeon's wheel; "": the installed package.
        seed: seed of the run.
        steps: training steps.

    Returns:
        The scores by method.
    """
    train, test = _sines(seed) if name == "sines" else load(wheel, name)
    train, test = standard(train, train).sequences, standard(test, train).sequences
    count, length, _ = test.shape
    model = trained(pad(train), seed, steps)
    rng = np.random.default_rng(seed)
    codes = codes_of(model, pad(train))
    drawn = rng.multivariate_normal(codes.mean(0), np.cov(codes.T), count).astype(np.float32)
    pca = PCA(min(model.z_size, len(train) - 1, train[0].size)).fit(train.reshape(len(train), -1))
    components = rng.normal(size=(count, pca.n_components_)) * np.sqrt(pca.explained_variance_)
    mean, deviation = train.mean(0), train.std(0)
    made = {
        "vrae, z from N(0, 1)": model.generate(count, length, seed=seed).numpy(),
        "vrae, z from the Gaussian of training codes": model.decode(drawn, length).numpy(),
        "Gaussian of principal components": pca.inverse_transform(components).reshape(test.shape),
        "training series again": train[rng.integers(len(train), size=count)],
        "independent normal numbers": mean + deviation * rng.normal(size=test.shape),
    }
    return {
        kind: {
            "discriminative": discriminative(test, series, seed),
            "predictive": predictive(series, test, seed),
        }
        for kind, series in made.items()
    }


def _sines(seed: int) -> tuple[Series, Series]:
    """TimeGAN's sines: 24 steps of 5 features, frequency and phase of each from U(0, 0.1)."""
    rng = np.random.default_rng([seed, 24])
    frequency, phase = rng.uniform(0, 0.1, (2, 1500, 1, 5))
    values = np.sin(frequency * np.arange(24)[:, None] + phase)
    return pad(values[:1000]), pad(values[1000:])


def discriminative(real: np.ndarray, made: np.ndarray, seed: int) -> float:
    """Measure how well a GRU distinguishes real from generated series.

    Args:
        real: [N, T, features].
        made: [N, T, features], generated.
        seed: seed of the GRU.

    Returns:
        |accuracy - 1/2| on a fifth of the series; 0: not at all.
    """
    rng, x = np.random.default_rng(seed), np.concatenate([real, made]).astype(np.float32)
    y = np.arange(len(x)) < len(real)
    order = rng.permutation(len(x))
    cut = len(x) * 4 // 5
    model = _network(seed, False, 1, "sigmoid")
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy")
    _fit(model, x[order[:cut]], y[order[:cut]].astype(np.float32)[:, None])
    found = model.predict(x[order[cut:]], verbose=0, batch_size=512)[:, 0] > 0.5
    return float(abs((found == y[order[cut:]]).mean() - 0.5))


def predictive(made: np.ndarray, real: np.ndarray, seed: int) -> float:
    """Measure a GRU trained on generated series that predicts the next step of real ones.

    Args:
        made: [N, T, features], generated.
        real: [N, T, features].
        seed: seed of the GRU.

    Returns:
        The mean absolute error on the real series.
    """
    model = _network(seed, True, real.shape[2], None)
    model.compile(keras.optimizers.Adam(3e-3), "mae")
    made = np.asarray(made, np.float32)
    _fit(model, made[:, :-1], made[:, 1:])
    return float(
        np.abs(model.predict(real[:, :-1], verbose=0, batch_size=512) - real[:, 1:]).mean()
    )


def _network(seed: int, sequences: bool, outputs: int, activation: str | None) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.GRU(24, return_sequences=sequences)]
    return keras.Sequential([*layers, keras.layers.Dense(outputs, activation=activation)])


def _fit(model: keras.Model, x: np.ndarray, y: np.ndarray, steps: int = 500) -> None:
    epochs = max(1, round(steps / np.ceil(len(x) / 64)))
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)


TASKS = {
    "collapse": collapse,
    "imputation": imputation,
    "anomalies": anomalies,
    "generation": generation,
}


def table(path: Path) -> None:
    """Print each line of results, one figure per line.

    Args:
        path: the file of results.
    """
    for row in map(json.loads, rows_of(path)):
        print(f"{row['task']}, {row['set']}, seed {row['seed']}, {row['steps']} steps:")
        for name, value in row["figures"].items():
            print(f"    {name}: {value}")


def main(argv: list[str]) -> None:
    """Run the command line."""
    del argv
    values, path = flags.FLAGS, Path(flags.FLAGS.out)
    if values.table:
        table(path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for seed in range(values.seeds):
        for task in values.tasks:
            for name in SETS[task]:
                if values.sets is not None and name not in values.sets:
                    continue
                key = {"task": task, "set": name, "seed": seed, "steps": values.steps}
                if any(key.items() <= json.loads(row).items() for row in rows_of(path)):
                    continue
                began = time.perf_counter()
                figures = TASKS[task](name, values.wheel, seed, values.steps)
                line = key | {"seconds": round(time.perf_counter() - began), "figures": figures}
                with open(path, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    app.run(main)
