"""How the VRAE is trained: named settings of the command's flags, and its figures on test series."""

import tensorflow as tf

from seqvae.data.batches import Batches
from vrae.data import Series
from vrae.model import VRAE

PRESETS: dict[str, dict] = {
    "": {},
    "demo": {"num_epochs": 40, "rnn_size": 64, "annealing_epochs": 10, "decoder": "latent", "noise_var": 0.02},
}
""""": the defaults; "demo": minutes on a laptop, for the balls' paths."""


def arrays(series: Series) -> dict:
    """The series under the names of a batch."""
    return {"sequences": series.sequences, "mask": series.mask}


def evaluate(model: VRAE, series: Series, *, seed: int = 0, batch_size: int = 256) -> dict[str, float]:
    """The bound of test series, means over the sequences, with one draw of z each."""

    sums, count = {}, 0.0
    for i, batch in enumerate(Batches(arrays(series), batch_size, shuffle=False).epoch(0)):
        here = float(model.count(batch))
        for name, value in model.test_terms(batch, tf.constant([seed, i], tf.int32))._asdict().items():
            sums[name] = sums.get(name, 0.0) + here * float(value)
        count += here
    return {name: value / count for name, value in sums.items()}
