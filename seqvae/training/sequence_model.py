"""`SequenceModel`: what `compile`, `fit` and `evaluate` need of a model that the GradientTape loop also trains."""

from typing import NamedTuple

import keras
import tensorflow as tf

from seqvae import replicas
from seqvae.randomness import stateless_seed
from seqvae.training.gradient_step import gradient_step


class SequenceModel(keras.Model):
    """A Keras model of sequences. A subclass gives its `term_names`, `loss_terms` and `objective`.

    Args:
        seed: of the noise where a call gives none.
    """

    term_names: tuple[str, ...]

    def __init__(self, *, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self._seeds = keras.random.SeedGenerator(seed)
        self._compiled = {}
        self._trackers = {name: keras.metrics.Mean(name) for name in ("loss", *self.term_names)}

    def loss_terms(self, batch: dict, *, seed=None, training=True):
        """A NamedTuple of the unweighted terms of the objective, its fields the `term_names`."""
        raise NotImplementedError

    def with_noise(self, batch: dict, seed) -> dict:
        """The batch with what can be drawn of its noise before `loss_terms`. XLA draws other numbers than a plain graph: a
        model whose whole loss it may compile draws them here."""
        del seed
        return batch

    def objective(self, terms) -> tf.Tensor:
        """The loss. The one place where terms are weighted."""
        raise NotImplementedError

    def count(self, batch: dict) -> tf.Tensor:
        """The observed frames in a batch: the weight of its terms in an average over batches."""
        if "mask" in batch:
            return tf.cast(tf.reduce_sum(batch["mask"]), tf.float32)
        any_value = next(iter(batch.values()))
        return tf.cast(tf.reduce_prod(tf.shape(any_value)[:2]), tf.float32)

    def test_terms(self, batch: dict, seed) -> NamedTuple:
        """`loss_terms` outside of training, compiled once for batches of any size; seed: [2] int32."""
        return self._run(self._test_terms, batch, seed)

    def _test_terms(self, batch, seed):
        return self.loss_terms(batch, seed=seed, training=False)

    def train_step(self, data):
        seed = stateless_seed(None, self._seeds)
        with replicas.of_fit(as_batch(data)) as batch:
            step = gradient_step(self, batch, self.trainable_variables, self.optimizer, seed=seed)
            return self._track(batch, step.loss, step.terms)

    def test_step(self, data):
        with replicas.of_fit(as_batch(data)) as batch:
            terms = self.loss_terms(batch, training=False)
            return self._track(batch, self.objective(terms), terms)

    @property
    def metrics(self):
        return list(self._trackers.values())

    def _track(self, batch, loss, terms):
        count = replicas.part_of_sum(self.count(batch))
        for name, value in {"loss": loss, **terms._asdict()}.items():
            self._trackers[name].update_state(value, sample_weight=count)
        return {name: tracker.result() for name, tracker in self._trackers.items()}

    def _run(self, method, *args, jit_compile: bool | None = None):
        """Calls a method through a tf.function of its own: a scan run eagerly takes seconds."""
        name = method.__name__
        if name not in self._compiled:
            # XLA compiles for one shape; a plain graph serves all.
            options = dict(jit_compile=True) if jit_compile else dict(reduce_retracing=True)
            self._compiled[name] = tf.function(method, autograph=False, **options)
        return self._compiled[name](*args)


def as_batch(data) -> dict:
    """What `fit` hands over, as a batch: frames, (frames, mask), or a dict of `frames`, `mask`, `controls`."""
    frames, mask, _ = keras.utils.unpack_x_y_sample_weight(data)
    if isinstance(frames, dict):
        return frames
    return {"frames": frames} if mask is None else {"frames": frames, "mask": mask}
