"""Throughput of a training step on several replicas, and the share of it that goes into their sums.

    python benchmarks/scaling.py         # mirrored: 1, 2, 4 of this machine's GPUs, or logical CPUs
    python benchmarks/scaling.py --strategy=multiworker  # 1 and 2 processes on this machine
    python benchmarks/scaling.py --models=mdnrnn --replicas=1,2 --steps=50

JSON lines. The global batch is the same for any number of replicas, so that each line does the same
work. `sum_share`: the part of a step that is saved where the replicas do not add their gradients
(and so compute something else): communication, and waiting for the slowest.
"""

import json
import multiprocessing
import os
import socket
import time

from absl import app, flags
from timing import machine, show

flags.DEFINE_enum(
    "strategy", "mirrored", ["mirrored", "multiworker"], "replicas in one process, or one in each"
)
flags.DEFINE_list(
    "replicas", ["1", "2", "4"], "how many; not more than GPUs, or 4 CPU devices, or 2 processes"
)
flags.DEFINE_list(
    "models",
    ["kvae", "mdnrnn"],
    "kvae: run_kvae's, 32 sequences of 20 frames; mdnrnn: 100 of 100 steps",
)
flags.DEFINE_integer("steps", 20, "that are timed")
flags.DEFINE_integer("seed", 0, "seed of the data and the weights")


def _case(name: str, seed: int):
    """A model's maker and a batch."""
    import numpy as np

    import kvae
    import worldmodels

    rng = np.random.default_rng(seed)
    if name == "kvae":
        return lambda: kvae.KVAE((32, 32)), {
            "frames": rng.integers(0, 256, (32, 20, 32, 32), dtype=np.uint8)
        }
    numbers = {
        name: rng.standard_normal((100, 100, size)).astype(np.float32)
        for name, size in (("z", 32), ("actions", 3))
    }
    return lambda: worldmodels.MDNRNN(), numbers


def _seconds(name: str, options: dict, summed: bool) -> tuple[float, int]:
    """Of a step, the least of all; and the replicas."""
    import keras
    import tensorflow as tf

    from seqvae import replicas
    from seqvae.training import gradient_step

    spread = options["spread"]
    make, batch = _case(name, options["seed"])
    rows = len(next(iter(batch.values())))
    mine = replicas.rows_of(spread.worker, spread.workers, rows)
    batch = {
        key: tf.constant(value[mine.first : mine.first + mine.count])
        for key, value in batch.items()
    }
    keras.utils.set_random_seed(options["seed"])
    with spread.scope():
        model, optimizer = make(), keras.optimizers.Adam()
        variables = model.trainable_variables
        optimizer.build(variables)

    def on_replica(batch, seed):
        return gradient_step(model, batch, variables, optimizer, seed=seed).loss

    step = tf.function(
        lambda batch, total, seed: spread.run(on_replica, batch, total, seed), autograph=False
    )
    sum_of = replicas.all_reduce_sum
    if not summed:
        replicas.all_reduce_sum = lambda values: values
    try:
        step(batch, tf.constant(rows), tf.constant([0, 0])).numpy()  # compiles
    finally:
        replicas.all_reduce_sum = sum_of
    times = []
    for i in range(options["steps"]):
        began = time.perf_counter()
        step(batch, tf.constant(rows), tf.constant([0, i])).numpy()
        times.append(time.perf_counter() - began)
    return min(times), rows


def measure(
    kind: str, count: int, models: list[str], options: dict, environment: dict, results
) -> None:
    """Time training steps on some devices. It runs in its own process: devices are made once.

    Args:
        kind: the strategy, as --strategy.
        count: number of replicas.
        models: names of the models.
        options: options of the measurement.
        environment: environment variables to set.
        results: queue for the results.
    """
    os.environ |= environment | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    from seqvae.replicas import placement

    spread = placement(kind, count if kind == "mirrored" else None)
    options |= {"spread": spread}
    for name in models:
        seconds, rows = _seconds(name, options, summed=True)
        bare = _seconds(name, options, summed=False)[0] if spread.replicas > 1 else seconds
        if spread.chief:
            results.put(
                dict(
                    model=name,
                    strategy=kind,
                    replicas=spread.replicas,
                    step_ms=1e3 * seconds,
                    sequences_per_s=rows / seconds,
                    sum_share=max(0.0, 1.0 - bare / seconds),
                )
            )
    spread.wait()


def _clusters(kind: str, count: int) -> list[dict]:
    """The variables of each process."""
    if kind == "mirrored":
        return [{}]
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    workers = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    tasks = [{"type": "worker", "index": i} for i in range(count)]
    return [
        {"TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": task})} for task in tasks
    ]


def _gpus(results) -> None:
    import tensorflow as tf

    results.put(len(tf.config.list_physical_devices("GPU")))


def main(argv):
    """Run the command line."""
    del argv
    options = {name: flags.FLAGS[name].value for name in ("steps", "seed")}
    kind, models = flags.FLAGS.strategy, flags.FLAGS.models
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    _ended([context.Process(target=_gpus, args=(results,))])
    gpus = results.get()
    most = gpus or (4 if kind == "mirrored" else 2)
    for count in [count for count in map(int, flags.FLAGS.replicas) if count <= most]:
        arguments = [
            (kind, count, models, dict(options), environment, results)
            for environment in _clusters(kind, count)
        ]
        _ended([context.Process(target=measure, args=each) for each in arguments])
        for _ in models:
            show(**results.get(), device=f"{gpus} GPUs" if gpus else "CPU", machine=machine())


def _ended(processes: list) -> None:
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit("a process failed")


if __name__ == "__main__":
    app.run(main)
