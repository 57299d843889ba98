"""Settings and training for series of which nothing else is known: what `VRAE.for_series` and the
estimators use. The defaults of `VRAE` are the model of 2014; these were found on series of the UCR
and UEA archives (`benchmarks/vrae_archive.py`)."""

import contextlib
import math
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from seqvae.training.gradient_step import gradient_step
from vrae.data import Series, constant_features, scaling_of

STEPS, BATCH, RATE, CLIP = 3000, 32, 2e-3, 5.0
"""Steps of training whatever the number of series, series in a batch, Adam's rate, and the norm at
which gradients are clipped."""
_WARM_UP, _LAST_RATE, _KL_SHARE = 100, 0.02, 0.2
_BLOCK = 50
"""Steps that are one call of a compiled function."""
_BATCHES, _POSITIONS, _COSINES = 32, 8, 32


_FIXED = "fixed; held_out=0.2 compares others."


class Choice(NamedTuple):
    """The arguments of a `VRAE`, and the rules by which they were chosen, a sentence each."""

    options: dict[str, Any]
    rules: list[str]


def choose(series: Series, given: Mapping[str, Any] | None = None) -> Choice:
    """Arguments of a `VRAE` for series, by rules that read their lengths, features and values only.

    Args:
        given: arguments that stay as they are, and decide what goes with them.
    """
    given = dict(given or {})
    choice = _chosen(series, given)
    rules = [rule for rule in choice.rules if rule.split("=")[0] not in given]
    return Choice(choice.options | given, rules)


def _chosen(series: Series, given: dict[str, Any]) -> Choice:
    steps = (series.mask > 0.5).sum(axis=1).astype(int)
    longest, shortest, features = int(steps.max()), int(steps.min()), series.sequences.shape[2]
    observed = series.observed()
    missing = bool((~observed & (series.mask[..., None] > 0.5)).any())
    values = series.sequences[observed]
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    patch = math.ceil(longest / _BATCHES)
    z_size = 8 if features <= 4 else 16 if features <= 10 else 32
    options: dict[str, Any] = dict(
        z_size=z_size,
        rnn="gru",
        rnn_size=64,
        decoder="latent",
        patch=patch,
        positions=_POSITIONS,
        pooling="position",
        logvar_start=-2.0,
        kl_weight=0.1,
        missing=missing,
        hidden=0.1 if missing else 0.0,
        likelihood="bernoulli" if binary else "gaussian",
    )
    rules = [
        f"z_size={z_size}: 8 for up to 4 features, 16 for up to 10, 32 for more; here {features}.",
        f"patch={patch}: at most {_BATCHES} patches; the longest series has {longest} steps.",
    ]
    if missing:
        rules.append("missing=True, hidden=0.1: numbers are missing.")
    if binary:
        rules.append("likelihood='bernoulli': all values are 0 or 1.")
    if not _is_of_numbers(options | given):
        more = {"scaling": scaling_of(series)} if isinstance(given.get("likelihood"), dict) else {}
        return Choice(options | more, rules)
    cosines = min(_COSINES, shortest)
    options |= dict(
        noise="feature",
        noise_var=1.0,
        noise_floor=0.001,
        cosines=cosines,
        mixing=0.5,
        warp=0.05,
        scaling=scaling_of(series),
    )
    rules += [
        f"cosines={cosines}: at most {_COSINES} and the shortest series' {shortest} steps.",
        "likelihood='gaussian', noise='feature': the values are not all 0 or 1.",
        "scaling: mean and deviation of each feature.",
    ]
    fixed = [f"{k}={options[k]:g}" for k in ("mixing", "warp", "noise_floor") if k not in given]
    if fixed:
        rules.append(f"{', '.join(fixed)}: {_FIXED}")
    if given.get("decoder") == "autoregressive":
        options["cosines"] = 0
    constant = [series.feature_names()[i] for i in constant_features(series)]
    if constant:
        rules.append(f"constant, divided by their largest value: {', '.join(constant)}.")
    return Choice(options, rules)


def _is_of_numbers(options: Mapping[str, Any]) -> bool:
    """Whether the likelihood is one that mixing, warp and the linear path go with."""
    return options["likelihood"] in ("gaussian", "student_t")


def rate_share(step: float, steps: int) -> float:
    """The learning rate as a share of its highest: rising in the first 100 steps (of few steps, a
    tenth), then along half a cosine to 2 %."""
    warm_up = min(_WARM_UP, max(1, steps // 10))
    share = min(max((step - warm_up) / max(1, steps - warm_up), 0.0), 1.0)
    falling = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))
    return min((step + 1) / warm_up, falling)


def kl_share(step: float, steps: int) -> float:
    """The KL's share of its final weight: rising from 0 to 1 in the first fifth of the steps."""
    return min(step / max(1.0, _KL_SHARE * steps), 1.0)


def train(
    model: Any,
    batch: dict[str, np.ndarray],
    *,
    steps: int = STEPS,
    batch_size: int = BATCH,
    seed: int = 0,
    jit_compile: bool | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Trains a `VRAE` on the series of a batch: Adam, a warm-up and a cosine, the KL's weight
    rising to the model's `kl_weight`.

    Args:
        jit_compile: by XLA; None: from 2,000 steps on, where half a minute of compiling pays.
        progress: called after every block of steps with their number and their mean loss.

    Returns:
        The mean losses of the blocks.

    Raises:
        ValueError: a value that the model refuses. FloatingPointError: the loss is not finite.
    """
    model.check_batch(batch)
    weight, jit = float(model.kl_weight), steps >= 2000 if jit_compile is None else jit_compile
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(model.trainable_variables)
    tensors = {name: tf.constant(value) for name, value in batch.items()}
    order = np.fromiter(_rows(len(batch["sequences"]), batch_size, steps, seed), dtype=np.int64)
    order = order.reshape(steps, -1)
    rates = tf.constant([RATE * rate_share(i, steps) for i in range(steps)], tf.float32)
    weights = tf.constant(
        [weight * kl_share(i, steps) for i in range(steps)], model.kl_weight.dtype
    )

    def one(step, rows):
        part = {name: tf.gather(value, rows) for name, value in tensors.items()}
        optimizer.learning_rate.assign(rates[step])
        model.kl_weight.assign(weights[step])
        taken = gradient_step(
            model,
            part,
            None,
            optimizer,
            seed=tf.stack([seed, step]),
            clip_norm=CLIP,
            jit_compile=jit,
        )
        return taken.loss

    @tf.function(
        autograph=False,
        input_signature=[
            tf.TensorSpec([None, order.shape[1]], tf.int64),
            tf.TensorSpec([], tf.int32),
        ],
    )
    def block(rows, first):
        def body(i, total):
            return i + 1, total + one(first + i, rows[i])

        count = tf.shape(rows)[0]
        total = tf.while_loop(
            lambda i, _: i < count, body, (0, tf.zeros([], model.variable_dtype))
        )[1]
        return total / tf.cast(count, total.dtype)

    losses = []
    try:
        for first in range(0, steps, _BLOCK):
            losses.append(float(block(order[first : first + _BLOCK], first)))
            if not math.isfinite(losses[-1]):
                raise FloatingPointError(
                    f"steps {first + 1} to {first + _BLOCK}: the loss is not finite. Look for "
                    "outliers in the series, or use a larger noise_floor."
                )
            if progress is not None:
                progress(min(first + _BLOCK, steps), losses[-1])
    finally:
        model.kl_weight.assign(weight)
    return losses


def _rows(count: int, batch_size: int, steps: int, seed: int) -> Iterable[int]:
    """The rows of all batches, one after the other: every pass has each series once. Batches are
    full, and no larger than the set."""
    size, given, number = min(batch_size, count), 0, 0
    while given < steps * size:
        order = np.random.default_rng([seed, number]).permutation(count)
        order = order[: steps * size - given]
        yield from order.tolist()
        given, number = given + len(order), number + 1


def free_bits_of(count: int, z_size: int) -> float:
    """Nats of KL a dimension that cost nothing where nothing else is known: log N in all, the
    information that distinguishes N series, at least 0.1 a dimension. So the KL of a trained model
    stays at that level, also where an autoregressive decoder could do without z."""
    return max(0.1, math.log(count) / z_size)


@contextlib.contextmanager
def seeded(seed: int):
    """Sets Keras' seed. The generators of Python and NumPy are restored afterwards."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


CANDIDATES = (
    {"warp": 0.05, "noise_floor": 1e-3},
    {"warp": 0.0, "noise_floor": 1e-3},
    {"warp": 0.0, "noise_floor": 1e-4},
)
TRIAL_STEPS = 1000
"""Steps of training of a trial model."""


class Trial(NamedTuple):
    """The candidate of the least error, and (candidate, error) of all."""

    best: dict[str, float]
    errors: list[tuple[dict[str, float], float]]

    def applied(self, choice: Choice) -> Choice:
        """The choice with the best candidate."""
        rules = [rule for rule in choice.rules if _FIXED not in rule]
        return Choice(choice.options | self.best, [*rules, self.rule()])

    def rule(self) -> str:
        """The trial in a sentence."""
        if not self.errors:
            return "held_out: nothing to choose; warp and noise_floor are given, or do not apply."
        best, *others = (
            f"{error:.3g} with {', '.join(f'{k}={v:g}' for k, v in each.items())}"
            for each, error in sorted(self.errors, key=lambda pair: pair[1])
        )
        return f"squared error on held-out training series: {best} (chosen); {'; '.join(others)}."


def chosen_on_held_out(
    series: Series,
    options: Mapping[str, Any],
    make: Callable[..., Any],
    *,
    candidates: Iterable[Mapping[str, float]] = CANDIDATES,
    keep: Iterable[str] = (),
    steps: int = TRIAL_STEPS,
    share: float = 0.2,
    seed: int = 0,
) -> Trial:
    """Trains a model with each candidate on a part of the training series, and takes the candidate
    with the least squared error of the reconstructions of the others. (Warp and a large floor spoil
    series with sharp, aligned features.)

    Args:
        series: training series only; series of one id are in the same part.
        options: arguments of the models; candidates replace them.
        make: (features, **options) to a `VRAE`.
        keep: names of options that candidates do not replace.
        share: of the series that is held out.

    Raises:
        ValueError: share is not above 0 and below 1, or there is one series.
    """
    if not 0 < share < 1:
        raise ValueError(f"held_out: expected a share above 0 and below 1, got {share!r}.")
    if len(series.mask) < 2:
        raise ValueError("held_out: expected at least 2 training series, got 1. Use held_out=0.")
    if not _is_of_numbers(options):
        return Trial({}, [])
    kept = set(keep)
    left = [{k: v for k, v in each.items() if k not in kept} for each in candidates]
    distinct = [each for i, each in enumerate(left) if each and each not in left[:i]]
    if len(distinct) < 2:
        return Trial({}, [])
    train_part, held_out = series.split(share, seed)
    scaling = options.get("scaling")
    scale = np.asarray(scaling["deviation"]) if scaling else 1.0
    observed, errors = held_out.observed(), []
    for candidate in distinct:
        with seeded(seed):
            model = make(series.sequences.shape[2], **{**options, **candidate})
            train(model, train_part.batch(), steps=steps, seed=seed)
        made = model.predict(held_out.batch(), verbose=0)
        error = np.square((made - held_out.sequences) / scale)[observed].mean()
        errors.append((candidate, float(error)))
    return Trial(min(errors, key=lambda pair: pair[1])[0], errors)
