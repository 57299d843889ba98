"""The log of a run: one JSON line per epoch, and TensorBoard files if TensorBoard is installed."""

import importlib.util
import json
from pathlib import Path

from seqvae.files import atomic_write


class RunLog:
    """`metrics.jsonl` in a folder: one object per epoch, with the key `epoch`.

    Args:
        folder: the run's folder.
        epoch: the first epoch to be written. Later lines, left by a run that was stopped after its
            last checkpoint, are dropped.
    """

    def __init__(self, folder: str | Path, epoch: int = 0):
        self.path = Path(folder) / "metrics.jsonl"
        self._lines = [line for line in self.read() if line["epoch"] < epoch]
        self._write_all()
        self._board = _board(self.path.parent / "tensorboard")

    def read(self) -> list[dict]:
        """All complete lines. A line cut short by a kill is dropped."""
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def write(self, line: dict) -> None:
        """Append an epoch's line. If the file was removed meanwhile, all lines are written again.

        Args:
            line: the figures by name, with `epoch`.

        Raises:
            OSError: the file cannot be written; the message names it.
        """
        self._lines.append(line)
        if not self.path.exists():
            self._write_all()
        else:
            self._append(line)
        if self._board is not None:
            import tensorflow as tf

            with self._board.as_default(step=line["epoch"]):
                for name, value in line.items():
                    if isinstance(value, float):
                        tf.summary.scalar(name, value)
            self._board.flush()

    def _write_all(self) -> None:
        with atomic_write(self.path) as part:
            part.write_text(
                "".join(json.dumps(line) + "\n" for line in self._lines), encoding="utf-8"
            )

    def _append(self, line: dict) -> None:
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot write {self.path}: {error.strerror}. The last checkpoint is whole",
            ) from error


def _board(folder: Path):
    """A TensorBoard writer; None if TensorBoard is not installed (TensorFlow 2.21 does not
    require it).
    """
    if importlib.util.find_spec("tensorboard") is None:
        return None
    import tensorflow as tf

    return tf.summary.create_file_writer(str(folder))
