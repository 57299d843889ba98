"""A command: from the words of its command line to its settings, and how it ends.

TensorFlow is not imported before the command line is understood, so that `--help` and mistakes
answer at once.
"""

import contextlib
import dataclasses
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags, logging

from seqvae.commands.run import Run, folder_to_resume, saved_config
from seqvae.commands.settings import Settings, define_flags, help_text, without_replaced

_ERROR, _INTERRUPTED = 2, 130
_ERRORS = (ValueError, OSError, RuntimeError, ArithmeticError)
"""What a command raises for wrong input, in one line; anything else is a defect and ends with a
traceback."""


def parse(
    argv: list[str], settings: type[Settings], switches: tuple[str, ...] = ()
) -> tuple[dict | None, list[str]]:
    """The settings and switches that were given on a command line, or None for `--help`; and the
    words that are no flags.

    Raises:
        absl.flags.Error: an unknown flag, or a value of another type.
    """
    values = flags.FlagValues()
    define_flags(settings, values)
    for name in (*switches, "help"):
        flags.DEFINE_boolean(name, False, "", flag_values=values)
    rest = values(argv)[1:]
    if values["help"].value:
        return None, rest
    return settings.with_new_names(
        {name: values[name].value for name in values if values[name].present}
    ), rest


@contextlib.contextmanager
def errors_in_one_line(name: str, program: str):
    """A block whose errors of wrong input end the process with one line."""
    try:
        yield
    except (flags.Error, *_ERRORS) as error:
        hint = f". See {program} --help." if isinstance(error, flags.Error) else ""
        print(
            f"{Path(name).name}: {str(error).rstrip(' ?.') if hint else error}{hint}",
            file=sys.stderr,
        )
        sys.exit(_ERROR)


@dataclasses.dataclass(frozen=True)
class Command:
    """A program with settings.

    name: ends the name of a run's folder, `<run_name>_<name>`. module: has `run(run: Run)`;
    imported when the settings are known. presets: settings by preset. preset_of: the preset of a
    given flag, where --preset names none. description: the head of
    `--help`; "COMMAND" in it stands for the program.
    """

    name: str
    settings: type[Settings]
    module: str
    description: str
    presets: dict[str, dict] = dataclasses.field(default_factory=lambda: {"": {}})
    preset_of: dict[str, str] = dataclasses.field(default_factory=dict)

    def main(self, argv: list[str], program: str | None = None, **defaults: Any) -> None:
        """Runs the command and exits where it fails.

        Args:
            argv: the program's name, then its flags.
            program: what a user types to run it; default: `python` and the program's name.
            defaults: defaults of settings that the caller changes.
        """
        program = program or f"python {argv[0]}"
        with errors_in_one_line(argv[0], program):
            given, rest = parse(argv, self.settings, ("resume", "overwrite"))
            if given is None:
                print(self.help(program, defaults))
                return
            if rest:
                raise ValueError(f"flags begin with --, got {rest}.")
            options = {name: given.pop(name, False) for name in ("resume", "overwrite")}
            folder, settings = self._configure(defaults, given, options)
            self._until_interrupted(Run(folder, settings, **options), program)

    def help(self, program: str, defaults: dict[str, Any]) -> str:
        """The text of `--help`."""
        presets = ", ".join(name for name in self.presets if name)
        return "\n".join(
            [
                self.description.replace("COMMAND", program),
                help_text(self.settings, defaults),
                "",
                "An earlier run",
                "  --resume                      go on with the run run_name (default: the newest "
                "in log_dir)",
                "  --overwrite                   remove the run of the same name",
                f"\nPresets (--preset): {presets}",
            ]
        )

    def _configure(self, defaults: dict, given: dict, options: dict) -> tuple[Path, Settings]:
        """The run's folder and settings: defaults, then the preset's (or the resumed run's), then
        what was given."""
        base: dict[str, Any] = {
            f.name: f.default for f in dataclasses.fields(self.settings)
        } | defaults
        if options["resume"]:
            folder = folder_to_resume(
                given.get("log_dir", base["log_dir"]), given.get("run_name", ""), self.name
            )
            saved = saved_config(folder / "config.json", self.settings)
            own = {"run_name": folder.name.removesuffix(f"_{self.name}")}
            return folder, self.settings(**base | saved | given | own)
        preset = given.get("preset", "") or next(
            (name for flag, name in self.preset_of.items() if given.get(flag)), ""
        )
        if preset not in self.presets:
            known = ", ".join(name for name in self.presets if name)
            raise ValueError(f"--preset: expected one of {known}, got {preset!r}.")
        config = base | without_replaced(self.presets[preset], given, self.settings) | given
        config["preset"] = preset
        if config["strategy"] == "multiworker" and not config["run_name"]:
            raise ValueError(
                "--run_name: with --strategy=multiworker expected one, the same for all workers."
            )
        config["run_name"] = config["run_name"] or time.strftime("%Y%m%d%H%M%S")
        return Path(config["log_dir"]) / f"{config['run_name']}_{self.name}", self.settings(
            **config
        )

    def _until_interrupted(self, run: Run, program: str) -> None:
        os.environ.setdefault(
            "TF_CPP_MIN_LOG_LEVEL", "3"
        )  # TensorFlow reports every missing CUDA library
        logging.set_verbosity(logging.WARNING)  # and tf.distribute every sum it compiles
        if run.settings.gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = run.settings.gpu
        try:
            run.prepare()
            importlib.import_module(self.module).run(run)
        except KeyboardInterrupt as stop:
            place = f"--log_dir={run.folder.parent} --run_name={run.settings.run_name}"
            print(f"\n{stop or 'stopped'}. Resume with:\n  {program} {place} --resume")
            sys.exit(_INTERRUPTED)
