"""A run of a command: its folder, which one process at a time may write, its settings, its devices
and its training.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqvae.training import RunLog, Trainer

try:
    import fcntl
except ImportError:  # Windows has no fcntl: there, two processes can open the same run
    fcntl = None

_LOCKS = []  # open files: Python would close them, and so unlock the runs
_CPUINFO = Path("/proc/cpuinfo")
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}
"""Names in /proc/cpuinfo of the bfloat16 instructions of x86 and Arm processors."""


class Run:
    """One run of a command.

    Args:
        folder: the run's folder.
        settings: the run's settings.
        resume: whether the run continues from its newest checkpoint.
        overwrite: whether an earlier run in the folder is removed.
        command_line_of: returns the command line that gives the settings; None: unknown.

    Attributes:
        folder: the run's folder.
        settings: the run's settings.
        placement: the `Placement` in whose scope the model is made; set by `prepare`.
    """

    def __init__(
        self,
        folder: Path,
        settings: Any,
        *,
        resume: bool = False,
        overwrite: bool = False,
        command_line_of: Callable[[Any], str] | None = None,
    ):
        self.folder, self.settings = folder, settings
        self._command_line_of = command_line_of
        self._resume, self._overwrite = resume, overwrite
        self._locked = False
        self.placement: Any = None

    def prepare(self) -> None:
        """Set up devices and seeds, before TensorFlow is used.

        GPU memory is allocated on demand, float32 is computed in full precision (a GPU's default,
        TF32, uses 11 bits of each number), and operations are deterministic if the settings ask for
        it.
        """
        import keras
        import tensorflow as tf

        from seqvae.replicas import placement

        gpus = tf.config.list_physical_devices("GPU")
        for device in gpus:
            tf.config.experimental.set_memory_growth(device, True)
        if getattr(self.settings, "mixed_precision", False) and not gpus:
            print(_about_bfloat16(_CPUINFO), end="")
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.placement = placement(self.settings.strategy, self.settings.replicas)
        keras.utils.set_random_seed(self.settings.seed)
        if self.settings.deterministic:
            tf.config.experimental.enable_op_determinism()

    def command_line(self) -> str:
        """The command line that gives this run's settings; "" if unknown."""
        return self._command_line_of(self.settings) if self._command_line_of else ""

    def change(self, **settings: Any) -> Any:
        """Replace settings that depend on the data, before config.json is written.

        Args:
            **settings: the new values by name.

        Returns:
            The new settings.
        """
        self.settings = dataclasses.replace(self.settings, **settings)
        return self.settings

    def adopt(self, arguments: dict[str, Any], unused: Collection[str] = ()) -> Any:
        """Take the settings of the model that --reload_model loads, and print those that differ.

        Args:
            arguments: the arguments of the model, from `get_config`.
            unused: settings that do not apply to the run.

        Returns:
            The new settings.
        """
        before, found = self.settings, self.settings.that_differ(arguments, unused)
        differ = ", ".join(
            f"{name}={value} (setting: {getattr(before, name)})"
            for name, value in found.items()
            if getattr(before, name) != ""  # a default that depends on other settings
        )
        if differ and self.placement.chief:
            print(f"--reload_model: the model determines {differ}.")
        return self.change(**found)

    def claim(self) -> None:
        """Make the run's folder. Only the chief worker writes it.

        Raises:
            ValueError: an earlier run is in the folder and neither --resume nor --overwrite was
                given, or another process trains it.
            OSError: the folder cannot be written.
        """
        if not self.placement.chief:
            return
        if not self._locked:
            lock(self.folder)
            self._locked = True
        if (self.folder / "config.json").exists() and not self._resume:
            if not self._overwrite:
                raise ValueError(
                    f"{self.folder}: a run of this name is there. Add --resume or --overwrite, or "
                    "choose another --run_name."
                )
            shutil.rmtree(self.folder)
        _make_folder(self.folder)

    def restart(self) -> None:
        """Remove the run's files, so that training can start over with changed settings."""
        self._resume = False
        if self.placement.chief:
            shutil.rmtree(self.folder)

    def write_config(self) -> None:
        """Write the run's settings to config.json."""
        from seqvae.files import write_json

        write_json(self.folder / "config.json", dataclasses.asdict(self.settings))

    def train(self, trainer: "Trainer", about: str) -> "RunLog | None":
        """Train; with --resume from the newest checkpoint, otherwise from the start.

        Args:
            trainer: a `Trainer`.
            about: a line that says what is trained on what.

        Returns:
            The run's log; None in workers that are not the chief.
        """
        resumed = self._resume and trainer.resume()
        if trainer.placement.chief:
            if self._resume and not resumed:
                print("no checkpoint yet: the run starts again from its seed")
            self.write_config()
            print(f"{about} -> {self.folder}")
        return trainer.run()

    def due(self, epoch: int, step: int) -> bool:
        """Whether an action of period `step` is due after an epoch.

        Args:
            epoch: the epoch, counted from 0.
            step: the period in epochs.

        Returns:
            True after every `step`-th epoch.
        """
        return (epoch + 1) % step == 0


def folder_to_resume(log_dir: str, run_name: str, command: str) -> Path:
    """Find the run to resume.

    Args:
        log_dir: the folder of run folders.
        run_name: the run's name; empty: the newest run.
        command: the command's name, which ends the folder's name.

    Returns:
        The run's folder.

    Raises:
        ValueError: there is no such run.
    """
    pattern = f"{run_name or '*'}_{command}/config.json"
    found = sorted(Path(log_dir).glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(
            f"--resume: no run {pattern.removesuffix('/config.json')} in {log_dir}. Check "
            "--log_dir and --run_name."
        )
    return found[-1].parent


def saved_config(path: Path, settings: type | None = None) -> dict:
    """Read the settings of a run from its config.json.

    Args:
        path: the file.
        settings: the dataclass that the names are checked against; None: no check.

    Returns:
        The settings by name.

    Raises:
        ValueError: the file is damaged, or contains a setting that the command does not have.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(saved, dict):
            raise ValueError("not a JSON object")
        saved = settings.with_new_names(saved) if settings else saved
        unknown = set(saved) - {f.name for f in dataclasses.fields(settings)} if settings else set()
        if unknown:
            raise ValueError(f"unknown settings {', '.join(sorted(unknown))}")
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path}: damaged ({error}). Write the run's settings into it, or start a new run."
        ) from error
    return saved


def lock(folder: Path) -> None:
    """Lock a run against other processes. The kernel releases the lock when this process ends.

    Args:
        folder: the run's folder.

    Raises:
        ValueError: another process holds the lock.
        OSError: the folder cannot be written.
    """
    if fcntl is None:
        return
    _make_folder(folder.parent)
    path = folder.with_name(f".{folder.name}.lock")
    try:
        file = open(path, "w")  # noqa: SIM115  (open as long as the process lives)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"{folder}: another process is training this run. Wait for it, or choose another "
            "--run_name."
        ) from None
    except OSError as error:
        raise OSError(
            f"--log_dir: cannot write {path} ({error.strerror}). Choose a writable folder."
        ) from error
    _LOCKS.append(file)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"--log_dir: cannot make the folder {folder} ({error.strerror}). Choose a writable "
            "folder."
        ) from error


def _about_bfloat16(cpuinfo: Path) -> str:
    """A warning, one line, if the processor emulates bfloat16; "" if it does not, or if that is
    unknown.
    """
    try:
        words = set(cpuinfo.read_text(encoding="utf-8").split())
    except OSError:
        return ""
    if words & _BFLOAT16:
        return ""
    return (
        "--mixed_precision: this processor has no bfloat16 instructions: training is SLOWER than "
        "without it, often several times\n"
    )
