"""How fast the World Models are: JSON lines, each a comparison measured in one run on one machine.

    python benchmarks/worldmodels_speed.py                              # all parts, a few minutes
    python benchmarks/worldmodels_speed.py --parts=stream --episodes=100,10000

    vae     a training step, batch 100, against the original's graph; the same with a last batch of
            37 among them
    encode  frames encoded a second
    rnn     a training step, batch 100 x 99, against the original's graph
    dream   steps a second: dreams of 1 and 100 at once, with actions given and with a policy; the
            original's state update
    rollouts  controllers in the dream (`DreamRollouts`): steps a second of --rows at once; seconds
            and memory of a generation of 64 members x 16 rollouts x 500 steps, and of 256 members
    worlds  steps a second and core of Dodge, Push and, where it is installed, CarRacing, with
            frames, and the share of the time outside of the simulator
    stream  episodes of 1000 frames read from disk: frames a second and peak memory, for each number
            of --episodes

Times are the least of several repetitions, taken in turns, in milliseconds unless they say
otherwise.
"""

import importlib.util
import os
import tempfile
from collections import deque
from functools import partial
from itertools import islice
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gymnasium
import keras
import numpy as np
import tensorflow as tf
import worldmodels_originals as originals
from absl import app, flags
from timing import least, memory, show

from seqvae.data import open_shards, save
from seqvae.data.streams import ShardBatches
from seqvae.physics.pixel_world import PixelWorld
from seqvae.training import gradient_step
from worldmodels import MDNRNN, Controller, ConvVAE, DreamRollouts

PARTS = ["vae", "encode", "rnn", "dream", "rollouts", "worlds", "stream"]
flags.DEFINE_list("parts", PARTS, "which")
flags.DEFINE_list("rows", ["64", "1024", "8192"], "dreams at once (rollouts)")
flags.DEFINE_integer("generation_steps", 500, "steps of the dreams of a generation (rollouts)")
flags.DEFINE_integer("repeats", 7, "repetitions")
flags.DEFINE_list("episodes", ["100", "10000"], "numbers of episodes (stream)")
flags.DEFINE_integer(
    "stream_batches", 2000, "batches of 100 frames read of each number of episodes (stream)"
)

BATCH, ODD, STEPS = 100, 37, 99


def main(argv):
    """Run the command line."""
    del argv
    for part in flags.FLAGS.parts:
        globals()[f"_{part}"]()


def _frames(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def _stepper(model, optimizer, jit_compile=None, dynamic=True):
    """A compiled training step of a batch of any size."""
    optimizer.build(model.trainable_variables)

    def step(batch):
        return gradient_step(
            model, batch, model.trainable_variables, optimizer, seed=tf.constant([0, 0])
        ).loss

    compiled = tf.function(step, autograph=False, reduce_retracing=dynamic, jit_compile=jit_compile)
    return lambda batch: compiled(batch).numpy()


def _vae():
    frames, odd = _frames(BATCH), _frames(ODD)
    calls = {"the original's": partial(originals.conv_vae_step(BATCH), frames)}
    for name, dtype in (("ours", "float32"), ("ours, bfloat16", "mixed_bfloat16")):
        model = ConvVAE(dtype=dtype)
        step = _stepper(model, model.optimizer_of_architecture())
        calls[name] = partial(step, {"frames": tf.constant(frames)})
        calls[f"{name}, batch of {ODD}"] = partial(step, {"frames": tf.constant(odd)})
    for call in (
        *calls.values(),
        *calls.values(),
    ):  # twice: the second size makes the first compile again
        call()
    times = least(calls, flags.FLAGS.repeats)
    ratios = {
        f"{name} / the original's": times[name] / times["the original's"]
        for name in ("ours", "ours, bfloat16")
    }
    alike = times[f"ours, batch of {ODD}"] / ODD / (times["ours"] / BATCH)
    show(
        operation="ConvVAE training step",
        batch=BATCH,
        **_ms(times),
        **ratios,
        **{"a frame of the odd batch / of a full one": alike},
    )


def _encode():
    frames = tf.constant(_frames(BATCH))
    calls = {}
    for name, dtype in (("ours", "float32"), ("ours, bfloat16", "mixed_bfloat16")):
        calls[name] = partial(_mean_codes, ConvVAE(dtype=dtype), frames)
        calls[name]()
    times = least(calls, flags.FLAGS.repeats)
    show(
        operation="encode",
        batch=BATCH,
        **{f"{name} frames a second": 1e3 * BATCH / t for name, t in times.items()},
    )


def _mean_codes(model: ConvVAE, frames: tf.Tensor) -> np.ndarray:
    return model.encode(frames).mean().numpy()


def _rnn():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((BATCH, STEPS + 1, 32)).astype(np.float32)
    actions = rng.standard_normal((BATCH, STEPS + 1, 3)).astype(np.float32)
    batch = {"z": tf.constant(z), "actions": tf.constant(actions)}
    calls = {"the original's": partial(originals.mdn_rnn_step(BATCH, STEPS), z, actions)}
    kinds = (
        ("ours", "float32", None),
        ("ours, XLA", "float32", True),
        ("ours, bfloat16", "mixed_bfloat16", None),
    )
    for name, dtype, jit in kinds:
        adam = keras.optimizers.Adam(1e-3, epsilon=1e-8, clipvalue=1.0)
        calls[name] = partial(_stepper(MDNRNN(dtype=dtype), adam, jit, dynamic=not jit), batch)
    for call in calls.values():
        call()
    times = least(calls, flags.FLAGS.repeats)
    ratios = {
        f"{name} / the original's": t / times["the original's"]
        for name, t in times.items()
        if name != "the original's"
    }
    show(operation="MDN-RNN training step", batch=BATCH, steps=STEPS, **_ms(times), **ratios)


def _dream():
    model, steps, update = MDNRNN(), 200, originals.lstm_update()
    policy = tf.zeros([1, 3])
    state = np.zeros((1, 256)), np.zeros((1, 256))
    calls = {
        f"{count} at once": lambda count=count: model.dream(
            tf.zeros([count, 32]), actions=tf.zeros([count, steps, 3]), seed=0
        ).z.numpy()
        for count in (1, 100)
    }
    calls["1, a policy"] = lambda: model.dream(
        tf.zeros([1, 32]), policy=lambda z, h: policy, steps=steps, seed=0
    ).z.numpy()
    calls["the original's state update alone"] = lambda: [
        update(np.zeros((1, 35)), state) for _ in range(steps)
    ]
    for call in calls.values():
        call()
    times = least(calls, flags.FLAGS.repeats)
    show(
        operation="dream",
        **{f"{name}, steps a second": 1e3 * steps / t for name, t in times.items()},
    )


def _rollouts():
    """The original's CarRacing sizes; no dream ends before its last step."""
    rnn, controller, steps = MDNRNN(), Controller(), flags.FLAGS.generation_steps
    starts = np.zeros((1, rnn.z_size), np.float32)
    rates = {}
    for rows in map(int, flags.FLAGS.rows):
        short = DreamRollouts(rnn, starts, controller, max_steps=64, rows=rows)
        call = partial(short, np.zeros((rows, controller.size)), 1, 0)
        call()
        rates[f"{rows} at once, steps a second"] = (
            1e3 * rows * 64 / least({"": call}, flags.FLAGS.repeats)[""]
        )
    show(operation="rollouts in the dream", **rates)
    rollouts = DreamRollouts(rnn, starts, controller, max_steps=steps)
    for members in (64, 256):
        vectors = np.zeros((members, controller.size))
        rollouts(vectors[:1], 16, 0)
        before = memory("VmRSS", reset=True)
        times = least({"generation": partial(rollouts, vectors, 16, 0)}, 1)
        show(
            operation="a generation in the dream",
            members=members,
            rollouts=16,
            steps=steps,
            seconds=times["generation"] / 1e3,
            **{"peak memory above the process before, MB": memory("VmHWM") - before},
        )


def _worlds():
    names = ["seqvae/Dodge-v0", "seqvae/Push-v0"]
    names += ["CarRacing-v3"] if importlib.util.find_spec("Box2D") else []
    for name in names:
        world, steps = PixelWorld(name), 2000 if name.startswith("seqvae") else 200
        env, plain = world.make(), gymnasium.make(name)
        calls = {
            "ours": partial(_play, env, env.reset, steps, np.zeros_like(env.low)),
            "plain": partial(
                _play, plain, lambda seed, env=plain: env.reset(seed=seed), steps, env.low * 0
            ),
        }
        times = least(calls, 3)
        show(
            operation="world",
            env=name,
            **{
                "steps a second": 1e3 * steps / times["ours"],
                "share outside of the simulator": 1.0 - times["plain"] / times["ours"],
            },
        )


def _play(env, reset, steps: int, action: np.ndarray):
    reset(0)
    for i in range(steps):
        _, _, ended, cut, *_ = env.step(action)
        if ended or cut:
            reset(i)


def _stream():
    """Ten episodes under as many names as wanted: what is read is real, what is written is
    little."""
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for i in range(10):
            small = rng.integers(0, 256, (1000, 16, 16, 3), dtype=np.uint8)
            save(
                Path(folder) / "real" / f"{i}.npz",
                {"frames": small.repeat(4, axis=1).repeat(4, axis=2)},
            )
        for count in sorted(map(int, flags.FLAGS.episodes)):
            linked = Path(folder) / str(count)
            linked.mkdir()
            for i in range(count):
                os.link(Path(folder) / "real" / f"{i % 10}.npz", linked / f"{i:06d}.npz")
            _read(linked, count)


def _read(folder: Path, count: int) -> None:
    before = memory("VmRSS", reset=True)
    times = least({"open": lambda: open_shards(folder, {"frames": ""})}, 1)
    stream = ShardBatches(open_shards(folder, {"frames": ""}), BATCH, {"frames": "frames"})
    batches = iter(stream.epoch(0))
    wanted = min(len(stream), flags.FLAGS.stream_batches)
    times |= least(
        {"read": lambda: deque(islice(batches, wanted), maxlen=0)}, 1
    )  # a deque of none keeps nothing
    show(
        operation="stream",
        episodes=count,
        frames=1000 * count,
        **{"seconds to open": times["open"] / 1e3},
        frames_read=BATCH * wanted,
        **{
            "frames a second": 1e3 * BATCH * wanted / times["read"],
            "peak memory above the process before, MB": memory("VmHWM") - before,
        },
    )


def _ms(times: dict[str, float]) -> dict[str, float]:
    return {f"{name} ms": value for name, value in times.items()}


if __name__ == "__main__":
    app.run(main)
