"""How well motifs agree with the truth on simulated poses: runs of examples/run_vame.py over
settings and seeds.

    python benchmarks/vame_motifs.py  # the preset "demo", three seeds
    # a fifth of the keypoints not seen
    python benchmarks/vame_motifs.py --settings="--missing=0.2 --missing_values"

A setting is flags of run_vame.py beside --preset=demo. Kill it whenever you like: the same command
resumes where it stopped. It prints a JSON line for each setting, mean and range over the seeds, and
adds the runs to benchmarks/results/vame_motifs.json.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

from absl import app, flags
from timing import machine, show

from seqvae.files import write_json

_ROOT = Path(__file__).resolve().parent.parent
FIGURES = ("nmi", "bout_f1", "transition_error", "bouts", "true_bouts")

flags.DEFINE_string("settings", "", "settings with semicolons between: flags of run_vame.py")
flags.DEFINE_list("seeds", ["0", "1", "2"], "seeds")
flags.DEFINE_string("runs", str(_ROOT / "logs" / "motifs"), "folder of the runs")
flags.DEFINE_string(
    "out", str(_ROOT / "benchmarks" / "results" / "vame_motifs.json"), "file of the results"
)


def main(argv):
    """Run the command line."""
    del argv
    values = flags.FLAGS
    for setting in map(" ".join, map(str.split, values.settings.split(";"))):
        runs = [run(Path(values.runs), setting, seed) for seed in values.seeds]
        keep(Path(values.out), runs)
        show(
            setting=setting,
            seeds=[one["seed"] for one in runs],
            seconds=[one["seconds"] for one in runs],
            **summary(runs),
        )


def run(folder: Path, setting: str, seed: str) -> dict:
    """Train a run to its end.

    Args:
        folder: folder of the runs.
        setting: flags, separated by spaces.
        seed: seed of the run.

    Returns:
        Its setting, seconds of training, and the agreement of each row with the truth.
    """
    name = f"demo{''.join(setting.split())}-{seed}"
    project = folder / f"{name}_vame"
    if not (project / "evaluation.json").exists():
        command = [
            sys.executable,
            str(_ROOT / "examples" / "run_vame.py"),
            f"--log_dir={folder}",
            f"--run_name={name}",
        ]
        begun = (project / "config.json").exists()
        command += ["--resume"] if begun else ["--preset=demo", f"--seed={seed}", *setting.split()]
        if subprocess.run(command, stdout=sys.stderr).returncode:
            raise SystemExit(f"{project}: the run stopped. The same command resumes it.")
    lines = (project / "model" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        "setting": setting,
        "seed": int(seed),
        "machine": machine(),
        "seconds": round(sum(json.loads(line)["seconds"] for line in lines)),
        "agreement": json.loads((project / "evaluation.json").read_text(encoding="utf-8")),
    }


def keep(path: Path, runs: list[dict]) -> None:
    """Add runs to a file; runs of the same setting and seed are replaced.

    Args:
        path: the file.
        runs: the runs.
    """
    known = (
        {(one["setting"], one["seed"]): one for one in json.loads(path.read_text())}
        if path.exists()
        else {}
    )
    known |= {(one["setting"], one["seed"]): one for one in runs}
    write_json(path, [known[key] for key in sorted(known)])


def summary(runs: list[dict]) -> dict:
    """Compute mean, minimum and maximum over the seeds of the figures of each row.

    Args:
        runs: runs of one setting.

    Returns:
        The figures, see `agreement`.
    """
    found = {}
    for row, figure in itertools.product(runs[0]["agreement"], FIGURES):
        values = [one["agreement"][row].get(figure) for one in runs]
        if None not in values:  # runs of earlier versions do not have all
            found[f"{row} {figure}"] = [
                round(x, 3) for x in (sum(values) / len(values), min(values), max(values))
            ]
    return found


if __name__ == "__main__":
    app.run(main)
