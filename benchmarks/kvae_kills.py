"""Kills a small training of examples/run_kvae.py at random moments (SIGKILL) and resumes it, again and again.

    python benchmarks/kvae_kills.py [--kills=100] [--seed=0]

A run is killed and resumed until it ends, then the next begins, until there were enough kills. Every resume must succeed, and
every run must end with the weights and the log of the run that was never killed. It prints a JSON line for each run and one
in the end; the exit status is 1 if anything differed.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags

from seqvae.data import save
from seqvae.files import write_json
from seqvae.physics import WORLDS, record

flags.DEFINE_integer("kills", 100, "how many")
flags.DEFINE_integer("seed", 0, "of the moments")
flags.DEFINE_string("out", "", "a file for the last line as JSON")

_SCRIPT = Path(__file__).resolve().parent.parent / "examples" / "run_kvae.py"
_FLAGS = (
    "--dataset=balls.npz", "--num_filters=2,2", "--alpha_units=3", "--batch_size=4", "--num_epochs=8", "--kf_update_steps=2",
    "--dynamics_epochs=2", "--refine_epochs=2", "--n_steps_gen=6", "--t_steps_mask=3", "--generate_step=4", "--deterministic",
)  # fmt: skip


def start(folder: Path, name: str, resume: bool) -> subprocess.Popen:
    command = [sys.executable, str(_SCRIPT), f"--run_name={name}", *(["--resume"] if resume else _FLAGS)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **quiet)


def finish(process: subprocess.Popen) -> None:
    _, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"a run or its resume failed with status {process.returncode}:\n{err[-2000:]}")


def outcome(folder: Path, name: str) -> tuple[dict, list[dict]]:
    """The arrays of the last checkpoint (weights and slots) and the log without its times."""
    run = folder / "logs" / f"{name}_kvae"
    with np.load(max((run / "checkpoints").glob("step-*.npz")), allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return arrays, [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def run_with_kills(folder: Path, name: str, longest: float, kills: int, moments: random.Random) -> int:
    """One run to its end, killed at most `kills` times, each life at most `longest` seconds; returns the kills."""
    done = 0
    while True:
        process = start(folder, name, (folder / "logs" / f"{name}_kvae" / "config.json").exists())
        try:
            process.wait(moments.uniform(0.0, longest) if done < kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            done += 1
            continue
        finish(process)
        return done


def main(argv):
    del argv
    options, moments, kills, runs = flags.FLAGS, random.Random(flags.FLAGS.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        save(folder / "balls.npz", {"images": record(WORLDS["box"], sequences=14, steps=9)["images"][:, :, ::2, ::2]})
        began = time.monotonic()
        finish(start(folder, "whole", resume=False))
        longest = 0.5 * (time.monotonic() - began)
        arrays, log = outcome(folder, "whole")
        while kills < options.kills:
            name = f"killed{runs}"
            count = run_with_kills(folder, name, longest, options.kills - kills, moments)
            found, found_log = outcome(folder, name)
            same = found_log == log and found.keys() == arrays.keys()
            same = same and all(np.array_equal(found[key], arrays[key]) for key in arrays)
            kills, runs = kills + count, runs + 1
            print(json.dumps({"run": name, "kills": count, "equal": same}), flush=True)
            if not same:
                raise SystemExit(f"{name} did not end as the run that was never killed")
    line = {"kills": kills, "runs": runs, "resumes_failed": 0, "runs_that_differed": 0}
    print(json.dumps(line))
    if options.out:
        write_json(options.out, line)


if __name__ == "__main__":
    app.run(main)
