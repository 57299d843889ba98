"""VRAE on series of the UCR and UEA archives: squared error and accuracy of codes beside principal
components of the same size, on the archive's split. Labels are not used in training.

    pip download --no-deps aeon==1.6.0                  # its wheel holds the series; not installed
    python benchmarks/vrae_archive.py --wheel=aeon-1.6.0-py3-none-any.whl

One JSON line for each set and seed, appended to --out; lines that are there already are not
computed again, so a stopped benchmark resumes. `--table` prints the means of the lines.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
import numpy as np
from absl import app, flags
from archive_wheel import load, rows_of
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from vrae import VRAE, recipe
from vrae.baselines import Principal, nearest_neighbour_accuracy, on_one_length, squared_error
from vrae.data import Series, standardised, standardiser

flags.DEFINE_string("wheel", "", "the wheel of aeon 1.6.0")
flags.DEFINE_list(
    "sets",
    ["GunPoint", "ArrowHead", "ItalyPowerDemand", "JapaneseVowels", "BasicMotions"],
    "names of sets of the archive",
)
flags.DEFINE_integer("seeds", 5, "number of seeds")
flags.DEFINE_integer("z_size", 8, "size of z, and number of principal components")
flags.DEFINE_integer("steps", recipe.STEPS, "steps of training")
flags.DEFINE_string(
    "out", str(Path(__file__).parent / "results" / "vrae_archive.jsonl"), "the file of results"
)
flags.DEFINE_bool("fixed", False, "leave warp and noise floor at the recipe's fixed values")
flags.DEFINE_bool("table", False, "only print the table of --out")


def accuracies(train, train_labels, test, test_labels) -> dict[str, float]:
    """Measure 1-NN, logistic regression, and an SVM whose C is chosen on the training rows.

    It is the protocol of T-Loss.

    Args:
        train: [N, size].
        train_labels: [N].
        test: [M, size].
        test_labels: [M].

    Returns:
        The accuracies by classifier.
    """
    scale = StandardScaler().fit(train)
    train, test = scale.transform(train), scale.transform(test)
    logistic = LogisticRegression(max_iter=2000).fit(train, train_labels)
    folds = min(5, int(np.unique(train_labels, return_counts=True)[1].min()))
    svm = GridSearchCV(
        make_pipeline(SVC(gamma="scale")), {"svc__C": 10.0 ** np.arange(-4, 5)}, cv=max(2, folds)
    ).fit(train, train_labels)
    return {
        "1nn": nearest_neighbour_accuracy(train, train_labels, test, test_labels),
        "lr": float(logistic.score(test, test_labels)),
        "svm": float(svm.score(test, test_labels)),
    }


def baselines(train: Series, test: Series, size: int) -> dict:
    """Measure principal components and raw values of standardised series.

    Args:
        train: training series.
        test: test series.
        size: number of principal components.

    Returns:
        The figures.
    """
    scale = standardiser(train)
    train, test = standardised(train, scale), standardised(test, scale)
    pca = Principal(train, size)
    length = int(train.mask.sum(axis=1).max())
    raw = [on_one_length(s, length).reshape(len(s.mask), -1) for s in (train, test)]
    return {
        "pca_error": squared_error(test, pca.reconstruction(test)),
        "pca": accuracies(pca.codes(train), train.labels, pca.codes(test), test.labels),
        "raw": accuracies(raw[0], train.labels, raw[1], test.labels),
    }


def codes(model: VRAE, series: Series, verb: str) -> np.ndarray:
    """Compute codes, 256 series at a time.

    Args:
        model: the model.
        series: the series.
        verb: "encode" for z, or "pooled" for the pooled states.

    Returns:
        [N, size].
    """
    parts = []
    for i in range(0, len(series.mask), 256):
        part = series.take(slice(i, i + 256))
        found = getattr(model, verb)(part.sequences, part.mask)
        parts.append((found.mean() if verb == "encode" else found).numpy())
    return np.concatenate(parts)


def measure(train: Series, test: Series, options: dict, seed: int, steps: int) -> dict:
    """Train a model and measure it.

    Args:
        train: training series.
        test: test series.
        options: arguments of the model.
        seed: seed of the training.
        steps: training steps.

    Returns:
        The figures.
    """
    keras.utils.set_random_seed(seed)
    model = VRAE(train.sequences.shape[2], **options)
    began = time.perf_counter()
    recipe.train(model, train.batch(), steps=steps, seed=seed)
    seconds = time.perf_counter() - began
    deviation = np.array(options["scaling"]["deviation"])
    made = model.predict(test.batch(), batch_size=256, verbose=0) / deviation
    error = squared_error(test._replace(sequences=test.sequences / deviation), made)
    figures: dict = {"error": error, "seconds": round(seconds, 1)}
    for name, verb in (("z", "encode"), ("states", "pooled")):
        found = [codes(model, s, verb) for s in (train, test)]
        figures[name] = accuracies(found[0], train.labels, found[1], test.labels)
        if verb == "encode":
            figures["active_units"] = int((found[1].var(axis=0) > 0.01).sum())
    return figures


def rows(path: Path) -> list[dict]:
    """Read the lines of a file of results.

    Args:
        path: the file.

    Returns:
        The lines.
    """
    return [json.loads(line) for line in rows_of(path)]


def chosen(done: list[dict], name: str, train: Series, z_size: int) -> tuple[dict, list]:
    """Choose the options for a set by a trial on held-out training series.

    A resumed benchmark reads the trial from the set's first line.

    Args:
        done: the lines so far.
        name: name of the set.
        train: training series.
        z_size: size of the code.

    Returns:
        The options, and the errors of the trial.
    """
    options = recipe.choose(train, {"z_size": z_size}).options
    earlier = [
        row for row in done if (row["set"], row["z_size"], row.get("fixed")) == (name, z_size, None)
    ]
    if earlier:
        trial = earlier[0]["held_out"]
        return options | min(trial, key=lambda each: each["error"])["options"], trial
    trial = recipe.chosen_on_held_out(train, options, VRAE)
    errors = [{"options": each, "error": error} for each, error in trial.errors]
    return options | trial.best, errors


def table(path: Path) -> None:
    """Print means and standard deviations over the seeds for each set.

    Args:
        path: the file of results.
    """
    groups: dict = {}
    for row in rows(path):
        settings = "fixed" if row.get("fixed") else "held out"
        groups.setdefault((row["set"], row["z_size"], settings), []).append(row)
    print(
        "| set | z | warp, floor | seeds | error | PCA | 1-NN / LR / SVM on z | on pooled states | "
        "on PCA | raw values |"
    )
    print("|---" * 10 + "|")
    for (name, size, settings), found in groups.items():
        errors = [row["error"] for row in found]

        def mean(key, found=found):
            return " / ".join(
                f"{np.mean([row[key][k] for row in found]):.3f}" for k in ("1nn", "lr", "svm")
            )

        print(
            f"| {name} | {size} | {found[0]['warp']:g}, {found[0]['noise_floor']:g} ({settings}) | "
            f"{len(found)} | {np.mean(errors):.4f} ({np.std(errors):.4f}) | "
            f"{found[0]['pca_error']:.4f} | {mean('z')} | {mean('states')} | {mean('pca')} | "
            f"{mean('raw')} |"
        )


def main(argv: list[str]) -> None:
    """Run the command line."""
    del argv
    values = flags.FLAGS
    path = Path(values.out)
    if values.table:
        table(path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sets = {name: load(values.wheel, name) for name in values.sets}
    for seed in range(values.seeds):
        for name, (train, test) in sets.items():
            done = rows(path)
            key = {"set": name, "z_size": values.z_size, "seed": seed, "steps": values.steps}
            same = [row for row in done if bool(row.get("fixed")) == values.fixed]
            if any(key.items() <= row.items() for row in same):
                continue
            if values.fixed:
                options = recipe.choose(train, {"z_size": values.z_size}).options
                about = {"fixed": True}
            else:
                options, trial = chosen(done, name, train, values.z_size)
                about = {"held_out": trial}
            figures = measure(train, test, options, seed, values.steps)
            figures |= baselines(train, test, values.z_size)
            kept = {k: options[k] for k in ("patch", "cosines", "warp", "noise_floor")}
            line = key | kept | figures | about
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps({k: v for k, v in line.items() if k != "held_out"}), flush=True)


if __name__ == "__main__":
    app.run(main)
