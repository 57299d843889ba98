"""The progress bar of an epoch: the terms of the bound, and the time left."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochBar:
    """A bar over the steps of an epoch; it shows itself only on a terminal."""

    def __init__(self, epoch: int, epochs: int, steps: int, done: int, quiet: bool):
        console = Console()
        self._progress = Progress(
            TextColumn(f"epoch {epoch + 1}/{epochs}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[terms]}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=steps, completed=done, terms="")

    def __enter__(self) -> "EpochBar":
        self._progress.start()
        return self

    def __exit__(self, *error) -> None:
        self._progress.stop()

    def advance(self, terms: dict[str, float]) -> None:
        """One more step; `terms` are the epoch's means so far."""
        shown = "  ".join(f"{name} {value:.2f}" for name, value in terms.items() if name != "gradient_norm")
        self._progress.update(self._task, advance=1, terms=shown)
