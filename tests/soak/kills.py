"""Soak test: kills small trainings of every command at random moments (SIGKILL) and resumes them
until they end.

    python -m tests.soak.kills --kills=200                       # of each command
    python -m tests.soak.kills --commands=run_vame --kills=10

Runs are started, killed and resumed until there were the given number of kills. Every resume must
succeed. Every run must end with the weights and the log of a run that was not killed. The script
prints a JSON line for each run and appends one for each command to the file --out. The exit status
is 1 if a run differs.
"""

import json
import multiprocessing
import os
import random
import runpy
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import app, flags

from seqvae.data import save
from seqvae.files import write_json
from seqvae.physics import WORLDS, record

flags.DEFINE_integer("kills", 100, "number of kills of each command")
flags.DEFINE_list("commands", [], "commands to run; default: all")
flags.DEFINE_integer("seed", 0, "seed of the moments of the kills")
flags.DEFINE_string("out", "", "JSON file to which the last line of each command is appended")

_ERRORS = "errors.txt"
# Its children start with the libraries imported, so that kills fall into the command's own work,
# not into imports.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["keras", "tensorflow_probability", "seqvae.physics", "seqvae.plotting", "hmmlearn.hmm"]
)
_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class Command(NamedTuple):
    """family: suffix of its run folders. flags: settings of a small training. training: the folder
    of the log and the checkpoints, relative to the run folder."""

    family: str
    flags: tuple[str, ...]
    training: str = "."


COMMANDS = {
    "run_kvae": Command(
        "kvae",
        (
            "--dataset=balls.npz",
            "--num_filters=2,2",
            "--alpha_units=3",
            "--batch_size=4",
            "--num_epochs=8",
            "--kf_update_steps=2",
            "--dynamics_epochs=2",
            "--refine_epochs=2",
            "--n_steps_gen=6",
            "--t_steps_mask=3",
            "--generate_step=4",
        ),
    ),
    "run_convvae": Command(
        "convvae",
        (
            "--dataset=episodes",
            "--filters=3,4",
            "--kernel_sizes=4,4",
            "--decoder_filters=4",
            "--decoder_kernel_sizes=5,6",
            "--z_size=3",
            "--batch_size=7",
            "--num_epochs=6",
            "--picture_step=3",
        ),
    ),
    "run_mdnrnn": Command(
        "mdnrnn",
        (
            "--vae=logs/whole_convvae",
            "--rnn_size=6",
            "--num_mixture=2",
            "--batch_size=3",
            "--num_epochs=8",
            "--seq_len=6",
            "--seen_steps=3",
            "--dream_steps=5",
        ),
    ),
    "run_vrae": Command(
        "vrae",
        (
            "--csv=series.csv",
            "--z_size=2",
            "--rnn_size=4",
            "--batch_size=4",
            "--num_epochs=60",
            "--annealing_epochs=2",
            "--picture_step=10",
        ),
    ),
    "run_vame": Command(
        "vame",
        (
            "--dataset=poses",
            "--time_window=6",
            "--zdims=2",
            "--hidden_size_layer_1=4",
            "--hidden_size_rec=3",
            "--hidden_size_pred=3",
            "--prediction_steps=2",
            "--kmeans_loss=2",
            "--batch_size=16",
            "--steps_per_epoch=3",
            "--kl_start=0",
            "--annealtime=1",
            "--n_clusters=3",
            "--max_epochs=12",
        ),
        "model",
    ),
}
"""In order of dependence: run_mdnrnn reads a run of run_convvae."""


def make_data(folder: Path) -> None:
    """Write the datasets of the small trainings."""
    rng = np.random.default_rng(0)
    save(
        folder / "balls.npz",
        {"images": record(WORLDS["box"], sequences=14, steps=9)["images"][:, :, ::2, ::2]},
    )
    for i in range(10):
        frames = (
            rng.integers(0, 256, (9 + i % 4, 7, 7, 1), dtype=np.uint8)
            .repeat(2, axis=1)
            .repeat(2, axis=2)
        )
        actions = rng.random((len(frames), 2)).astype(np.float32)
        save(folder / "episodes" / f"{i}.npz", {"frames": frames, "actions": actions})
    rows = [
        f"{i},{x:.3f},{y:.3f}"
        for i in range(12)
        for x, y in rng.standard_normal((rng.integers(4, 9), 2))
    ]
    (folder / "series.csv").write_text("\n".join(["sequence,x,y", *rows]) + "\n", encoding="utf-8")
    save(
        folder / "poses" / "mouse.npz",
        {"positions": np.cumsum(rng.standard_normal((3, 300)), axis=1)},
    )


def start(folder: Path, command: str, name: str, resume: bool) -> BaseProcess:
    rest = ["--resume"] if resume else [*COMMANDS[command].flags, "--deterministic"]
    process = _SERVER.Process(target=_life, args=(folder, command, [f"--run_name={name}", *rest]))
    process.start()
    return process


def _life(folder: Path, command: str, arguments: list[str]) -> None:
    """Run a command in a process that has already imported TensorFlow."""
    os.chdir(folder)
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    for stream, name in ((1, os.devnull), (2, _ERRORS)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    path = _EXAMPLES / f"{command}.py"
    sys.argv = [str(path), *arguments]
    runpy.run_path(str(path), run_name="__main__")


def finish(folder: Path, process: BaseProcess) -> None:
    process.join()
    if process.exitcode:
        text = (folder / _ERRORS).read_text(errors="replace")
        raise SystemExit(
            f"a run or its resume failed with status {process.exitcode}:\n{text[-2000:]}"
        )


def run_folder(folder: Path, command: str, name: str) -> Path:
    return folder / "logs" / f"{name}_{COMMANDS[command].family}"


def outcome(folder: Path, command: str, name: str) -> tuple[dict, list[dict]]:
    """The arrays of the last checkpoint (weights and optimiser slots) and the log without its
    times."""
    run = run_folder(folder, command, name) / COMMANDS[command].training
    with np.load(max((run / "checkpoints").glob("step-*.npz")), allow_pickle=False) as file:
        # keys with __ are the checkpoint's own metadata, which holds times
        arrays = {key: file[key] for key in file.files if not key.startswith("__")}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return arrays, [
        {key: value for key, value in line.items() if key != "seconds"} for line in lines
    ]


def run_with_kills(
    folder: Path, command: str, name: str, longest: float, kills: int, moments: random.Random
) -> int:
    """Run to the end with at most `kills` kills, each after at most `longest` seconds. Returns the
    number of kills."""
    done = 0
    while True:
        begun = (run_folder(folder, command, name) / "config.json").exists()
        process = start(folder, command, name, begun)
        process.join(moments.uniform(0.0, longest) if done < kills else None)
        if process.is_alive():
            process.kill()
            process.join()
            done += 1
            continue
        finish(folder, process)
        return done


def kill(folder: Path, command: str, wanted: int, moments: random.Random) -> dict:
    """Start runs of a command until there were `wanted` kills."""
    _SERVER.Process(target=int).start()  # the server imports the libraries before the timing starts
    began = time.monotonic()
    finish(folder, start(folder, command, "whole", resume=False))
    longest = 0.7 * (time.monotonic() - began)
    arrays, log = outcome(folder, command, "whole")
    kills = runs = 0
    while kills < wanted:
        name = f"killed{runs}"
        count = run_with_kills(folder, command, name, longest, wanted - kills, moments)
        found, found_log = outcome(folder, command, name)
        same = found_log == log and found.keys() == arrays.keys()
        same = same and all(np.array_equal(found[key], arrays[key]) for key in arrays)
        kills, runs = kills + count, runs + 1
        print(
            json.dumps({"command": command, "run": name, "kills": count, "equal": same}), flush=True
        )
        if not same:
            raise SystemExit(f"{command}, {name} differs from the run that was not killed")
    return {
        "command": command,
        "kills": kills,
        "runs": runs,
        "resumes_failed": 0,
        "runs_that_differed": 0,
    }


def main(argv):
    del argv
    options, moments = flags.FLAGS, random.Random(flags.FLAGS.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_data(folder)
        wanted = options.commands or list(COMMANDS)
        if "run_mdnrnn" in wanted and "run_convvae" not in wanted:
            finish(folder, start(folder, "run_convvae", "whole", resume=False))
        for command in wanted:
            line = kill(folder, command, options.kills, moments)
            print(json.dumps(line), flush=True)
            if options.out:
                path = Path(options.out)
                write_json(path, [*(json.loads(path.read_text()) if path.exists() else []), line])


if __name__ == "__main__":
    app.run(main)
