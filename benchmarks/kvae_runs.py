"""Trainings of examples/run_kvae.py that a benchmark needs."""

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def finished(folder: Path) -> bool:
    """Whether a run has written its last file; its errors are written in steps before."""
    return (folder / "report.html").exists()


def train(folder: Path, world: str, setting: str, seed: str) -> None:
    """Train a run to its end, from its newest checkpoint if there is one.

    Args:
        folder: the run's folder.
        world: name of the data set.
        setting: a preset and flags, separated by spaces.
        seed: seed of the run.

    Raises:
        SystemExit: the run failed.
    """
    if finished(folder):
        return
    preset, *given = (
        setting.split() if setting and not setting.startswith("--") else ["", *setting.split()]
    )
    name = folder.name.removesuffix("_kvae")
    command = [
        sys.executable,
        str(_ROOT / "examples" / "run_kvae.py"),
        f"--log_dir={folder.parent}",
        f"--run_name={name}",
    ]
    if (folder / "config.json").exists():
        command.append("--resume")
    else:
        command += [f"--dataset={world}", f"--preset={preset}", f"--seed={seed}", *given]
    print(" ".join(command[1:]), file=sys.stderr, flush=True)
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise SystemExit(f"{folder}: the run stopped. The same command resumes it.")
