"""Devices of a training: one device, all GPUs of a machine, or several machines, by
`tf.distribute`.

A step computes the same for any number of replicas: rows, random draws, loss, gradient.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import tensorflow as tf

from seqvae.replicas.rows import rows_of, with_local_rows

KINDS = ("one", "mirrored", "multiworker")
_SLURM_PORT = 8888
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
    tf.errors.FailedPreconditionError,
)
"""Errors that TensorFlow may raise if a worker is lost."""

_Made = TypeVar("_Made")


class WorkerLost(RuntimeError):
    """A worker of a multi-worker run no longer responds."""


class Placement:
    """The replicas that share the work of every step.

    Model and optimiser are made within `scope()`.

    Args:
        strategy: the strategy; None: the current one.

    Attributes:
        worker: the number of this process, counted from 0.
        workers: the number of processes.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self._strategy = strategy or tf.distribute.get_strategy()
        resolver = getattr(self._strategy, "cluster_resolver", None)
        self.workers = len(resolver.cluster_spec().as_dict().get("worker", [])) if resolver else 1
        self.worker = resolver.task_id if resolver and self.workers > 1 else 0
        self._from_chief = None

    @property
    def chief(self) -> bool:
        """Whether this process writes the run's files."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Number of replicas of all workers together."""
        return self._strategy.num_replicas_in_sync

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Context manager in which variables are made; all workers get the chief's first values."""
        with self._strategy.scope(), self.answering("Start all workers again."):
            yield

    def run(self, step: Callable, batch: Any, total: tf.Tensor, *args: Any):
        """Run `step(batch, *args)` on every replica with its rows of the batch.

        Args:
            step: the function of a replica.
            batch: tensors [rows, ...], this worker's rows of a batch (see `replicas.rows_of`).
            total: number of rows of the whole batch.
            *args: passed to `step`.

        Returns:
            What the first local replica returns.
        """
        if self.replicas == 1:
            return step(batch, *args)
        mine = rows_of(self.worker, self.workers, total)

        def on_replica(batch, *args):
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            rows = rows_of(number, self.replicas, total)
            start = tf.minimum(rows.first - mine.first, tf.maximum(mine.count, 1) - 1)
            part = tf.nest.map_structure(
                lambda value: value[start : start + tf.maximum(rows.count, 1)], batch
            )
            with with_local_rows(rows):
                return step(part, *args)

        returned = self._strategy.run(on_replica, (batch, *args))
        return tf.nest.map_structure(
            lambda value: self._strategy.experimental_local_results(value)[0], returned
        )

    def of_chief(self, values: list[float]) -> list[float]:
        """Send the chief's values to all workers. Every worker waits for the others.

        Args:
            values: this worker's values.

        Returns:
            The chief's values.
        """
        if self.workers == 1:
            return values
        if self._from_chief is None:
            self._from_chief = tf.function(self._broadcast, autograph=False)
        with self.answering("Start all workers again with --resume."):
            return self._from_chief(tf.constant(values, tf.float64)).numpy().tolist()

    def _broadcast(self, values):
        """The values of replica 0: a sum in which the other replicas have weight 0."""

        def on_replica(values):
            context = tf.distribute.get_replica_context()
            is_chief = tf.cast(context.replica_id_in_sync_group == 0, values.dtype)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, values * is_chief)

        returned = self._strategy.run(on_replica, (values,))
        return self._strategy.experimental_local_results(returned)[0]

    def wait(self) -> None:
        """Wait until all workers call this method."""
        self.of_chief([0.0])

    def chief_first(self, make: Callable[[], _Made]) -> _Made:
        """Call `make()` in the chief, then in the other workers, which find the chief's files.

        Args:
            make: the function.

        Returns:
            What `make()` returns.
        """
        if not self.chief:
            self.wait()
            return make()
        result = make()
        self.wait()
        return result

    @contextmanager
    def answering(self, cure: str) -> Iterator[None]:
        """Context manager: raise `WorkerLost` if TensorFlow reports that another worker is lost.

        Args:
            cure: the end of the message.

        Raises:
            WorkerLost: another worker is lost.
        """
        try:
            yield
        except _LOST as error:
            if self.workers == 1:
                raise
            raise WorkerLost(
                f"another worker no longer responds; see its own output for the reason. {cure}"
            ) from error


def placement(kind: str, replicas: int | None = None) -> Placement:
    """Make a placement by name. Call it before TensorFlow is used for anything else.

    Args:
        kind: "one": the first device. "mirrored": all GPUs of this machine, or the first
            `replicas`; without a GPU, `replicas` logical CPU devices, for tests. "multiworker": the
            processes of `TF_CONFIG` or of a SLURM step, each with its visible GPUs.
        replicas: number of replicas with "mirrored"; None: all GPUs, or 2 CPU devices.

    Returns:
        The placement.

    Raises:
        ValueError: an unknown kind, more replicas than GPUs, or "multiworker" without a cluster in
            the environment.
    """
    if kind not in KINDS:
        raise ValueError(f"strategy: expected one of {', '.join(KINDS)}, got {kind!r}.")
    if replicas is not None and (kind != "mirrored" or replicas < 1):
        raise ValueError(
            f"replicas: expected a number of at least 1 with strategy=mirrored, got {replicas!r}."
        )
    if kind == "one":
        return Placement()
    if kind == "mirrored":
        return Placement(tf.distribute.MirroredStrategy(_devices(replicas)))
    _cluster()
    return Placement(tf.distribute.MultiWorkerMirroredStrategy())


def _devices(replicas: int | None) -> list[str]:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        count = replicas or 2
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
        return [f"CPU:{i}" for i in range(count)]
    if replicas and replicas > len(gpus):
        raise ValueError(
            f"replicas: expected at most the {len(gpus)} GPUs of this machine, got {replicas}."
        )
    return [f"GPU:{i}" for i in range(replicas or len(gpus))]


def _cluster() -> None:
    """Set TF_CONFIG from a SLURM step's variables if it is missing, and check it."""
    if "TF_CONFIG" not in os.environ:
        if "SLURM_PROCID" not in os.environ:
            raise ValueError(
                "strategy: multiworker needs the environment variable TF_CONFIG, with the same "
                "`cluster` and another `task` index for each process, or a SLURM step (srun)."
            )
        os.environ["TF_CONFIG"] = json.dumps(slurm_cluster())
    try:
        workers = json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]
        index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            'TF_CONFIG: expected {"cluster": {"worker": ["host:port", ...]}, '
            '"task": {"type": "worker", "index": i}}, '
            f"got {os.environ['TF_CONFIG']!r}."
        ) from error
    if not 0 <= index < len(workers):
        raise ValueError(
            f"TF_CONFIG: expected a task index of 0 to {len(workers) - 1}, got {index}."
        )


def slurm_cluster() -> dict:
    """The TF_CONFIG of a SLURM step whose tasks fill one node after another, as `srun` places them.

    Returns:
        The cluster and this task.

    Raises:
        ValueError: scontrol is missing, or the tasks are placed otherwise.
    """
    names = os.environ["SLURM_STEP_NODELIST"]
    try:
        listed = subprocess.run(
            ["scontrol", "show", "hostnames", names], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise ValueError(
            f"strategy: multiworker in a SLURM step needs its program scontrol ({error})."
        ) from error
    counts = []
    for tasks, repeats in re.findall(
        r"(\d+)(?:\(x(\d+)\))?", os.environ["SLURM_STEP_TASKS_PER_NODE"]
    ):  # such as 2(x3),1
        counts += [int(tasks)] * int(repeats or 1)
    places = [
        (host, i)
        for host, count in zip(listed.stdout.split(), counts, strict=True)
        for i in range(count)
    ]
    rank = int(os.environ["SLURM_PROCID"])
    if places[rank][1] != int(os.environ["SLURM_LOCALID"]):
        raise ValueError(
            "strategy: multiworker needs tasks that fill one node after another; use srun "
            "--distribution=block."
        )
    cluster = {"worker": [f"{host}:{_SLURM_PORT + i}" for host, i in places]}
    return {"cluster": cluster, "task": {"type": "worker", "index": rank}}
