"""The loop on a model small enough to check by hand."""

import json
import os
import signal
import threading
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqvae.data import Sequences
from seqvae.data.batches import Batches
from seqvae.model import SequenceModel
from seqvae.training import (
    CheckpointError,
    Checkpoints,
    Interrupted,
    NonFiniteError,
    Stage,
    Trainer,
    cosine_decay,
    exponential_decay,
)


class Terms(NamedTuple):
    fit: tf.Tensor
    size: tf.Tensor


class FewTerms(NamedTuple):
    distance: tf.Tensor


class Toy(SequenceModel):
    """A pixel-wise mean with noise, so that order, seeds and slots all leave their mark."""

    term_names = Terms._fields

    def __init__(self):
        super().__init__()
        self.mean = self.add_weight(shape=(2, 2), initializer="zeros", name="mean")
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.fail_at = None

    def loss_terms(self, batch, *, seed):
        if "codes" in batch:
            return FewTerms(
                tf.reduce_mean(
                    (batch["codes"] - self.scale + 0.1 * tf.random.stateless_normal([], seed)) ** 2
                )
            )
        noise = tf.random.stateless_normal([2, 2], seed)
        x = tf.cast(batch["frames"], tf.float32) / 255.0
        fit = tf.reduce_mean((x - self.scale * self.mean - 0.1 * noise) ** 2)
        if self.fail_at is not None:
            fit += tf.where(tf.reduce_any(batch["frames"] == self.fail_at), np.nan, 0.0)
        return Terms(fit, tf.reduce_sum(self.mean**2))

    def objective(self, terms):
        if isinstance(terms, FewTerms):
            return terms.distance
        return terms.fit + 0.01 * terms.size

    def count(self, batch):
        return tf.cast(tf.shape(next(iter(batch.values())))[0], tf.float32)


IMAGES = np.random.default_rng(0).integers(2, 250, (10, 2, 2, 2), dtype=np.uint8)


def codes_of(model):
    """Batches of a stage's own, made from the weights at its beginning: two of them."""
    return Batches(
        {"codes": np.linspace(0, 1, 6, dtype=np.float32) + model.mean.numpy().sum()}, 4, seed=5
    )


def trainer(folder, *, model=None, epochs=(2, 3, 2), images=IMAGES, **options):
    model = model or Toy()
    stages = [
        Stage("mean", epochs[0], (model.mean,)),
        Stage("all", epochs[1], (model.mean, model.scale)),
    ]
    if len(epochs) > 2:
        own = dict(
            batches=lambda: codes_of(model), learning_rate=cosine_decay(0.2, 2), jit_compile=True
        )
        stages.append(Stage("scale", epochs[2], (model.scale,), **own))
    return Trainer(
        model,
        Batches(Sequences(images), 4, seed=1),
        stages,
        checkpoints=Checkpoints(folder / "checkpoints", {"toy": 1}),
        log_folder=folder,
        learning_rate=exponential_decay(0.1, 0.5, 2),
        clip_norm=1.0,
        seed=3,
        quiet=True,
        **options,
    )


def weights(a_trainer):
    return [v.numpy() for v in a_trainer.model.trainable_variables]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    run = trainer(folder)
    run.run()
    return weights(run), [
        json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]


class Stop(Exception):
    pass


def run_until_killed(a_trainer, steps):
    """A run that ends before its next step, without a word."""
    run_step, taken = a_trainer._run_step, []

    def dying_step(batch, bar):
        if len(taken) == steps:
            raise Stop
        taken.append(1)
        run_step(batch, bar)

    a_trainer._run_step = dying_step
    with pytest.raises(Stop):
        a_trainer.run()


def without_time(lines):
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize(
    "steps",
    [
        5,
        17,
        *(pytest.param(steps, marks=pytest.mark.slow) for steps in (0, 1, 3, 8, 14, 15, 16, 18)),
    ],
)
def test_a_run_killed_after_any_step_resumes_to_the_same_weights_and_log(tmp_path, whole, steps):
    run_until_killed(trainer(tmp_path), steps)
    again = trainer(tmp_path)
    assert again.resume() == (steps >= 3)  # three steps make an epoch, and an epoch a checkpoint
    log = again.run()
    for ours, theirs in zip(weights(again), whole[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert without_time(log.read()) == without_time(whole[1])


def test_ctrl_c_ends_after_the_step_with_a_checkpoint_that_resumes_to_the_same_weights(
    tmp_path, whole
):
    before, interrupted = signal.getsignal(signal.SIGINT), trainer(tmp_path)
    run_step = interrupted._run_step

    def step_with_ctrl_c(batch, bar):
        run_step(batch, bar)
        if interrupted.position["epoch"] == 2 and interrupted.position["step"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    interrupted._run_step = step_with_ctrl_c
    with pytest.raises(Interrupted, match="stopped in epoch 3, after step 2"):
        interrupted.run()
    assert signal.getsignal(signal.SIGINT) is before
    again = trainer(tmp_path)
    assert again.resume()
    assert again.position["step"] == 2
    log = again.run()
    for ours, theirs in zip(weights(again), whole[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert without_time(log.read()) == without_time(whole[1])


def test_a_stage_has_its_own_batches_rate_and_terms(whole):
    _, lines = whole
    assert [line["stage"] for line in lines] == ["mean"] * 2 + ["all"] * 3 + ["scale"] * 2
    np.testing.assert_allclose([line["learning_rate"] for line in lines[-2:]], [0.2, 0.1])
    assert {"train_fit", "train_size"} <= lines[4].keys()
    assert "train_distance" in lines[5]
    assert "train_fit" not in lines[5]
    assert lines[6]["train_distance"] < lines[5]["train_distance"]


def test_stages_train_their_variables_only(tmp_path):
    run = trainer(tmp_path, epochs=(2, 0))
    run.run()
    mean, scale = weights(run)
    assert np.abs(mean).max() > 0
    assert scale == 1.0


def test_one_epoch_equals_adam_written_out(tmp_path):
    """Clipping by global norm, Adam with epsilon 1e-8, the rate of the epoch, the partial batch: in
    NumPy."""
    model = Toy()
    run = trainer(tmp_path, model=model, epochs=(0, 1))
    run.run()
    batches = [b["frames"].numpy() for b in Batches(Sequences(IMAGES), 4, seed=1).epoch(0)]
    values = [np.zeros((2, 2)), np.array(1.0)]
    m, v = [0.0, 0.0], [0.0, 0.0]
    reference = Toy()
    for step, frames in enumerate(batches):
        for weight, value in zip(reference.trainable_variables, values, strict=True):
            weight.assign(value)
        with tf.GradientTape() as tape:
            loss = reference.objective(
                reference.loss_terms(
                    {"frames": tf.constant(frames)}, seed=tf.random.fold_in([3, 0], step)
                )
            )
        gradients = [g.numpy() for g in tape.gradient(loss, reference.trainable_variables)]
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        for i, g in enumerate(gradients):
            g = g * min(1.0, 1.0 / norm)
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.999 * v[i] + 0.001 * g**2
            correction = np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
            values[i] = values[i] - 0.1 * correction * m[i] / (np.sqrt(v[i]) + 1e-8)
    for ours, theirs in zip(weights(run), values, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_each_stage_warms_up_also_where_a_run_is_resumed(tmp_path):
    rates = []

    def record(a_trainer):
        run_step = a_trainer._run_step

        def recording_step(batch, bar):
            rates.append(float(a_trainer.optimizer.learning_rate.numpy()))
            run_step(batch, bar)

        a_trainer._run_step = recording_step
        return a_trainer

    first = record(trainer(tmp_path, epochs=(2, 2), warmup_steps=4))
    run_until_killed(first, 3)
    again = record(trainer(tmp_path, epochs=(2, 2), warmup_steps=4))
    del rates[3:]
    assert again.resume()
    again.run()
    stage_1, stage_2 = [0.1 * f for f in (0.25, 0.5, 0.75)], [0.05 * f for f in (0.25, 0.5, 0.75)]
    # three steps an epoch; the killed run's epoch is taken again from its checkpoint
    assert rates[:3] == pytest.approx(stage_1)
    assert rates[3:] == pytest.approx([0.1] * 3 + stage_2 + [0.05] * 3)


def test_the_log_has_a_line_per_epoch_with_the_terms_rate_and_tests(tmp_path):
    seen = []
    run = trainer(
        tmp_path,
        epochs=(2, 3),
        evaluate=lambda: {"elbo": -1.5},
        after_epoch=lambda epoch, log: seen.append(epoch),
    )
    lines = run.run().read()
    assert [line["epoch"] for line in lines] == seen == [0, 1, 2, 3, 4]
    assert [line["learning_rate"] for line in lines] == [0.1, 0.1, 0.05, 0.05, 0.025]
    assert [line["stage"] for line in lines] == ["mean"] * 2 + ["all"] * 3
    assert lines[0]["test_elbo"] == -1.5
    assert {"train_loss", "train_fit", "train_size", "train_gradient_norm", "seconds"} <= set(
        lines[0]
    )
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]


def test_the_seconds_of_an_epoch_are_without_the_first_step_of_its_stage(tmp_path, monkeypatch):
    """It waits for XLA. Three steps an epoch, each of ten seconds by this clock."""
    clock, run = [0.0], trainer(tmp_path, epochs=(2, 1))
    take = run._run_step

    def slow(batch, bar):
        take(batch, bar)
        clock[0] += 10.0

    monkeypatch.setattr(run, "_run_step", slow)
    monkeypatch.setattr("seqvae.training.loop.time.perf_counter", lambda: clock[0])
    assert [line["seconds"] for line in run.run().read()] == [20.0, 30.0, 20.0]


def test_a_loss_that_is_not_finite_stops_the_run_names_the_place_and_keeps_the_weights(tmp_path):
    order = np.random.default_rng([1, 0]).permutation(10)
    images = IMAGES.copy()
    images[order[9]] = (
        255  # alone in the last, partial batch of the first epoch: steps 0 and 1 are fine
    )
    model = Toy()
    model.fail_at = 255
    run = trainer(tmp_path, model=model, epochs=(0, 3), images=images)
    with pytest.raises(
        NonFiniteError, match=r"epoch 1, step 3: loss, fit is not finite.*smaller learning rate"
    ):
        run.run()
    kept = weights(run)
    assert all(np.isfinite(w).all() for w in kept)
    assert np.abs(kept[0]).max() > 0
    arrays, position = Checkpoints(tmp_path / "checkpoints", {"toy": 1}).load_latest()
    np.testing.assert_array_equal(arrays["model/0000/" + model.mean.path], kept[0])
    assert (position["epoch"], position["step"]) == (0, 2)


def test_the_bar_shows_the_epoch_the_terms_and_the_time_left(monkeypatch):
    import io

    from rich.console import Console

    from seqvae.training import progress

    out = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda: Console(file=out, force_terminal=True, width=120)
    )
    with progress.RunBar(epochs=4, steps=10, quiet=False) as bar:
        bar.compiling(2, "all")
        assert "epoch 3/4" in out.getvalue() and "compiling the stage all" in out.getvalue()
        bar.show(2, 5, {"loss": 1.5, "elbo": -2.25, "gradient_norm": 9.0})
    shown = out.getvalue()
    assert "epoch 3/4" in shown
    assert "62%" in shown
    assert "loss 1.50  elbo -2.25" in shown
    assert "gradient_norm" not in shown


def test_a_thread_can_run_it(tmp_path):
    errors = []

    def target():
        try:
            trainer(tmp_path, epochs=(1, 0)).run()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    assert not errors


@pytest.mark.slow
def test_a_run_can_be_made_longer_but_not_so_short_that_its_stage_is_gone(tmp_path, whole):
    trainer(tmp_path, epochs=(2, 1)).run()
    longer = trainer(tmp_path)
    assert longer.resume()
    longer.run()
    for ours, theirs in zip(weights(longer), whole[0], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    shorter = trainer(tmp_path, epochs=(2, 0))
    shorter.stages = shorter.stages[:1]
    with pytest.raises(CheckpointError, match="in the stage 'scale', which this run does not have"):
        shorter.resume()


def test_the_optimiser_can_be_anothers_and_an_epoch_is_announced_where_a_run_is_resumed_too(
    tmp_path,
):
    announced, options = [], dict(epochs=(1, 1), optimizer=lambda: keras.optimizers.SGD(name="sgd"))
    run = trainer(tmp_path, before_epoch=announced.append, **options)
    before = weights(run)
    seen = []
    step = run._run_step
    run._run_step = lambda batch, bar: (step(batch, bar), seen.append(weights(run)))
    run.run()
    assert announced == [0, 1] and run.optimizer.name == "sgd"
    # plain descent, clipped to a norm of 1: no step is longer than the rate
    moves = [
        max(np.abs(a - b).max() for a, b in zip(*pair, strict=True))
        for pair in zip([before, *seen], seen, strict=False)
    ]
    assert 0 < max(moves) <= 0.1 + 1e-6
    again = trainer(tmp_path, before_epoch=announced.append, **options | {"epochs": (1, 2)})
    again.resume()
    again.run()
    assert announced == [0, 1, 2]
