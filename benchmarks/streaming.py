"""What streaming costs: memory and speed of reading shards, for datasets of several sizes, and how
long a training waits.

    python benchmarks/streaming.py  # 10,000 and 100,000 sequences of 20 frames
    # about 1.3 GB on disk, and minutes to make
    python benchmarks/streaming.py --sizes=10000,100000,1000000
    python benchmarks/streaming.py --seconds=120 --num_filters=16,16,16

JSON lines. `read`: an epoch of batches of 32, nothing else: sequences a second and the process's
memory at its peak, each size in a process of its own. `train`: the Kalman VAE of `run_kvae` on the
largest set: the share of the time in which the loop waits for a batch. The sets are shards of the
world box, of which the first are drawn and the others are copies; each is read, checked and
unpacked as any.
"""

import itertools
import multiprocessing
import shutil
import tempfile
import time
from pathlib import Path

from absl import app, flags
from timing import machine, memory, show

from seqvae.data import open_shards, shard_path, write_shard
from seqvae.physics import WORLDS, record

flags.DEFINE_list("sizes", ["10000", "100000"], "sequences")
flags.DEFINE_integer("shard_size", 200, "sequences in a shard")
flags.DEFINE_integer("distinct", 20, "shards that are drawn; the others are copies")
flags.DEFINE_integer("seconds", 60, "seconds of training; 0: none")
flags.DEFINE_string("num_filters", "32,32,32", "filters of the Kalman VAE that is trained")
flags.DEFINE_integer("seed", 0, "seed of the sequences and the order")
flags.DEFINE_string(
    "folder", "", "where the shards go; default: a temporary folder, removed afterwards"
)

_BATCH = 32
_NAMES = {"images": "frames"}


def make(path: Path, size: int, shard_size: int, distinct: int, seed: int) -> None:
    """Write the missing shards of a dataset.

    Args:
        path: name of the dataset.
        size: number of sequences.
        shard_size: sequences in a shard.
        distinct: number of different shards; the others are copies.
        seed: seed of the sequences.
    """
    count = size // shard_size
    for i in range(count):
        target = shard_path(path, i, count)
        if target.exists():
            continue
        if i < distinct:
            write_shard(
                target,
                record(
                    WORLDS["box"], sequences=shard_size, first=i * shard_size, seed=seed, workers=2
                ),
            )
        else:
            shutil.copyfile(shard_path(path, i % distinct, count), target)


def read(path: Path, seed: int, results) -> None:
    """Read an epoch of batches as fast as possible.

    Args:
        path: name of the dataset.
        seed: seed of the order.
        results: queue for the results.
    """
    from seqvae.data.streams import ShardBatches

    began = time.perf_counter()
    shards = open_shards(path, {"images": "frames"})
    opened = time.perf_counter() - began
    batches = ShardBatches(shards, _BATCH, _NAMES, seed=seed)
    stream = iter(batches.epoch(0))
    next(stream)
    before, began = memory("VmRSS", reset=True), time.perf_counter()
    count = sum(len(batch["frames"]) for batch in stream)
    seconds = time.perf_counter() - began
    results.put(
        dict(
            what="read",
            sequences=shards.entries,
            shards=len(shards),
            gigabytes=_gigabytes(shards),
            open_s=opened,
            sequences_per_s=count / seconds,
            memory_mb=memory("VmHWM"),
            memory_after_one_batch_mb=before,
        )
    )


def train(path: Path, seconds: float, num_filters: str, seed: int, results) -> None:
    """Train on the stream, and measure how long the loop waits between two steps.

    Args:
        path: name of the dataset.
        seconds: duration of the measurement.
        num_filters: filters of the model.
        seed: seed of the order.
        results: queue for the results.
    """
    import keras
    import tensorflow as tf

    import kvae
    from seqvae.data.streams import ShardBatches
    from seqvae.training import gradient_step

    model = kvae.KVAE((32, 32), num_filters=num_filters)
    optimizer, variables = keras.optimizers.Adam(), model.trainable_variables
    optimizer.build(variables)
    batches = ShardBatches(open_shards(path, {"images": "frames"}), _BATCH, _NAMES, seed=seed)
    step = tf.function(
        lambda batch, seed: (
            gradient_step(model, batch, variables, optimizer, seed=seed, clip_norm=150.0).loss
        ),
        autograph=False,
        input_signature=[batches.epoch(0).element_spec, tf.TensorSpec([2], tf.int32)],
    )
    waited = worked = 0.0
    steps, stream = 0, (batch for epoch in itertools.count() for batch in batches.epoch(epoch))
    step(next(stream), tf.constant([seed, 0])).numpy()  # compiles
    memory("VmRSS", reset=True)
    while waited + worked < seconds:
        began = time.perf_counter()
        batch = next(stream)
        there = time.perf_counter()
        steps += 1
        step(batch, tf.constant([seed, steps])).numpy()
        waited, worked = waited + there - began, worked + time.perf_counter() - there
    results.put(
        dict(
            what="train",
            num_filters=num_filters,
            sequences=len(batches) * _BATCH,
            steps=steps,
            step_ms=1e3 * worked / steps,
            waiting_share=waited / (waited + worked),
            sequences_per_s=steps * _BATCH / (waited + worked),
            memory_mb=memory("VmHWM"),
        )
    )


def _gigabytes(shards) -> float:
    return sum(path.stat().st_size for path in shards.paths) / 1e9


def _alone(target, *arguments) -> dict:
    """What `target` reports from a process of its own, whose memory is its own."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=target, args=(*arguments, results))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{target.__name__} failed")
    return results.get()


def main(argv):
    """Run the command line."""
    del argv
    options = flags.FLAGS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        paths = []
        for size in map(int, options.sizes):
            if size % options.shard_size:
                raise app.UsageError(
                    f"--sizes: expected multiples of --shard_size={options.shard_size}, got {size}"
                )
            paths.append(folder / f"box{size}.npz")
            make(paths[-1], size, options.shard_size, options.distinct, options.seed)
            show(**_alone(read, paths[-1], options.seed), machine=machine())
        if options.seconds:
            show(
                **_alone(train, paths[-1], options.seconds, options.num_filters, options.seed),
                machine=machine(),
            )


if __name__ == "__main__":
    app.run(main)
