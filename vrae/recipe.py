"""Settings and training for series without further knowledge, used by `VRAE.for_series` and the
estimators. The defaults of `VRAE` are close to the model of 2014; the settings here were found on
series of the UCR and UEA archives (`benchmarks/vrae_archive.py`).
"""

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
"""Training steps, for any number of series; series in a batch; Adam's learning rate; the norm at
which gradients are clipped."""
_WARM_UP, _LAST_RATE, _KL_SHARE = 100, 0.02, 0.2
_BLOCK = 50
"""Steps that one call of a compiled function takes."""
_BATCHES, _POSITIONS, _COSINES = 32, 8, 32


_FIXED = "fixed; held_out=0.2 compares others."


class Choice(NamedTuple):
    """The chosen arguments of a `VRAE`."""

    options: dict[str, Any]
    """The arguments by name."""
    rules: list[str]
    """A sentence for each rule that was applied."""


def choose(series: Series, given: Mapping[str, Any] | None = None) -> Choice:
    """Choose the arguments of a `VRAE` for series from their lengths, features and values.

    Args:
        series: the training series.
        given: arguments that are kept; the others are chosen to fit them.

    Returns:
        The arguments and the rules.
    """
    given = dict(given or {})
    choice = _chosen(series, given)
    rules = [rule for rule in choice.rules if rule.split("=")[0] not in given]
    return Choice(choice.options | given, rules)


def _chosen(series: Series, given: dict[str, Any]) -> Choice:
    steps = series.lengths()
    longest, shortest, features = int(steps.max()), int(steps.min()), series.sequences.shape[2]
    observed = series.observed()
    missing = bool(series.missing().any())
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
    if not _is_of_numbers({**options, **given}):
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
    """Compute the learning rate as a share of its maximum.

    It rises in the first 100 steps (or a tenth of the steps, if these are fewer), then falls along
    half a cosine to 2 %.

    Args:
        step: the step, counted from 0.
        steps: number of steps.

    Returns:
        The share.
    """
    warm_up = min(_WARM_UP, max(1, steps // 10))
    share = min(max((step - warm_up) / max(1, steps - warm_up), 0.0), 1.0)
    falling = _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))
    return min((step + 1) / warm_up, falling)


def kl_share(step: float, steps: int) -> float:
    """Compute the KL's weight as a share of its final value.

    It rises to 1 in the first fifth of the steps.

    Args:
        step: the step, counted from 0.
        steps: number of steps.

    Returns:
        The share.
    """
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
    """Train a `VRAE` by Adam, with a warm-up and a cosine.

    The KL's weight rises to the model's `kl_weight`.

    Args:
        model: the model.
        batch: the arrays of all series by name.
        steps: number of steps.
        batch_size: series in a batch.
        seed: seed of the order and of the random draws.
        jit_compile: whether XLA compiles the steps; None: from 2,000 steps on, which are worth half
            a minute of compilation.
        progress: called after every block of steps with the steps so far and the block's mean loss.

    Returns:
        The mean losses of the blocks.

    Raises:
        ValueError: a value that the model refuses.
        FloatingPointError: the loss is not finite.
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
    """The rows of all batches, one after another: each pass contains each series once. Batches are
    full and no larger than the set.
    """
    size, given, number = min(batch_size, count), 0, 0
    while given < steps * size:
        order = np.random.default_rng([seed, number]).permutation(count)
        order = order[: steps * size - given]
        yield from order.tolist()
        given, number = given + len(order), number + 1


def free_bits_of(count: int, z_size: int) -> float:
    """Free bits for a number of series: log N nats in all, at least 0.1 per dimension.

    log N is the information that distinguishes N series. The KL of a trained model stays at this
    level, even if an autoregressive decoder could ignore z.

    Args:
        count: number N of series.
        z_size: size of the code.

    Returns:
        Nats per dimension.
    """
    return max(0.1, math.log(count) / z_size)


@contextlib.contextmanager
def seeded(seed: int):
    """Context manager that sets Keras' seed, and restores the generators of Python and NumPy.

    Args:
        seed: the seed.
    """
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
    """Result of trials on held-out series."""

    best: dict[str, float]
    """The candidate with the least error."""
    errors: list[tuple[dict[str, float], float]]
    """Every candidate with its error."""

    def applied(self, choice: Choice) -> Choice:
        """Put the best candidate into a choice.

        Args:
            choice: the choice.

        Returns:
            The choice with the candidate's arguments, and the trial as a rule.
        """
        rules = [rule for rule in choice.rules if _FIXED not in rule]
        return Choice(choice.options | self.best, [*rules, self.rule()])

    def rule(self) -> str:
        """The trial in one sentence."""
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
    """Choose among candidates by the reconstruction error on held-out training series.

    A model is trained with each candidate on a part of the series. (Warp and a large noise floor
    are harmful for series with sharp, aligned features.)

    Args:
        series: training series only; series of one id are in the same part.
        options: arguments of the models; candidates replace them.
        make: function (features, **options) that makes a `VRAE`.
        candidates: arguments to try.
        keep: names of options that candidates do not replace.
        steps: training steps of a trial model.
        share: share of the series that is held out.
        seed: seed of the split and the training.

    Returns:
        The best candidate and the errors of all.

    Raises:
        ValueError: `share` is not between 0 and 1, or there is only one series.
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
