"""Trains a small model of each family for 20 steps and saves losses and weights; run by
`test_replicas.py`.

python replicas_program.py one|mirrored|multiworker|both OUT.npz [CASE ...]

`both`: two devices, and in `one_OUT.npz` one of them.
"""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import kvae
import worldmodels
from seqvae.data.batches import Batches
from seqvae.replicas import Placement, placement
from seqvae.training import Checkpoints, NonFiniteError, Stage, Trainer
from seqvae.training.checkpoints import gather
from vrae import VRAE, vame

STEPS = 20
RNG = np.random.default_rng(0)
MASK = (RNG.random((9, 6)) > 0.3).astype(np.float32)
MASK[:, 0] = 1.0
LENGTHS = (np.arange(6) < RNG.integers(2, 7, 9)[:, None]).astype(np.float32)
SERIES = RNG.standard_normal((9, 6, 3)).astype(np.float32) * LENGTHS[..., None]
LATENTS = {
    "mean": RNG.standard_normal((9, 6, 3)).astype(np.float32),
    "logvar": np.full((9, 6, 3), -1.0, np.float32),
    "actions": RNG.standard_normal((9, 6, 2)).astype(np.float32),
    "mask": LENGTHS,
}
CODES = {"codes": LATENTS["mean"][:8, :, :2], "variance": np.full((8, 6, 2), 0.1, np.float32)}
# 9 rows in batches of 4: the last has one row, fewer than there are replicas. XLA compiles for
# every size: 8 rows of codes.
CASES = {
    "kvae": (
        lambda: kvae.KVAE((8, 8), num_filters=(2, 2), alpha_units=3, ll_keep_prob=0.5),
        {"frames": RNG.integers(0, 256, (9, 6, 8, 8), dtype=np.uint8), "mask": MASK},
    ),
    "kvae_sampled": (
        lambda: kvae.KVAE(
            (8, 8), conv=False, vae_num_units=4, alpha_units=3, bound="sampled", dtype="float64"
        ),
        {"frames": RNG.integers(0, 256, (9, 6, 8, 8), dtype=np.uint8)},
    ),
    "kvae_codes": (
        lambda: kvae.KVAE((8, 8), conv=False, vae_num_units=4, alpha_units=3, dtype="float64"),
        CODES,
    ),
    "kvae_sampled_codes": (
        lambda: kvae.KVAE(
            (8, 8), conv=False, vae_num_units=4, alpha_units=3, bound="sampled", dtype="float64"
        ),
        CODES,
    ),
    "convvae": (
        lambda: worldmodels.ConvVAE(
            z_size=3,
            image_shape=(14, 14, 1),
            filters=(3, 4),
            kernel_sizes=(4, 4),
            decoder_filters=(4,),
            decoder_kernel_sizes=(5, 6),
        ),
        {"frames": RNG.integers(0, 256, (9, 14, 14, 1), dtype=np.uint8)},
    ),
    "mdnrnn": (
        lambda: worldmodels.MDNRNN(z_size=3, action_size=2, rnn_size=4, num_mixtures=2),
        LATENTS,
    ),
    "broken": (lambda: VRAE(3, z_size=2, rnn_size=4), {"sequences": SERIES + np.float32(np.inf)}),
    "vrae": (
        lambda: VRAE(3, z_size=2, rnn_size=4, free_bits=0.1, teacher_forcing=0.5),
        {"sequences": SERIES, "mask": LENGTHS},
    ),
}
COMPILED = ("kvae_codes", "kvae_sampled_codes", "mdnrnn")


def trained(name: str, spread: Placement) -> dict[str, np.ndarray]:
    """Means of an epoch's terms and the weights, after every epoch."""
    make, data = CASES[name]
    keras.utils.set_random_seed(0)
    with spread.scope():
        model = make()
    clip = dict(clip_norm=5.0) if name != "mdnrnn" else {}
    batches = Batches(data, 4)
    stage = Stage(
        "all",
        -(-STEPS // len(batches)),
        tuple(model.trainable_variables),
        jit_compile=name in COMPILED,
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model,
            batches,
            [stage],
            checkpoints=Checkpoints(folder, {}),
            log_folder=folder,
            quiet=True,
            learning_rate=lambda epoch: 0.001,
            placement=spread,
            optimizer=lambda: keras.optimizers.Adam(
                clipvalue=1.0 if name == "mdnrnn" else None, epsilon=1e-4, name="adam"
            ),
            **clip,
        )
        try:
            log = trainer.run()
        except NonFiniteError as error:
            return {f"{name}/error": np.array(str(error))} | gather(model.trainable_variables, name)
        lines = [] if log is None else log.read()
    arrays = gather(model.trainable_variables, name)
    terms = [key for key in (lines or [{}])[0] if key.startswith("train_")]
    return arrays | {f"{name}/{term}": np.array([line[term] for line in lines]) for term in terms}


def fitted(spread: Placement) -> dict[str, np.ndarray]:
    """By Keras' `fit`, which itself refuses a first batch that is uneven."""
    keras.utils.set_random_seed(0)
    with spread.scope():
        model = CASES["mdnrnn"][0]()
        model.compile(keras.optimizers.Adam(0.001, epsilon=1e-4))
    data = tf.data.Dataset.from_tensor_slices(LATENTS).batch(4)
    trained, tested = (
        model.fit(data, epochs=7, verbose=0).history,
        model.evaluate(data, verbose=0, return_dict=True),
    )
    figures = {f"fit/train_{name}": np.array(value) for name, value in trained.items()}
    figures |= {f"fit/test_{name}": np.array(value) for name, value in tested.items()}
    return gather(model.trainable_variables, "fit") | figures


def trained_vame(spread: Placement) -> dict[str, np.ndarray]:
    keras.utils.set_random_seed(0)
    with spread.scope():
        model = vame.rnn_model.RNN_VAE(
            8, 2, 3, True, 2, 3, 3, 3, 3, 0, 0, 0, False, dtype="float64"
        )
        optimizer = vame.rnn_vae.Adam(0.001, epsilon=1e-4)
        optimizer.build(model.trainable_variables)
    windows = vame.data.Windows(
        [np.cumsum(np.random.default_rng(1).standard_normal((3, 60)), axis=1)], 8
    )
    sums = [
        vame.rnn_vae.train(
            windows.drawn(5, STEPS // 2, (0, epoch), (spread.worker, spread.workers)),
            epoch,
            model,
            optimizer,
            "linear",
            1.0,
            0,
            1,
            4,
            True,
            2,
            None,
            reduction,
            reduction,
            2,
            0.1,
            5,
            True,
            placement=spread,
        )[1:6]
        for epoch, reduction in ((1, "sum"), (2, "mean"))
    ]
    return gather(model.trainable_variables, "vame") | {"vame/losses": np.array(sums)}


def save(out: Path, spread: Placement, names: tuple[str, ...]) -> None:
    arrays = {"replicas": np.array(spread.replicas)}
    for name in names:
        arrays |= (
            trained_vame(spread)
            if name == "vame"
            else fitted(spread)
            if name == "fit"
            else trained(name, spread)
        )
    if spread.chief:
        np.savez(out, **arrays)
    spread.wait()


def main(kind: str, out: str, *names: str) -> None:
    out, names = Path(out), names or (*CASES, "vame")
    spread = placement("mirrored" if kind == "both" else kind)
    save(out, spread, names)
    if kind == "both":
        save(out.with_name(f"one_{out.name}"), Placement(), names)


if __name__ == "__main__":
    main(*sys.argv[1:])
