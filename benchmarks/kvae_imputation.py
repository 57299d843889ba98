"""How well the Kalman VAE fills in missing frames: trainings of examples/run_kvae.py over worlds,
settings and seeds.

    python benchmarks/kvae_imputation.py                       # box, the preset "best", three seeds
    python benchmarks/kvae_imputation.py --worlds=box_gravity,polygon,pong
    python benchmarks/kvae_imputation.py --settings="demo; demo --bound=sampled" --seeds=0,1,2
    python benchmarks/kvae_imputation.py --only_collect       # no training, the runs that are there
    python benchmarks/kvae_imputation.py --only_draw          # the pictures again, from the results

A setting is a preset's name (or none) and flags of run_kvae.py. Kill it whenever you like: the same
command resumes where it stopped. It prints a JSON line for each world and setting, adds the runs to
benchmarks/results/kvae_imputation.json, and draws our curves, mean and range over the seeds, beside
the published ones: kvae_imputation_WORLD.png.
"""

import json
import re
from pathlib import Path

import numpy as np
from absl import app, flags
from kvae_runs import finished, train
from timing import machine

from kvae import published
from seqvae import plotting
from seqvae.files import atomic_write

_ROOT = Path(__file__).resolve().parent.parent

flags.DEFINE_list("worlds", ["box"], "box, box_gravity, polygon, pong")
flags.DEFINE_string(
    "settings", "best", "settings with semicolons between: a preset's name and flags of run_kvae.py"
)
flags.DEFINE_list("seeds", ["0", "1", "2"], "seeds")
flags.DEFINE_string("runs", str(_ROOT / "logs" / "imputation"), "folder of the runs")
flags.DEFINE_string("out", str(_ROOT / "benchmarks" / "results"), "folder of the results")
flags.DEFINE_boolean("only_collect", False, "train nothing")
flags.DEFINE_boolean("only_draw", False, "train nothing, take the runs from the file of results")

GOALS = {"block": (5, 11, 15), "random": (0.2, 0.5, 0.8, 0.9)}
_PUBLISHED = {"block": published.BLOCK, "random": published.RANDOM}
_CURVES = {
    "smoothing": "smoothing",
    "filtering": "filtering",
    "generation": "generation",
    "mean frame": "no_ball",
}
"""The curves of imputation.json, by their names in the results."""
_LABELS = {"block": "missing frames in a row", "random": "probability that a frame is dropped"}


def collect(folder: Path, world: str, setting: str, seed: str) -> dict:
    """Collect the results of a finished run: curves, test ELBO, epochs, seconds of training.

    Args:
        folder: the run's folder.
        world: name of the data set.
        setting: name of the setting.
        seed: seed of the run.

    Returns:
        The results.
    """
    figures = json.loads((folder / "imputation.json").read_text(encoding="utf-8"))
    epochs = [
        json.loads(line)
        for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    curves = {
        kind: {
            "x": curve["x"],
            **{
                new: [round(y, 5) for y in curve[name]["wrong_pixels"]]
                for name, new in _CURVES.items()
            },
        }
        for kind, curve in figures["curves"].items()
    }
    return {
        "world": world,
        "setting": setting,
        "seed": int(seed),
        "epochs": len(epochs),
        "seconds": round(sum(line["seconds"] for line in epochs)),
        "machine": machine(),
        "test_elbo": round(figures["test_elbo"]["elbo"], 3),
        "curves": curves,
    }


def summary(runs: list[dict]) -> dict:
    """Compute mean and range over the seeds at the points of `GOALS`.

    Args:
        runs: runs of one world and setting.

    Returns:
        The figures; for box also the ratio of the mean to the published smoothing.
    """
    line = {name: runs[0][name] for name in ("world", "setting", "epochs")}
    line |= {
        "seeds": [run["seed"] for run in runs],
        "test_elbo": [run["test_elbo"] for run in runs],
    }
    line["seconds"] = [run["seconds"] for run in runs]
    for kind, points in GOALS.items():
        for name in ("smoothing", "filtering"):
            values = _at(runs, kind, name, points)
            for i, x in enumerate(points):
                entry = {
                    "mean": round(values[:, i].mean(), 4),
                    "range": [*map(float, _range(values[:, i]))],
                }
                if runs[0]["world"] == "box":
                    entry["over_published"] = round(
                        values[:, i].mean() / _PUBLISHED[kind][f"published, {name}"][x], 2
                    )
                line[f"{name} {kind} {x:g}"] = entry
        line[f"no_ball {kind}"] = round(float(_at(runs, kind, "no_ball", points).mean()), 4)
    return line


def _range(values: np.ndarray) -> tuple[float, float]:
    return round(values.min(), 4), round(values.max(), 4)


def _at(runs: list[dict], kind: str, name: str, points) -> np.ndarray:
    """[runs, points]"""
    return np.array(
        [
            [run["curves"][kind][name][run["curves"][kind]["x"].index(x)] for x in points]
            for run in runs
        ]
    )


def picture(world: str, groups: dict[str, list[dict]]):
    """Plot our curves beside published ones: smoothing and filtering of every setting.

    Args:
        world: name of the data set.
        groups: the runs by setting.

    Returns:
        The figure.
    """
    panels = {}
    for kind, label in _LABELS.items():
        curves = {"ours": {}, "published": {}, "baseline": {}}
        for setting, runs in groups.items():
            x = runs[0]["curves"][kind]["x"]
            for name in ("smoothing", "filtering"):
                curves["ours"][f"{setting or 'default'}, {name}"] = (
                    x,
                    [run["curves"][kind][name] for run in runs],
                )
            curves["baseline"] = {"no ball": (x, runs[0]["curves"][kind]["no_ball"])}
        if world == "box":
            curves["published"] = {
                name: (list(y), list(y.values())) for name, y in _PUBLISHED[kind].items()
            }
        panels[label] = curves
    several = any(len(runs) > 1 for runs in groups.values())
    seeds = "mean and range over seeds" if several else "one seed"
    title = f"{world}: imputation of missing frames, {seeds}"
    return plotting.published_curves(
        panels, y_label="wrong pixels on the missing frames", title=title
    )


def merge(path: Path, runs: list[dict]) -> None:
    """Add runs to the results; a run of the same world, setting and seed is replaced.

    Args:
        path: the file of results.
        runs: the runs.
    """
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = {(run["world"], run["setting"], run["seed"]): run for run in [*earlier, *runs]}
    lines = ",\n".join(json.dumps(kept[k]) for k in sorted(kept))
    with atomic_write(path) as part:
        part.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _chosen(results: Path, world: str, setting: str, seeds: list[str]) -> list[dict]:
    runs = json.loads(results.read_text(encoding="utf-8"))
    chosen = [run for run in runs if (run["world"], run["setting"]) == (world, setting)]
    chosen = [run for run in chosen if str(run["seed"]) in seeds]
    if not chosen:
        raise ValueError(
            f"--only_draw: {results} has no run of {world}, {setting!r}, seeds {', '.join(seeds)}. "
            "Give --worlds, --settings and --seeds of runs that it has, or leave out --only_draw."
        )
    return chosen


def _run(results: Path, world: str, setting: str, options) -> list[dict]:
    runs = []
    for seed in options.seeds:
        name = re.sub(r"[^\w.,=]+", "-", f"{world}-{setting}").strip("-")
        folder = Path(options.runs) / f"{name}-{seed}_kvae"
        if not options.only_collect:
            train(folder, world, setting, seed)
        if finished(folder):
            runs.append(collect(folder, world, setting, seed))
            merge(results, runs)
    return runs


def main(argv):
    """Run the command line."""
    del argv
    options = flags.FLAGS
    out = Path(options.out)
    results = out / "kvae_imputation.json"
    settings = [" ".join(setting.split()) for setting in options.settings.split(";")]
    for world in options.worlds:
        groups = {}
        for setting in settings:
            if options.only_draw:
                runs = _chosen(results, world, setting, options.seeds)
            else:
                runs = _run(results, world, setting, options)
            if runs:
                groups[setting] = runs
                print(json.dumps(summary(runs)), flush=True)
        if groups:
            plotting.save_figure(out / f"kvae_imputation_{world}.png", picture(world, groups))


if __name__ == "__main__":
    app.run(main)
