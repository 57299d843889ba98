"""Replicas: two devices, and two processes, compute what one does; a lost worker ends the others;
clusters are read."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from seqvae import replicas
from seqvae.replicas import Placement, placement
from tests.commands import run_here
from tests.tolerances import REPLICAS

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("replicas_program.py")
ENVIRONMENT = os.environ | {
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONPATH": str(ROOT),
}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start_workers(folders, arguments):
    """A cluster on this machine: a process in each of the folders."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(len(folders))]
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT
            | {
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}
                )
            },
        )
        for i, folder in enumerate(folders)
    ]


def finish(processes, timeout=300):
    ended = [process.communicate(timeout=timeout) for process in processes]
    for process, (_, err) in zip(processes, ended, strict=True):
        assert process.returncode == 0, err[-3000:]
    return ended


def run(kind, out, *cases):
    """The program's arrays."""
    arguments = [str(PROGRAM), kind, str(out), *cases]
    if kind == "multiworker":
        finish(start_workers([out.parent] * 2, arguments))
    else:
        subprocess.run(
            [sys.executable, *arguments], env=ENVIRONMENT, check=True, capture_output=True
        )
    with np.load(out) as file:
        return dict(file)


def assert_same(found, wanted):
    assert found.keys() == wanted.keys() and len(found) > 5
    for name, value in wanted.items():
        if name not in ("replicas", "broken/error"):
            np.testing.assert_allclose(found[name], value, **REPLICAS, err_msg=name)


@pytest.mark.parametrize(
    "cases",
    [
        ("convvae",),
        ("kvae", "convvae", "mdnrnn", "broken", "vrae", "vame", "fit"),
    ],
    ids=["a small model", "every family"],
)
@pytest.mark.slow
def test_two_devices_compute_what_one_does(tmp_path, cases):
    """20 steps, batches of 4, 4 and 1 rows: noise, masks, free bits, the cluster term, clipping."""
    two = run("both", tmp_path / "two.npz", *cases)
    with np.load(tmp_path / "one_two.npz") as file:
        one = dict(file)
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert_same(two, one)
    if "broken" not in cases:
        return
    message = str(two["broken/error"])
    assert message.startswith(
        "epoch 1, step 1: the loss, a term or the gradient is not finite (loss nan"
    )
    assert "The last checkpoint is in" in message and "smaller learning rate" in message


@pytest.mark.slow
def test_two_processes_and_two_devices_compute_what_one_does_in_every_family(tmp_path):
    one = run("one", tmp_path / "one.npz")
    for kind in ("multiworker", "mirrored"):
        found = run(kind, tmp_path / "two.npz")
        assert found["replicas"] == 2
        assert_same(found, one)


def rows(total, count):
    parts = [replicas.rows_of(i, count, tf.constant(total)) for i in range(count)]
    return [(int(part.first), int(part.count)) for part in parts]


@pytest.mark.parametrize("total", range(1, 12))
@pytest.mark.parametrize("count", (1, 2, 3, 8))
def test_every_row_of_a_batch_is_on_one_replica(total, count):
    found = rows(total, count)
    assert [i for first, many in found for i in range(first, first + many)] == list(range(total))
    assert all(0 <= first < total for first, _ in found)
    assert max(many for _, many in found) - min(many for _, many in found) <= 1


def test_outside_of_a_replica_values_stay_as_they_are():
    value = tf.constant([[1.0], [2.0]])
    assert (
        replicas.all_rows(value) is value
        and replicas.divide_by_replicas(value) is value
        and replicas.zero_if_copied(value) is value
    )
    assert (
        replicas.all_reduce_sum([value])[0] is value
        and replicas.share_of_batch(tf.constant(3.0)) == 1.0
    )
    single = Placement()
    assert (single.replicas, single.workers, single.chief) == (1, 1, True)
    assert single.of_chief([2.0]) == [2.0] and single.chief_first(lambda: 7) == 7
    assert single.run(lambda batch, more: batch + more, value, tf.constant(2), 1.0)[1] == 3.0


@pytest.mark.parametrize(
    "kind, options, cluster, message",
    [
        ("two", {}, None, "strategy: expected one of one, mirrored, multiworker, got 'two'"),
        (
            "one",
            dict(replicas=2),
            None,
            "replicas: expected a number of at least 1 with strategy=mirrored, got 2",
        ),
        ("mirrored", dict(replicas=0), None, "replicas: expected a number of at least 1"),
        ("multiworker", {}, None, "strategy: multiworker needs the environment variable TF_CONFIG"),
        ("multiworker", {}, "{", "TF_CONFIG: expected .*, got '{'"),
        ("multiworker", {}, '{"cluster": {}}', "TF_CONFIG: expected"),
        (
            "multiworker",
            {},
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "TF_CONFIG: expected a task index of 0 to 0, got 1",
        ),
    ],
)
def test_distributions_that_are_refused(kind, options, cluster, message, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    if cluster is not None:
        monkeypatch.setenv("TF_CONFIG", cluster)
    with pytest.raises(ValueError, match=message):
        placement(kind, **options)


def slurm(monkeypatch, tmp_path, rank, local):
    """The variables of a step of 5 tasks on 3 nodes, and SLURM's own program that expands their
    names."""
    program = tmp_path / "scontrol"
    program.write_text("#!/bin/sh\nprintf 'node9\\nnode10\\nnode11\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    values = {
        "PROCID": rank,
        "LOCALID": local,
        "STEP_NODELIST": "node[9-11]",
        "STEP_TASKS_PER_NODE": "2(x2),1",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))


def test_the_cluster_of_a_slurm_step(monkeypatch, tmp_path):
    from seqvae.replicas.strategy import slurm_cluster

    slurm(monkeypatch, tmp_path, rank=3, local=1)
    assert slurm_cluster() == {
        "cluster": {
            "worker": ["node9:8888", "node9:8889", "node10:8888", "node10:8889", "node11:8888"]
        },
        "task": {"type": "worker", "index": 3},
    }
    slurm(monkeypatch, tmp_path, rank=3, local=0)
    with pytest.raises(ValueError, match="use srun --distribution=block"):
        slurm_cluster()
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(
        ValueError, match="strategy: multiworker in a SLURM step needs its program scontrol"
    ):
        slurm_cluster()


def test_of_several_workers_a_run_needs_a_name(tmp_path):
    done = run_here(ROOT / "examples" / "run_vrae.py", "--strategy=multiworker", cwd=tmp_path)
    assert (
        done.returncode == 2
        and "--run_name: with --strategy=multiworker expected one" in done.stderr
    )


def command(*more):
    flags = (
        "--z_size=2",
        "--rnn_size=4",
        "--batch_size=4",
        "--annealing_epochs=2",
        "--picture_step=1000",
        "--deterministic",
    )
    given = () if "--resume" in more else ("--csv=series.csv", *flags)
    return [
        str(ROOT / "examples/run_vrae.py"),
        "--strategy=multiworker",
        "--run_name=run",
        *given,
        *more,
    ]


def weights(folder):
    with np.load(max((folder / "logs/run_vrae/checkpoints").glob("*.npz"))) as file:
        return {name: file[name] for name in file.files if not name.startswith("__")}


def make_series(folder):
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = [f"{i},{x:.3f},{y:.3f}" for i in range(40) for x, y in rng.standard_normal((6, 2))]
    (folder / "series.csv").write_text("\n".join(["sequence,x,y", *lines]) + "\n")
    return folder


@pytest.mark.slow
def test_a_killed_worker_ends_the_others_and_the_restarted_run_resumes(tmp_path):
    whole, killed = make_series(tmp_path / "whole"), make_series(tmp_path / "killed")
    finish(start_workers([whole] * 2, command("--num_epochs=40")))
    chief, other = start_workers([killed] * 2, command("--num_epochs=40"))
    log = killed / "logs/run_vrae/metrics.jsonl"
    while not log.exists() or len(log.read_text().splitlines()) < 5:
        assert chief.poll() is None and other.poll() is None
        time.sleep(0.1)
    other.send_signal(signal.SIGKILL)
    _, err = chief.communicate(timeout=60)
    assert chief.returncode == 2 and "another worker no longer responds" in err
    assert "start all workers again with --resume" in err
    finish(start_workers([killed] * 2, command("--resume")))
    found, wanted = weights(killed), weights(whole)
    assert found.keys() == wanted.keys() and all(
        np.array_equal(found[name], wanted[name]) for name in wanted
    )


@pytest.mark.slow
def test_a_worker_without_the_data_ends_all(tmp_path):
    folder, elsewhere = make_series(tmp_path / "run"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    processes = start_workers([folder, elsewhere], command())
    errors = [process.communicate(timeout=90)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert "another worker no longer responds" in errors[0] and "series.csv" in errors[1]
