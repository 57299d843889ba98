"""`EpochLoop`: the epochs of a training that can be killed at any moment and resumed."""

from pathlib import Path
from typing import Any

import keras

from seqvae.replicas import Placement
from seqvae.training.checkpoints import CheckpointError, Checkpoints, gather, restore
from seqvae.training.progress import RunBar
from seqvae.training.run_log import RunLog


class EpochLoop:
    """Runs epochs, with a line of the log and a checkpoint after each.

    A subclass defines `run_epoch`. It may extend `finished`, to end the training early, and define
    the hooks `resumed`, `before_checkpoint` and `after_checkpoint`.

    Args:
        model: the model.
        checkpoints: the run's checkpoints.
        log_folder: the folder of `metrics.jsonl`.
        epochs: the largest number of epochs.
        steps: steps of an epoch, for the progress bar and the numbers of checkpoints.
        placement: the replicas that share each step; None: the current strategy. With several
            workers, only the chief writes.
        quiet: whether there is no progress bar.

    Attributes:
        model: the model; its trainable variables are in every checkpoint.
        optimizer: set by the subclass before the first checkpoint, which contains its variables.
        placement: the replicas.
        position: the state of the training besides the variables: JSON values by name, with
            `epoch`, the number of complete epochs. It is in every checkpoint, and a resumed
            training starts with it.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        checkpoints: Checkpoints,
        log_folder: str | Path,
        epochs: int,
        steps: int = 1,
        placement: Placement | None = None,
        quiet: bool = False,
    ):
        self.model, self.placement = model, placement or Placement()
        self.optimizer: Any = None
        self.epochs, self._steps = epochs, steps
        self.position: dict[str, Any] = {"epoch": 0}
        self._checkpoints, self._log_folder, self._quiet = checkpoints, log_folder, quiet

    def run_epoch(self, bar: RunBar) -> dict:
        """Train for an epoch and advance `position`.

        Args:
            bar: the progress bar.

        Returns:
            The log's line: figures by name, with `epoch`, counted from 0. Only the chief's is used.
        """
        raise NotImplementedError

    def finished(self) -> bool:
        """Whether the training ends; all workers must return the same."""
        return self.position["epoch"] >= self.epochs

    def resumed(self) -> None:
        """Called after the model and `position` are restored, before the optimiser is."""

    def before_checkpoint(self, log: RunLog) -> None:
        """Called in the chief after each epoch. A training that is killed here repeats the epoch.

        Args:
            log: the log, with the epoch's line.
        """

    def after_checkpoint(self, log: RunLog) -> None:
        """Called in the chief after the checkpoint: the epoch will not be repeated.

        Args:
            log: the log, with the epoch's line.
        """

    def resume(self) -> bool:
        """Restore the newest checkpoint.

        Returns:
            False if there is no checkpoint.

        Raises:
            CheckpointError: no checkpoint can be read, or it has another signature.
        """
        found = self._checkpoints.load_latest()
        if found is None:
            return False
        arrays, position = found
        restore(self.model.trainable_variables, "model", arrays)
        self.position = {name: position[name] for name in self.position}
        self.resumed()
        if self.optimizer is not None:
            restore(self.optimizer.variables, "optimizer", arrays)
        return True

    def run(self) -> RunLog | None:
        """Train until `finished`.

        Returns:
            The log; None on a worker that is not the chief.

        Raises:
            CheckpointError: this worker resumed another checkpoint than the chief.
            WorkerLost: another worker no longer responds.
        """
        self._check_same_checkpoint()
        log = RunLog(self._log_folder, self.position["epoch"]) if self.placement.chief else None
        with RunBar(self.epochs, self._steps, self._quiet or log is None) as bar:
            while not self.finished():
                line = self.run_epoch(bar)
                if log is not None:
                    log.write(line)
                    self.before_checkpoint(log)
                    self.save()
                    self.after_checkpoint(log)
        return log

    def save(self) -> None:
        """Write a checkpoint; only the chief does."""
        if self.placement.chief:
            arrays = gather(self.model.trainable_variables, "model") | gather(
                self.optimizer.variables, "optimizer"
            )
            self._checkpoints.save(self._steps_done(), arrays, self.position)

    def _steps_done(self) -> int:
        return self.position["epoch"] * self._steps + self.position.get("step", 0)

    def _check_same_checkpoint(self) -> None:
        """Check that this worker starts at the chief's epoch and step."""
        mine = [float(self.position["epoch"]), float(self._steps_done())]
        if self.placement.of_chief(mine) != mine:
            raise CheckpointError(
                f"{self._checkpoints.folder}: worker {self.placement.worker} found another "
                "checkpoint there than the chief. All workers must see the same folder."
            )
