"""What the commands in `examples` share: common flags, a run's folder and configuration, errors and Ctrl-C.

Nothing here imports TensorFlow before a run starts, so that `--help` answers at once.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from absl import app, flags, logging

if TYPE_CHECKING:
    from seqvae.training import Distribution, Trainer

try:
    import fcntl
except ImportError:  # Windows has none: two processes may there be given the same run
    fcntl = None

PLACEMENT = ("gpu", "strategy", "replicas")
"""Flags that say where a run is, and change nothing in what it computes."""

_ERROR, _INTERRUPTED = 2, 130
_LOCKS = []


def define_flags(presets: str) -> None:
    """The flags that every command has. presets: their names, for the help."""
    flags.disclaim_key_flags()  # they belong to the command that calls: its --help lists them
    flags.DEFINE_integer("seed", 0, "of weights, order, noise and masks")
    flags.DEFINE_boolean("deterministic", False, "the same numbers, bit for bit, on the same machine; slower")
    flags.DEFINE_string("preset", "", f"named settings: {presets}; flags given beside it win")
    flags.DEFINE_string("gpu", "", "GPUs to use, with commas between; -1: none")
    flags.DEFINE_enum(
        "strategy", "one", ["one", "mirrored", "multiworker"],
        "one device; mirrored: every GPU of this machine; multiworker: the processes of TF_CONFIG or of a SLURM step",
    )  # fmt: skip
    flags.DEFINE_integer(
        "replicas", None, "how many GPUs (mirrored; default: all), or logical CPU devices where there is no GPU"
    )
    flags.DEFINE_string("run_name", "", "name of the run; default: the time")
    flags.DEFINE_string(
        "log_dir", "logs", "folder of the run folders", allow_override=True
    )  # absl has one of this name
    flags.DEFINE_boolean("resume", False, "go on with the run run_name (default: the newest in log_dir)")
    flags.DEFINE_boolean("overwrite", False, "remove an earlier run of the same name")
    flags.DEFINE_integer("display_step", 1, "epochs between two printed lines")


def main(
    argv: list[str], names: Iterable[str], family: str, presets: Callable[[], dict], run: Callable[[Path, dict], None]
) -> None:
    """The body of a command: its configuration from the flags `names`, then `run(folder, config)`, and how it ends.

    Args:
        family: ends the name of the run's folder, `<run_name>_<family>`.
        presets: gives flags by preset's name; called once TensorFlow may be imported.
    """
    if len(argv) > 1:
        raise app.UsageError(f"flags begin with --, got {argv[1:]}")
    given = {name: flags.FLAGS[name].value for name in names if flags.FLAGS[name].present}
    defaults = {name: flags.FLAGS[name].default for name in names}
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reports every missing CUDA library
    logging.set_verbosity(logging.WARNING)  # and tf.distribute every sum it compiles
    if gpu := given.get("gpu"):
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    try:
        folder, config = _configure(defaults, given, family, presets())
        _until_interrupted(folder, config, run)
    except (ValueError, OSError, RuntimeError, ArithmeticError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(_ERROR)


def prepare(config: dict):
    """Devices and seeds, before TensorFlow is used: no GPU memory before it is needed, determinism where asked for.

    Returns:
        The `Distribution` in whose scope the model is made.
    """
    import keras
    import tensorflow as tf

    from seqvae.training.distribution import distribution

    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    made = distribution(config["strategy"], config["replicas"])
    keras.utils.set_random_seed(config["seed"])
    if config["deterministic"]:
        tf.config.experimental.enable_op_determinism()
    return made


def claim(folder: Path, distribution: "Distribution") -> None:
    """Makes the run's folder, which is the chief's to write; an earlier run in it is never written over unasked."""
    if not distribution.chief:
        return
    _lock(folder)
    if (folder / "config.json").exists() and not flags.FLAGS.resume:
        if not flags.FLAGS.overwrite:
            raise ValueError(
                f"{folder}: a run of this name is there. Add --resume or --overwrite, or choose another --run_name."
            )
        shutil.rmtree(folder)
    _make(folder)


def start(trainer: "Trainer", folder: Path, config: dict, about: str) -> None:
    """Goes back to the newest checkpoint where --resume asks for it, writes config.json, and says what the run is about."""
    from seqvae.files import write_json

    resumed = flags.FLAGS.resume and trainer.resume()
    if not trainer.distribution.chief:
        return
    if flags.FLAGS.resume and not resumed:
        print("no checkpoint yet: the run starts again from its seed")
    write_json(folder / "config.json", config)
    print(f"{about} -> {folder}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"--log_dir: cannot make the folder {folder} ({error.strerror}). Choose a writable folder."
        ) from error


def _lock(folder: Path) -> None:
    """Keeps other processes from the run until this one ends, however it ends: the kernel gives the lock back."""
    if fcntl is None:
        return
    _make(folder.parent)
    path = folder.with_name(f".{folder.name}.lock")
    try:
        file = open(path, "w")  # noqa: SIM115  (open as long as the process lives)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(
            f"{folder}: another process is training this run. Wait for it, or choose another --run_name."
        ) from None
    except OSError as error:
        raise OSError(f"--log_dir: cannot write {path} ({error.strerror}). Choose a writable folder.") from error
    _LOCKS.append(file)


def saved_config(path: Path) -> dict:
    """The flags of a run by its config.json.

    Raises:
        ValueError: it is damaged.
    """
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(saved, dict):
            raise ValueError("no object of flags")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged ({error}). Write the run's flags into it, or start a new run.") from error
    return saved


def _configure(defaults: dict, given: dict, family: str, presets: dict) -> tuple[Path, dict]:
    """The run's folder and flags: defaults, then the preset's (or the resumed run's), then what was given."""
    if flags.FLAGS.resume:
        folder = _folder_to_resume(given.get("log_dir", defaults["log_dir"]), given.get("run_name", ""), family)
        saved = saved_config(folder / "config.json")
        return folder, defaults | saved | given | {"run_name": folder.name.removesuffix(f"_{family}")}
    preset = given.get("preset", "")
    if preset not in presets:
        raise ValueError(f"--preset: expected one of {', '.join(name for name in presets if name)}, got {preset!r}.")
    config = defaults | presets[preset] | given
    if config["strategy"] == "multiworker" and not config["run_name"]:
        raise ValueError("--run_name: with --strategy=multiworker expected one, the same for all workers.")
    config["run_name"] = config["run_name"] or time.strftime("%Y%m%d%H%M%S")
    return Path(config["log_dir"]) / f"{config['run_name']}_{family}", config


def _folder_to_resume(log_dir: str, run_name: str, family: str) -> Path:
    pattern = f"{run_name or '*'}_{family}/config.json"
    found = sorted(Path(log_dir).glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise ValueError(
            f"--resume: no run {pattern.removesuffix('/config.json')} in {log_dir}. Check --log_dir and --run_name."
        )
    return found[-1].parent


def _until_interrupted(folder: Path, config: dict, run: Callable[[Path, dict], None]) -> None:
    try:
        run(folder, config)
    except KeyboardInterrupt as stop:
        print(
            f"\n{stop or 'stopped'}. Go on with:\n"
            f"  python {sys.argv[0]} --log_dir={folder.parent} --run_name={config['run_name']} --resume"
        )
        sys.exit(_INTERRUPTED)
