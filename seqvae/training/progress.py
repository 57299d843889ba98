"""The progress bar of a run: the epoch, the terms of the bound so far in it, and the time the run
has left."""

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn


class RunBar:
    """A bar over all steps of a run. It shows itself only on a terminal; lines printed meanwhile
    stay above it."""

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
        """The first step of a stage is on its way."""
        self._progress.update(
            self._task,
            description=f"epoch {epoch + 1}/{self._epochs}",
            terms=f"compiling the stage {stage}",
            refresh=True,  # tracing leaves the bar's own thread little time
        )

    def show(self, epoch: int, step: int, terms: dict[str, float]) -> None:
        """`step` steps of `epoch` are done; `terms` are the epoch's means so far."""
        self._progress.update(
            self._task,
            description=f"epoch {epoch + 1}/{self._epochs}",
            completed=epoch * self._steps + step,
            terms="  ".join(
                f"{name} {value:.2f}" for name, value in terms.items() if name != "gradient_norm"
            ),
        )
