"""The limit of the state-space model: the true positions of the ball as codes, no encoder and no
decoder.

    python benchmarks/kvae_positions.py [--epochs=30] [--K=7] [--alpha_units=128] [--scale=2]

Prints a JSON line: how far, in pixels, the smoothed position is from the true one, on missing
frames of box's test set. The matrices start as a ball in free flight; the positions are in units of
`scale` pixels: that sets them against the noises.
"""

import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

import kvae
from kvae.stages import Schedule, stages
from seqvae.data import Sequences, block_mask, load, random_mask
from seqvae.data.batches import Batches
from seqvae.training import gradient_step

flags.DEFINE_integer("epochs", 30, "passes over the training sequences")
flags.DEFINE_integer("K", 7, "number of matrices that are mixed")
flags.DEFINE_integer("alpha_units", 128, "units of the dynamics network")
flags.DEFINE_float("scale", 2.0, "pixels per unit of the codes")
flags.DEFINE_integer("seed", 0, "seed of the weights and the noise")
flags.DEFINE_string(
    "data_dir",
    str(Path(__file__).resolve().parent.parent / "datasets"),
    "folder of box.npz and box_test.npz",
)

_BATCH, _VARIANCE = 32, 0.015


def model_in_free_flight(K: int, units: int, seed: int) -> kvae.KVAE:
    """Make a model whose matrices start as those of a ball in free flight, with noise.

    Args:
        K: number of matrices.
        units: units of the dynamics network.
        seed: seed of the weights.

    Returns:
        The model.
    """
    keras.utils.set_random_seed(seed)
    model = kvae.KVAE((8, 8), conv=False, vae_num_units=1, K=K, alpha_units=units)
    rng, flight = np.random.default_rng(seed), np.eye(4)
    flight[:2, 2:] = 0.5 * np.eye(2)
    model.A.assign(flight + rng.normal(0, 0.03, model.A.shape))
    model.C.assign(np.eye(4)[:2] + rng.normal(0, 0.03, model.C.shape))
    return model


def positions(data: Sequences) -> np.ndarray:
    """Convert the recorded positions to codes.

    Args:
        data: sequences with their states.

    Returns:
        [N, T, 2], in units of --scale pixels from the centre.
    """
    return ((data.state[..., :2] - 16) / flags.FLAGS.scale).astype(np.float32)


def train(model: kvae.KVAE, codes: np.ndarray, epochs: int, seed: int) -> None:
    """Train the dynamics network and the matrices on codes.

    Args:
        model: the model.
        codes: [N, T, 2].
        epochs: number of epochs.
        seed: seed of the order and the noise.
    """
    codes = codes[: len(codes) // _BATCH * _BATCH]
    batches = Batches(
        {"codes": codes, "variance": np.full_like(codes, _VARIANCE)}, _BATCH, seed=seed
    )
    stage = stages(model, Schedule(1, 0, 0, dynamics_epochs=epochs))[-1]
    optimizer = keras.optimizers.Adam(epsilon=1e-8)
    optimizer.build(list(stage.variables))

    @tf.function(autograph=False, jit_compile=True)
    def step(batch, seed):
        gradient_step(model, batch, list(stage.variables), optimizer, seed=seed, clip_norm=150.0)

    for epoch in range(epochs):
        optimizer.learning_rate.assign(stage.learning_rate(epoch))
        for i, batch in enumerate(batches.epoch(epoch)):
            step(batch, tf.constant([seed, epoch * len(batches) + i]))


def main(argv):
    """Run the command line."""
    del argv
    options = flags.FLAGS
    training, test = (load(Path(options.data_dir) / f"{name}.npz") for name in ("box", "box_test"))
    model = model_in_free_flight(options.K, options.alpha_units, options.seed)
    train(model, positions(training), options.epochs, options.seed)
    truth, count, steps = positions(test), len(test), test.steps
    masks = {f"{n} in a row": block_mask(count, steps, start=4, length=n) for n in (5, 11, 15)}
    masks |= {
        f"{100 * p:.0f} % dropped": random_mask(count, steps, start=4, drop_prob=p, seed=0)
        for p in (0.2, 0.5, 0.8, 0.9)
    }
    line = {
        name: getattr(options, name) for name in ("epochs", "K", "alpha_units", "scale", "seed")
    }
    for name, mask in masks.items():
        states = model.smooth(truth, mask)
        missed = tf.linalg.matvec(states.C, states.mean).numpy() - truth
        pixels = options.scale * np.linalg.norm(missed[mask < 0.5], axis=-1)
        line[name] = round(float(pixels.mean()), 3)
    print(json.dumps(line))


if __name__ == "__main__":
    app.run(main)
