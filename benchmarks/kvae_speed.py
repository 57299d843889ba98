"""How fast the Kalman VAE is: JSON lines, each a comparison measured in one run on one machine.

    python benchmarks/kvae_speed.py                                  # all parts, some minutes
    python benchmarks/kvae_speed.py --parts=lgssm --batches=32 --steps=20
    # an interpreter that has dynamax
    python benchmarks/kvae_speed.py --parts=lgssm --dynamax=/path/to/python

    lgssm  log p(a) with gradients, smoother, imputation: ours in a plain graph and by XLA, TFP,
           dynamax on JAX
    step   a training step of both bounds over the same step without the state-space model
    split  what a step of the default configuration spends its time on
    epoch  an epoch of the default configuration on 5000 sequences, in float32 and with
           --mixed_precision; peak memory

Times are the least of several repetitions, taken in turns, in milliseconds unless they say
otherwise.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import lgssm_speed
import numpy as np
import tensorflow as tf
from absl import app, flags
from timing import least, show

import kvae
from seqvae.data import Sequences
from seqvae.data.batches import Batches
from seqvae.physics import WORLDS, record
from seqvae.training import Checkpoints, Stage, Trainer, exponential_decay, gradient_step

flags.DEFINE_list("parts", ["lgssm", "step", "split", "epoch"], "which")
flags.DEFINE_list("batches", ["1", "32", "256"], "batch sizes (lgssm)")
flags.DEFINE_list("steps", ["20", "100", "1000"], "lengths (lgssm)")
flags.DEFINE_integer("repeats", 7, "repetitions")
flags.DEFINE_string("dynamax", "", "a Python interpreter that has dynamax")
flags.DEFINE_integer("sequences", 5000, "training sequences (epoch)")


def main(argv):
    """Run the command line."""
    del argv
    for part in flags.FLAGS.parts:
        {"lgssm": _lgssm, "step": _step, "split": _split, "epoch": _epoch}[part]()


def _lgssm():
    for steps in map(int, flags.FLAGS.steps):
        for batch in map(int, flags.FLAGS.batches):
            for line in lgssm_speed.compare(batch, steps, flags.FLAGS.repeats, flags.FLAGS.dynamax):
                show(**line)


def _frames(count: int) -> np.ndarray:
    return record(WORLDS["box"], sequences=count, workers=os.cpu_count() or 1)["images"]


def _training_step(frames, *, without_states: bool = False, **options):
    keras.utils.set_random_seed(0)
    model = kvae.KVAE(frames.shape[2:], **options)
    variables = model.variable_groups["vae"] if without_states else model.trainable_variables
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step(seed):
        target = _VaeAlone(model) if without_states else model
        return gradient_step(
            target, {"frames": frames}, variables, optimizer, seed=seed, clip_norm=150.0
        ).loss

    return lambda: step(tf.constant([0, 0])).numpy()


class _VaeAlone:
    """The model's objective without the term of the state-space model."""

    def __init__(self, model):
        self._model = model

    def loss_terms(self, batch, *, seed):
        vae = self._model.frame_vae
        a, log_qa = vae.draw_codes(batch["frames"], None, seed)
        log_px = vae.log_px(batch["frames"], None, a, 1.0, seed)
        return tf.reduce_mean(log_px), tf.reduce_mean(log_qa)

    def objective(self, terms):
        return -(0.3 * terms[0] - terms[1])


def _step():
    frames = tf.constant(_frames(32))
    for filters in ((32, 32, 32), (16, 16, 16)):
        for dtype in ("float32", "mixed_bfloat16"):
            options = dict(num_filters=filters, dtype=dtype)
            calls = {
                bound: _training_step(frames, bound=bound, **options)
                for bound in ("marginal", "sampled")
            }
            calls["alone"] = _training_step(frames, without_states=True, **options)
            least(calls, 1)
            times = least(calls, flags.FLAGS.repeats)
            show(
                part="step",
                filters=filters[0],
                dtype=dtype,
                batch=32,
                steps=20,
                vae_alone_ms=times["alone"],
                **{f"{bound}_ms": times[bound] for bound in ("marginal", "sampled")},
                **{
                    f"{bound}_over_vae_alone": times[bound] / times["alone"]
                    for bound in ("marginal", "sampled")
                },
            )


def _split():
    keras.utils.set_random_seed(0)
    frames = _frames(640)
    model, data = kvae.KVAE(frames.shape[2:]), Sequences(frames)
    batch = {"frames": tf.constant(frames[:32])}
    variables = model.trainable_variables
    weights = [variable.value for variable in variables]
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)
    seed = tf.constant([0, 0])

    @tf.function(autograph=False)
    def forward():
        return model.objective(model.loss_terms(batch, seed=seed))

    @tf.function(autograph=False)
    def backward():
        with tf.GradientTape() as tape:
            loss = model.objective(model.loss_terms(batch, seed=seed))
        return tape.gradient(loss, weights, unconnected_gradients="zero")

    @tf.function(autograph=False)
    def whole():
        return gradient_step(model, batch, variables, optimizer, seed=seed, clip_norm=150.0).loss

    batches = Batches(data, 32)
    calls = {
        "data": lambda: [None for _ in batches.epoch(0)],
        "forward": lambda: forward().numpy(),
        "backward": lambda: backward()[0].numpy(),
        "whole": lambda: whole().numpy(),
    }
    least(calls, 1)
    times = least(calls, flags.FLAGS.repeats)
    with tempfile.TemporaryDirectory() as folder:
        loop = _trainer(model, data, folder, epochs=3).run().read()
    data_ms, loop_ms = (
        times["data"] / len(batches),
        1e3 * min(line["seconds"] for line in loop[1:]) / len(batches),
    )
    show(
        part="split",
        data_ms=data_ms,
        forward_ms=times["forward"],
        backward_ms=times["backward"] - times["forward"],
        optimiser_ms=times["whole"] - times["backward"],
        loop_ms=loop_ms,
        bookkeeping_ms=loop_ms - times["whole"] - data_ms,
    )


def _trainer(model, data, folder, epochs: int) -> Trainer:
    everything = Stage("all", epochs, tuple(model.trainable_variables))
    return Trainer(
        model,
        Batches(data, 32),
        [everything],
        checkpoints=Checkpoints(Path(folder) / "checkpoints", {}),
        log_folder=folder,
        learning_rate=exponential_decay(0.007, 0.85, 20),
        clip_norm=150.0,
        quiet=True,
    )


_EPOCH = """
import sys, tempfile, json, resource
sys.path.insert(0, sys.argv[1])
import kvae_speed as speed
speed.keras.utils.set_random_seed(0)
data = speed.Sequences(speed._frames(int(sys.argv[3])))
model = speed.kvae.KVAE(data.image_shape, dtype=sys.argv[2])
with tempfile.TemporaryDirectory() as folder:
    lines = speed._trainer(model, data, folder, epochs=2).run().read()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([lines[1]["seconds"], peak]))
"""


def _epoch():
    """Each in a process of its own, for its peak memory; the second epoch counts, the first
    compiles."""
    for dtype in ("float32", "mixed_bfloat16"):
        here = str(Path(__file__).resolve().parent)
        command = [sys.executable, "-c", _EPOCH, here, dtype, str(flags.FLAGS.sequences)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        seconds, peak = json.loads(done.stdout.splitlines()[-1])
        show(
            part="epoch",
            dtype=dtype,
            sequences=flags.FLAGS.sequences,
            seconds=seconds,
            peak_memory_mb=peak,
        )


if __name__ == "__main__":
    app.run(main)
