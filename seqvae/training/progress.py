"""The progress bar of a run: the epoch, its mean terms so far, and the run's remaining time."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class RunBar:
    """A progress bar over all steps of a run.

    It is shown only on a terminal; lines printed meanwhile appear above it.

    Args:
        epochs: epochs of the run.
        steps: steps of an epoch.
        quiet: whether the bar is never shown.
    """

    def __init__(self, epochs: int, steps: int, quiet: bool):
        console = Console()
        self._epochs, self._steps = epochs, steps
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=epochs * steps, terms="")

    def __enter__(self) -> "RunBar":
        self._progress.start()
        return self

    def __exit__(self, *error) -> None:
        self._progress.stop()

    def compiling(self, epoch: int, stage: str) -> None:
        """Show that the first step of a stage is being compiled.

        Args:
            epoch: the epoch, counted from 0.
            stage: the stage's name.
        """
        self._progress.update(
            self._task,
            description=f"epoch {epoch + 1}/{self._epochs}",
            terms=f"compiling the stage {stage}",
            refresh=True,  # now: during tracing the bar's own thread rarely runs
        )

    def show(self, epoch: int, step: int, terms: dict[str, float]) -> None:
        """Show how far the run is.

        Args:
            epoch: the epoch, counted from 0.
            step: steps done in this epoch.
            terms: the epoch's means so far, by name.
        """
        self._progress.update(
            self._task,
            description=f"epoch {epoch + 1}/{self._epochs}",
            completed=epoch * self._steps + step,
            terms="  ".join(
                f"{name} {value:.2f}" for name, value in terms.items() if name != "gradient_norm"
            ),
        )
