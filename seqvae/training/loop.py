"""The training loop: a run is a sequence of stages and can be killed and resumed at any moment."""

import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from seqvae.data.batches import Batches
from seqvae.data.streams import ShardBatches
from seqvae.randomness import fold
from seqvae.replicas import Placement
from seqvae.training.checkpoints import CheckpointError, Checkpoints
from seqvae.training.epochs import EpochLoop
from seqvae.training.gradient_step import NOT_FINITE, gradient_step, loss_scaled, names
from seqvae.training.progress import RunBar
from seqvae.training.run_log import RunLog
from seqvae.training.schedules import warmup

if TYPE_CHECKING:
    from seqvae.model import SequenceModel

_CURE = "Use a smaller learning rate or max_grad_norm, or larger noise variances."


class NonFiniteError(FloatingPointError):
    """The loss, a term or a gradient is not finite. The weights are those before that step."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C was pressed. The step was finished and a checkpoint written."""


@dataclass(frozen=True)
class Stage:
    """Epochs that train some of the variables, with their own optimiser.

    Attributes:
        name: the stage's name in the log.
        epochs: number of epochs.
        variables: the variables to train, in a fixed order.
        batches: makes the stage's own batches when it starts; None: those of the `Trainer`.
        learning_rate: of an epoch, counted from the stage's first; None: that of the `Trainer`.
        jit_compile: whether XLA compiles the loss and the gradients.
    """

    name: str
    epochs: int
    variables: tuple
    batches: Callable[[], Batches | ShardBatches] | None = None
    learning_rate: Callable[[int], float] | None = None
    jit_compile: bool = False


def _beginning(epoch: int, stage: str | None) -> dict:
    """The position at the start of an epoch.

    `stage` is the stage that was entered last, `step` the number of complete steps, `sums` the sums
    of their figures times their weights, `weight` the sum of the weights.
    """
    return {
        "epoch": epoch,
        "stage": stage,
        "step": 0,
        "sums": [],
        "weight": 0.0,
        "seconds": 0.0,
    }


def _adam() -> keras.optimizers.Optimizer:
    # a fixed name, because checkpoints contain the names of variables
    return keras.optimizers.Adam(epsilon=1e-8, name="adam")


class Trainer(EpochLoop):
    """Trains a `SequenceModel`.

    After every epoch it calls `evaluate()`, writes a line of the log, writes a checkpoint, and
    calls `after_epoch(epoch, log)`. A long epoch also has a checkpoint every `save_seconds`. A
    resumed run uses the same batches and random draws as one that was never stopped.

    Args:
        model: the model.
        batches: the batches of each epoch.
        stages: the stages, in order.
        checkpoints: the run's checkpoints.
        log_folder: the folder of `metrics.jsonl`.
        learning_rate: of an epoch, counted over all stages.
        clip_norm: the largest global norm of the gradients; None: no clipping.
        warmup_steps: the first steps of each stage, in which the learning rate rises linearly from
            near 0 to its value.
        optimizer: makes a stage's optimiser; None: Adam with epsilon 1e-8.
        seed: seed of the random draws.
        evaluate: returns test figures by name.
        before_epoch: called with the epoch's number, also if a run is resumed in that epoch.
        after_epoch: called with the epoch's number and the log.
        placement: the replicas that share each step; the model was made in its scope. With several
            workers, only the chief evaluates, writes, and calls `after_epoch`.
        save_seconds: seconds between two checkpoints within an epoch.
        quiet: whether there is no progress bar.
    """

    def __init__(
        self,
        model: "SequenceModel",
        batches: Batches | ShardBatches,
        stages: list[Stage],
        *,
        checkpoints: Checkpoints,
        log_folder: str | Path,
        learning_rate: Callable[[int], float],
        clip_norm: float | None = None,
        warmup_steps: int = 0,
        optimizer: Callable[[], keras.optimizers.Optimizer] | None = None,
        seed: int = 0,
        evaluate: Callable[[], dict[str, float]] = dict,
        before_epoch: Callable[[int], None] = lambda epoch: None,
        after_epoch: Callable[[int, RunLog], None] = lambda epoch, log: None,
        placement: Placement | None = None,
        save_seconds: float = 600.0,
        quiet: bool = False,
    ):
        super().__init__(
            model,
            checkpoints=checkpoints,
            log_folder=log_folder,
            epochs=sum(stage.epochs for stage in stages),
            steps=len(batches),
            placement=placement,
            quiet=quiet,
        )
        self.batches, self.stages, self.position = batches, stages, _beginning(0, None)
        self._learning_rate, self._clip_norm, self._warmup_steps = (
            learning_rate,
            clip_norm,
            warmup_steps,
        )
        self._make_optimizer, self._seed = optimizer or _adam, tf.constant([seed, 0], tf.int32)
        self._evaluate, self._before_epoch, self._after_epoch = evaluate, before_epoch, after_epoch
        self._save_seconds, self._saved = save_seconds, time.monotonic()
        self._first_step = False  # whether the next step is the first since `_enter_stage`
        # set by `_enter_stage`
        self._take_step: Any = None
        self._stage_batches: Any = None
        self._names: Any = None
        self._stop = False

    def run(self) -> RunLog | None:
        """Train to the end of the last stage.

        Returns:
            The log; None on a worker that is not the chief.

        Raises:
            CheckpointError: this worker resumed another checkpoint than the chief.
            NonFiniteError: names the epoch, the step and the term.
            Interrupted: Ctrl-C was pressed.
            WorkerLost: another worker no longer responds.
        """
        with self._interruptible():
            return super().run()

    def resumed(self) -> None:
        """Enter the checkpoint's stage."""
        if self.position["stage"] is not None:
            self._enter_stage(self._stage_named(self.position["stage"]))

    def after_checkpoint(self, log: RunLog) -> None:
        """Call `after_epoch`.

        Args:
            log: the log.
        """
        self._after_epoch(self.position["epoch"] - 1, log)

    def save(self) -> None:
        """Write a checkpoint; only the chief does."""
        self._saved = time.monotonic()
        super().save()

    def run_epoch(self, bar: RunBar) -> dict:
        """Train for the epoch's remaining steps and evaluate.

        Args:
            bar: the progress bar.

        Returns:
            The log's line.
        """
        epoch = self.position["epoch"]
        stage, epoch_of_stage = self._stage_of(epoch)
        if self.position["stage"] != stage.name:
            bar.compiling(epoch, stage.name)
            self._enter_stage(stage)
        rate = (
            stage.learning_rate(epoch_of_stage)
            if stage.learning_rate
            else self._learning_rate(epoch)
        )
        self._before_epoch(epoch)
        began = time.perf_counter() - self.position["seconds"]
        part = self.placement.worker, self.placement.workers
        for batch in self._stage_batches.epoch(epoch, skip=self.position["step"], part=part):
            step = epoch_of_stage * len(self._stage_batches) + self.position["step"]
            self.optimizer.learning_rate.assign(rate * warmup(step, self._warmup_steps))
            self._run_step(batch, bar)
            if self._first_step:  # not timed, because it includes compilation
                began, self._first_step = time.perf_counter() - self.position["seconds"], False
            self.position["seconds"] = time.perf_counter() - began
            if self._stop or time.monotonic() - self._saved >= self._save_seconds:
                self.save()
            if self._stop:
                raise Interrupted(
                    f"stopped in epoch {epoch + 1}, after step {self.position['step']}"
                )
        return self._end_epoch({"epoch": epoch, "stage": stage.name, "learning_rate": float(rate)})

    def _run_step(self, batch, bar: RunBar) -> None:
        position = self.position
        number = position["epoch"] * len(self.batches) + position["step"]
        total = tf.constant(self._stage_batches.rows(position["step"]))
        folder = self._checkpoints.folder
        cure = f"The last checkpoint is in {folder}: start all workers again with --resume."
        try:
            with self.placement.answering(cure):
                *values, weight = (
                    self._take_step(batch, total, fold(self._seed, number)).numpy().tolist()
                )  # one transfer
        except tf.errors.InvalidArgumentError as error:
            self._raise_with_place(error)
        if not np.isfinite(values).all():
            if self._loss_scale() < 1.0:
                self._raise_non_finite(values)
            # float16 overflowed: the step was skipped, and the next one has a smaller scale
            values, weight = np.zeros_like(values), 0.0
        values = np.array(values)
        sums = np.array(position["sums"] or np.zeros_like(values)) + weight * values
        position |= {
            "step": position["step"] + 1,
            "sums": sums.tolist(),
            "weight": position["weight"] + weight,
        }
        bar.show(position["epoch"], position["step"], self._means())

    def _end_epoch(self, line: dict) -> dict:
        train = {f"train_{name}": value for name, value in self._means().items()}
        seconds = round(self.position["seconds"], 3)
        self.position = _beginning(line["epoch"] + 1, line["stage"])
        figures = self._evaluate() if self.placement.chief else {}
        test = {f"test_{name}": float(value) for name, value in figures.items()}
        return line | {"seconds": seconds} | train | test

    def _enter_stage(self, stage: Stage) -> None:
        """Start a stage: make a new optimiser, as the original programs do, and compile the step
        for the stage's variables.
        """
        self.position["stage"], self._first_step = stage.name, True
        self._stage_batches = stage.batches() if stage.batches else self.batches
        variables = list(stage.variables)
        with self.placement.scope():
            optimizer = loss_scaled(self._make_optimizer(), self.model.dtype_policy)
            optimizer.build(variables)

        def on_replica(batch, seed):
            step = gradient_step(
                self.model,
                batch,
                variables,
                optimizer,
                seed=seed,
                clip_norm=self._clip_norm,
                jit_compile=stage.jit_compile,
            )
            self._names = names(step)
            values = (step.loss, *step.terms, step.gradient_norm, step.count)
            return tf.stack([tf.cast(value, tf.float32) for value in values])

        def take_step(batch, total, seed):
            return self.placement.run(on_replica, batch, total, seed)

        batch = self._stage_batches.epoch(0).element_spec
        signature = [batch, tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int32)]
        self.optimizer = optimizer
        self._take_step = tf.function(take_step, autograph=False, input_signature=signature)
        self._take_step.get_concrete_function()

    def _stage_named(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise CheckpointError(
            f"the checkpoint is in the stage {name!r}, which this run does not have: it asks for "
            "fewer epochs."
        )

    def _stage_of(self, epoch: int) -> tuple[Stage, int]:
        """The stage of an epoch of the run, and the epoch's number within the stage."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage, epoch
            epoch -= stage.epochs
        raise IndexError("epoch past the last stage")

    def _means(self) -> dict[str, float]:
        """Averages over the epoch so far, each batch weighted by its observed frames."""
        means = np.array(self.position["sums"]) / max(self.position["weight"], 1e-30)
        return dict(zip(self._names, means.tolist(), strict=True))

    def _loss_scale(self) -> float:
        """The scale of a `LossScaleOptimizer`; 0 for another optimiser."""
        return float(getattr(self.optimizer, "dynamic_scale", 0.0))

    def _raise_non_finite(self, values: list[float]) -> None:
        bad = [
            name for name, value in zip(self._names, values, strict=True) if not np.isfinite(value)
        ]
        self.save()
        raise NonFiniteError(
            f"{self._place()}: {', '.join(bad)} is not finite. The weights before that step are "
            f"kept in {self._checkpoints.folder}. {_CURE}"
        )

    def _raise_with_place(self, error: tf.errors.InvalidArgumentError) -> None:
        """Raise a failed assertion of `gradient_step` as `NonFiniteError`, or the error itself."""
        if NOT_FINITE not in error.message:
            raise error
        values = error.message.split(NOT_FINITE)[1].splitlines()[0].strip(']" ')
        raise NonFiniteError(
            f"{self._place()}: the loss, a term or the gradient is not finite ({values}). The last "
            f"checkpoint is in {self._checkpoints.folder}. {_CURE}"
        ) from None

    def _place(self) -> str:
        return f"epoch {self.position['epoch'] + 1}, step {self.position['step'] + 1}"

    @contextmanager
    def _interruptible(self):
        """Context manager: Ctrl-C ends the run after the current step; a second Ctrl-C ends it
        at once.
        """

        def stop(signum, frame):
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True

        try:
            before = signal.signal(signal.SIGINT, stop)
        except ValueError:  # not the main thread: only the main thread can handle signals
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
