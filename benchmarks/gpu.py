"""How fast and how exact one GPU is: JSON lines, each with the GPU beside this machine's CPU.

    python benchmarks/gpu.py                            # all parts, some minutes
    python benchmarks/gpu.py --parts=kvae --repeats=20
    python benchmarks/gpu.py --devices=cpu --tiny       # small models; runs without a GPU

    agree  results of models with the same weights: the greatest difference to float64 on the CPU,
           over the greatest value; on the GPU in TF32, TensorFlow's default there, and without
    kvae   training steps, of the dynamics alone too, smoother and imputation: the state-space model
           in a plain graph and by XLA
    world  training steps of the ConvVAE and the MDN-RNN of World Models
    vame   a training step: Keras' GRU, which is cuDNN on a GPU, and our scan
    vrae   training steps of the default model and of the recipe: plain and by XLA

Every device is a process of its own. Times are the median of --repeats calls in milliseconds, each
to its results on the host; "first s" counts the calls that compile. Memory is the peak of the GPU's
allocator in the part so far, in MB.
"""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from absl import app, flags
from timing import machine, show

PARTS = ("agree", "kvae", "world", "vame", "vrae")
flags.DEFINE_list("parts", list(PARTS), "which")
flags.DEFINE_list("devices", ["gpu", "cpu"], "which")
flags.DEFINE_integer("repeats", 9, "repetitions")
flags.DEFINE_float(
    "seconds", 4.0, "maximal duration of an operation's repetitions; at least one is made"
)
flags.DEFINE_integer("limit", 1200, "seconds of a part on a device, at most")
flags.DEFINE_bool("tiny", False, "small models and batches, for a test of this script")
flags.DEFINE_string("worker", "", "a device and a file of results, in a process of this script's")


def main(argv):
    """Run the command line."""
    del argv
    if flags.FLAGS.worker:
        return _worker(*flags.FLAGS.worker.split(":", 1))
    with TemporaryDirectory() as folder:
        for part in flags.FLAGS.parts:
            found = {}
            for device in (*flags.FLAGS.devices, *(["cpu64"] if part == "agree" else [])):
                found[device] = _run(device, part, Path(folder) / f"{part}_{device}.npz")
            (_compare if part == "agree" else _table)(part, found)
    return None


def _run(device: str, part: str, file: Path) -> dict:
    """What the process of a device gives: by operation, a number or an array."""
    environment = {} if device == "gpu" else {"CUDA_VISIBLE_DEVICES": "-1"}
    given = [f"--{name}={getattr(flags.FLAGS, name)}" for name in ("repeats", "seconds", "tiny")]
    command = [sys.executable, __file__, f"--parts={part}", f"--worker={device}:{file}", *given]
    try:
        limit = flags.FLAGS.limit
        subprocess.run(command, env=os.environ | environment, check=True, timeout=limit)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"{part} on {device}: {type(error).__name__}, what it had is kept", file=sys.stderr)
    return dict(np.load(file)) if file.exists() else {}


def _table(part: str, found: dict[str, dict]) -> None:
    for name in dict.fromkeys(name for each in found.values() for name in each):
        values = {device: float(each[name]) for device, each in found.items() if name in each}
        line = {f"{device}": value for device, value in values.items()}
        if len(values) == 2 and name.endswith(" ms"):
            line["gpu over cpu"] = values["gpu"] / values["cpu"]
        show(part=part, operation=name, **line)


def _compare(part: str, found: dict[str, dict]) -> None:
    reference = found.pop("cpu64")
    for name, right in reference.items():
        line = {}
        for device, each in found.items():
            for tag in ("", ", TF32"):
                if name + tag in each:
                    error = np.abs(each[name + tag] - right).max() / np.abs(right).max()
                    line[device + tag] = float(error)
        show(part=part, operation=name, **line)


# --- in the process of a device ---


def _worker(device: str, file: str) -> None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise SystemExit("--devices: TensorFlow finds no GPU. Use --devices=cpu.")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    results = _Results(device, file)
    for part in flags.FLAGS.parts:
        if part != "agree":
            name = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
            print(json.dumps({"device": name.get("device_name", machine())}), file=sys.stderr)
        globals()[f"_{part}"](results)


class _Results:
    """Numbers and arrays by name, in a file after each: what a process that fails had is kept."""

    def __init__(self, device: str, file: str):
        self.device, self._file, self._kept = device, file, {}

    def put(self, name: str, value) -> None:
        self._kept[name] = np.asarray(value, np.float64)
        np.savez(f"{self._file}.part.npz", **self._kept)
        os.replace(f"{self._file}.part.npz", self._file)

    def time(self, name: str, make) -> None:
        """The median time of the call that `make()` gives; a failure is printed."""
        import tensorflow as tf

        try:
            began = time.perf_counter()
            call = make()
            call()
            call()
            self.put(f"{name}, first s", time.perf_counter() - began)
            times, end = [], time.perf_counter() + flags.FLAGS.seconds
            while not times or (len(times) < flags.FLAGS.repeats and time.perf_counter() < end):
                began = time.perf_counter()
                call()
                times.append(1e3 * (time.perf_counter() - began))
            self.put(f"{name} ms", np.median(times))
        except Exception as error:
            text = " ".join(str(error).split())[:600]
            print(f"{self.device}, {name}: {type(error).__name__} {text}", file=sys.stderr)
        if self.device == "gpu":
            peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
            self.put(f"{name}, memory MB", peak / 2**20)


def _stepper(model, batch: dict, variables=None, *, jit: bool = False, learning_rate=1e-3):
    """A training step as `Trainer` takes it."""
    import keras
    import tensorflow as tf

    from seqvae.training import gradient_step

    variables = model.trainable_variables if variables is None else variables
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(variables)
    batch = {name: tf.constant(value) for name, value in batch.items()}

    @tf.function(autograph=False)
    def step(seed):
        options = dict(seed=seed, clip_norm=150.0, jit_compile=jit)
        return gradient_step(model, batch, variables, optimizer, **options).loss

    return lambda: step(tf.constant([0, 0])).numpy()


def _balls(batch: int, steps: int, size: int = 32, channels: int | None = None) -> np.ndarray:
    """Discs that move along lines and come in again at the other side, uint8."""
    rng = np.random.default_rng(0)
    start, speed = (rng.uniform(0, size, (batch, 1, 2)), rng.uniform(-3, 3, (batch, 1, 2)))
    place = (start + speed * np.arange(steps)[:, None]) % size
    axes = np.arange(size)
    squares = [(axes - place[..., i, None]) ** 2 for i in range(2)]
    inside = squares[0][..., None] + squares[1][..., None, :] < 9.0
    frames = (255 * inside).astype(np.uint8)
    return frames if channels is None else np.repeat(frames[..., None], channels, -1)


def _kalman_vae(**options):
    import keras

    import kvae

    keras.utils.set_random_seed(0)
    if flags.FLAGS.tiny:
        options |= dict(num_filters=(2, 2), alpha_units=3)
    model = kvae.KVAE((32, 32), **options)
    # of a trained model's size
    for matrix, spread in ((model.A, 0.1), (model.C, 0.5)):
        noise = np.random.default_rng(1).standard_normal(matrix.shape)
        matrix.assign(matrix.numpy() + spread * noise)
    return model


def _kvae(results: _Results) -> None:
    tiny = flags.FLAGS.tiny
    demo = dict(K=7, alpha_units=128, num_filters=(16, 16, 16))
    settings = {
        "demo, batch 32": (demo, 32, 20),
        "default, batch 32": ({}, 32, 20),
        "64 filters, batch 256": (demo | dict(num_filters=(64, 64, 64)), 256, 20),
    }
    for name, (options, batch, steps) in settings.items():
        frames = _balls(2 if tiny else batch, 4 if tiny else steps)
        for dtype in ("float32", "mixed_bfloat16"):
            for jit in (False, True) if name != "default, batch 32" else (False,):
                tag = f"step, {name}, {dtype}{', XLA' if jit else ''}"
                results.time(
                    tag,
                    lambda o=options, d=dtype, j=jit, f=frames: _stepper(
                        _kalman_vae(**o, dtype=d, jit_compile=j), {"frames": f}
                    ),
                )
        if tiny:
            break
    frames = _balls(2 if tiny else 32, 4 if tiny else 20)
    mask = np.ones(frames.shape[:2], np.float32)
    mask[:, 2:3] = 0.0
    mask[:, 5:15:2] = 0.0
    given = {"frames": frames, "mask": mask}
    for jit in (False, True):
        tag = ", XLA" if jit else ""
        results.time(
            f"step, demo, batch 32, gaps{tag}",
            lambda j=jit: _stepper(_kalman_vae(**demo, jit_compile=j), given),
        )
        codes = np.random.default_rng(0).standard_normal((*frames.shape[:2], 2)).astype(np.float32)
        alone = {"codes": codes, "variance": np.full_like(codes, 0.01)}
        results.time(
            f"step of the dynamics alone, demo, batch 32{tag}",
            lambda j=jit, c=alone: _dynamics_step(_kalman_vae(**demo, jit_compile=j), c, j),
        )
    for batch, steps in ((1, 20), (32, 20), (256, 200)):
        if tiny and (batch, steps) != (1, 20):
            continue
        codes = np.random.default_rng(0).standard_normal((batch, steps, 2)).astype(np.float32)
        for jit in (False, True):
            tag = f"{batch} x {steps}{', XLA' if jit else ''}"
            results.time(
                f"smooth, demo, {tag}",
                lambda j=jit, c=codes: _smoother(_kalman_vae(**demo, jit_compile=j), c),
            )
    for jit in (False, True):
        results.time(
            f"impute, demo, batch 32{', XLA' if jit else ''}",
            lambda j=jit: _imputer(_kalman_vae(**demo, jit_compile=j), frames, mask),
        )


def _dynamics_step(model, batch, jit):
    groups = model.variable_groups
    return _stepper(model, batch, [*groups["lgssm"], *groups["dynamics"]], jit=jit)


def _smoother(model, codes):
    import tensorflow as tf

    codes = tf.constant(codes)
    return lambda: model.smooth(codes, check_finite=False).mean.numpy()


def _imputer(model, frames, mask):
    import tensorflow as tf

    frames, mask = tf.constant(frames), tf.constant(mask)
    return lambda: model.impute(frames, mask, check_finite=False).smoothed.numpy()


def _world(results: _Results) -> None:
    from worldmodels import MDNRNN, ConvVAE

    tiny, rng = flags.FLAGS.tiny, np.random.default_rng(0)
    batch, steps = (2, 4) if tiny else (100, 99)
    frames = rng.integers(0, 256, (batch, 64, 64, 3), dtype=np.uint8)
    codes = {
        "z": rng.standard_normal((batch, steps + 1, 32)).astype(np.float32),
        "actions": rng.standard_normal((batch, steps + 1, 3)).astype(np.float32),
    }
    for dtype in ("float32", "mixed_bfloat16"):
        results.time(
            f"ConvVAE step, batch {batch}, {dtype}",
            lambda d=dtype: _stepper(ConvVAE(dtype=d), {"frames": frames}, learning_rate=1e-4),
        )
        for jit in (False, True):
            results.time(
                f"MDN-RNN step, {batch} x {steps}, {dtype}{', XLA' if jit else ''}",
                lambda d=dtype, j=jit: _stepper(MDNRNN(dtype=d), codes, jit=j),
            )


def _vame(results: _Results) -> None:
    from vrae.vame import Config
    from vrae.vame.training import build_model

    units = 4 if flags.FLAGS.tiny else 256
    sizes = dict(hidden_size_layer_1=units, hidden_size_rec=units, hidden_size_pred=units)
    for dtype in ("float32", "mixed_bfloat16"):
        settings = Config(**sizes, mixed_precision=dtype != "float32")
        for name, change in (("Keras' GRU", _with_keras), ("our scan", _with_scan)):
            results.time(
                f"VAME step, batch {settings.batch_size}, {dtype}, {name}",
                lambda s=settings, c=change: _vame_step(c(build_model(s)), s),
            )


def _vame_step(model, settings):
    from vrae.vame import rnn_vae

    s, optimizer = settings, rnn_vae.Adam(settings.learning_rate)
    shape = s.batch_size, s.num_features, 2 * s.time_window
    windows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    named = (s.anneal_function, s.beta, s.kl_start, s.annealtime, s.time_window)
    rest = (True, s.prediction_steps, None, "sum", "sum", s.kmeans_loss, s.kmeans_lambda)
    return partial(
        rnn_vae.train, [windows], 6, model, optimizer, *named, *rest, s.batch_size, False
    )


def _with_keras(model):
    return _with_gru(model, keras_too=True)


def _with_scan(model):
    return _with_gru(model, keras_too=False)


def _with_gru(model, keras_too: bool):
    """The model with its GRUs by Keras, or by our scan."""
    from vrae.vame.gru import BidirectionalGRU

    class Forced(BidirectionalGRU):
        def call(self, sequences, initial_state=None, steps=None):
            compute = self.by_keras if keras_too else self.by_scan
            return compute(sequences, initial_state, steps)

    for layer in model._flatten_layers():
        if isinstance(layer, BidirectionalGRU):
            layer.__class__ = Forced
    return model


def _vrae(results: _Results) -> None:
    from vrae import VRAE, recipe
    from vrae.data import Series

    tiny, rng = flags.FLAGS.tiny, np.random.default_rng(0)
    series = rng.standard_normal((4 if tiny else 64, 8 if tiny else 140, 1)).astype(np.float32)
    mask = np.ones(series.shape[:2], np.float32)
    mask[::2, -series.shape[1] // 4 :] = 0.0  # half of the series are shorter
    batch = {"sequences": series, "mask": mask}
    size = dict(rnn_size=4) if tiny else {}
    for jit in (False, True):
        tag = ", XLA" if jit else ""
        for dtype in ("float32", "mixed_bfloat16"):
            results.time(
                f"VRAE step, {len(series)} x {series.shape[1]}, {dtype}{tag}",
                lambda d=dtype, j=jit: _stepper(VRAE(1, dtype=d, **size), batch, jit=j),
            )
        results.time(
            f"VRAE step by the recipe, {len(series)} x {series.shape[1]}{tag}",
            lambda j=jit: _stepper(
                VRAE(1, **recipe.choose(Series(series, mask)).options), batch, jit=j
            ),
        )


# --- agreement ---


def _agree(results: _Results) -> None:
    import tensorflow as tf

    if results.device != "gpu":
        return _agreement(results, "", "float64" if results.device == "cpu64" else "float32")
    for tag, on in ((", TF32", True), ("", False)):
        tf.config.experimental.enable_tensor_float_32_execution(on)
        _agreement(results, tag, "float32")
    return None


def _agreement(results: _Results, tag: str, dtype: str) -> None:
    import tensorflow as tf

    count, steps = (2, 6) if flags.FLAGS.tiny else (16, 60)
    base = _kalman_vae(K=7, alpha_units=128)
    model = type(base).from_config(base.get_config() | {"dtype": dtype})
    model.set_weights(base.get_weights())
    xla = type(base).from_config(base.get_config() | {"dtype": dtype, "jit_compile": True})
    xla.set_weights(base.get_weights())
    frames = _balls(count, steps)
    mask = np.ones((count, steps))
    mask[:, steps // 3 : steps // 2] = 0.0
    codes = np.cumsum(0.3 * np.random.default_rng(2).standard_normal((count, steps, 2)), 1)
    codes, mask = codes.astype(dtype), mask.astype(dtype)
    for name, each in (("", model), (", XLA", xla)):
        for gaps, given in ((", gaps", mask), ("", None)):
            smoothed = each.smooth(codes, given)
            filtered = each.filter(codes, given)
            results.put(f"filter mean{gaps}{name}{tag}", filtered.mean)
            results.put(f"smoother mean{gaps}{name}{tag}", smoothed.mean)
            results.put(f"smoother covariance{gaps}{name}{tag}", smoothed.cov)
            bound = each.lgssm_bound(codes, given, per_sequence=True)
            results.put(f"log p(a){gaps}{name}{tag}", bound.total)
        imputed = each.impute(frames, mask)
        results.put(f"imputed frames{name}{tag}", imputed.smoothed)
        results.put(f"codes of frames{name}{tag}", imputed.a_encoded)
        with tf.GradientTape() as tape:
            terms = each.loss_terms({"codes": codes, "variance": 0 * codes + 1e-12}, seed=0)
            loss = each.objective(terms)
        groups = each.variable_groups
        weights = [v.value for v in (*groups["lgssm"], *groups["dynamics"])]
        flat = [np.ravel(g) for g in tape.gradient(loss, weights) if g is not None]
        results.put(f"gradients of the dynamics{name}{tag}", np.concatenate(flat))


if __name__ == "__main__":
    app.run(main)
