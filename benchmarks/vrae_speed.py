"""How fast VAME's model is: JSON lines, each measured in one run on one machine.

    python benchmarks/vrae_speed.py            # all parts, some ten minutes
    # PYTHON: an interpreter that has PyTorch
    python benchmarks/vrae_speed.py --parts=step --torch=PYTHON

    step   a training step of VAME's default size (batch 256, 30 frames of 12 features, 256 units):
           ours in float32 and bfloat16, the same with Keras' own loop of the GRU, an equal model in
           PyTorch
    embed  sessions of --frames frames to codes: frames a second, and how much memory the process
           takes meanwhile

Times are the least of several repetitions, taken in turns, in milliseconds unless they say
otherwise.
"""

import os
import subprocess
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from absl import app, flags
from timing import least, memory, show

from vrae.vame import Config, embed, rnn_vae
from vrae.vame.data import Statistics
from vrae.vame.gru import BidirectionalGRU
from vrae.vame.training import build_model

flags.DEFINE_list("parts", ["step", "embed"], "which")
flags.DEFINE_integer("repeats", 9, "repetitions (step)")
flags.DEFINE_string("torch", "", "a Python interpreter that has PyTorch (step)")
flags.DEFINE_list("frames", ["100000", "1000000"], "frames of a session (embed)")
flags.DEFINE_integer("units", 256, "units of every GRU, each direction")


def main(argv):
    """Run the command line."""
    del argv
    for part in flags.FLAGS.parts:
        {"step": _step, "embed": _embed}[part]()


def _config() -> Config:
    units = flags.FLAGS.units
    return Config(hidden_size_layer_1=units, hidden_size_rec=units, hidden_size_pred=units)


def _train(model, settings: Config, windows: np.ndarray):
    """A call that takes a step of training, as an epoch does."""
    s, optimizer = settings, rnn_vae.Adam(settings.learning_rate)
    return partial(
        rnn_vae.train,
        [windows],
        6,
        model,
        optimizer,
        s.anneal_function,
        s.beta,
        s.kl_start,
        s.annealtime,
        s.time_window,
        True,
        s.prediction_steps,
        None,
        "sum",
        "sum",
        s.kmeans_loss,
        s.kmeans_lambda,
        s.batch_size,
        False,
    )


class _KerasGRU(keras.layers.Bidirectional):
    """Keras' own loop in the place of ours."""

    def call(self, sequences, initial_state=None, steps=None):
        sequences = sequences if steps is None else keras.ops.repeat(sequences, steps, axis=1)
        return super().call(sequences, initial_state=initial_state)


def _with_keras_gru(model):
    for layer in model._flatten_layers():
        if isinstance(layer, BidirectionalGRU):
            layer.__class__ = _KerasGRU
    return model


def _step():
    settings = _config()
    shape = settings.batch_size, settings.num_features, 2 * settings.time_window
    windows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    calls = {
        "ours, float32": _train(build_model(settings), settings, windows),
        "ours, bfloat16": _train(
            build_model(replace(settings, mixed_precision=True)), settings, windows
        ),
        "Keras' loop, float32": _train(_with_keras_gru(build_model(settings)), settings, windows),
    }
    torch = _Torch(settings) if flags.FLAGS.torch else None
    if torch:
        calls["PyTorch, float32"] = torch.step
    for call in calls.values():
        call()
    times = least(calls, flags.FLAGS.repeats)
    ratios = {
        f"{name} / PyTorch": times[name] / times["PyTorch, float32"]
        for name in times
        if torch and "ours" in name
    }
    show(
        operation="VAME training step",
        **{f"{name} ms": value for name, value in times.items()},
        **ratios,
    )


class _Torch:
    """The equal model in a process of its own, which takes a step when asked."""

    def __init__(self, settings: Config):
        sizes = dict(
            batch=settings.batch_size,
            steps=settings.time_window,
            future=settings.prediction_steps,
            features=settings.num_features,
            zdims=settings.zdims,
            units=settings.hidden_size_rec,
        )
        script = Path(__file__).with_name("vame_torch.py")
        command = [
            flags.FLAGS.torch,
            str(script),
            *(f"--{name}={value}" for name, value in sizes.items()),
        ]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def step(self) -> None:
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise RuntimeError(
                f"{flags.FLAGS.torch}: the process of PyTorch ended; is PyTorch installed there?"
            )


def _embed():
    settings = _config()
    model = build_model(settings)
    embed(model, Statistics(0.0, 1.0), settings, np.zeros((settings.num_features, 5000)))
    for frames in map(int, flags.FLAGS.frames):
        session = np.random.default_rng(0).standard_normal(
            (settings.num_features, frames), dtype=np.float32
        )
        before, began = memory("VmRSS", reset=True), time.perf_counter()
        codes = embed(model, Statistics(0.0, 1.0), settings, session)
        seconds = time.perf_counter() - began
        show(
            operation="embed",
            frames=frames,
            frames_per_second=frames / seconds,
            memory_beside_codes_MB=memory("VmHWM") - before - codes.nbytes / 2**20,
        )


if __name__ == "__main__":
    app.run(main)
