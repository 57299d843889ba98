"""A command: parsing of its command line, its settings, and how it ends.

TensorFlow is imported only after the command line is parsed, so that `--help` and mistakes are
answered at once.
"""

import contextlib
import dataclasses
import importlib
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from absl import flags, logging

from seqvae.commands.run import Run, folder_to_resume, saved_config
from seqvae.commands.settings import Settings, define_flags, help_text, without_replaced

_PLACE_AND_OUTPUT = ("run_name", "log_dir", "display_step")
"""Settings that say where a run is and what it prints."""
_ERROR, _INTERRUPTED = 2, 130
_ERRORS = (ValueError, OSError, RuntimeError, ArithmeticError)
"""Errors that a command raises for wrong input, printed in one line; any other error is a defect
and ends with a traceback.
"""


def parse(
    argv: list[str], settings: type[Settings], switches: tuple[str, ...] = ()
) -> tuple[dict | None, list[str]]:
    """Parse a command line.

    Args:
        argv: the program's name, then its words.
        settings: the dataclass of the command's settings.
        switches: names of flags that are not settings.

    Returns:
        The settings and switches that were given, or None for `--help`; and the words that are not
        flags.

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
    """Context manager: print an error of wrong input in one line and end the process.

    Args:
        name: the program's name, which begins the line.
        program: what a user types to run it, for the hint at `--help`.
    """
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
    """A program that trains a model.

    Attributes:
        name: ends the name of a run's folder, `<run_name>_<name>`.
        settings: the dataclass of its settings.
        module: name of the module with `run(run: Run)`; imported after the settings are parsed.
        description: the head of `--help`; "COMMAND" in it stands for the program.
        presets: the settings of each preset.
        preset_of: the preset that a given flag selects if --preset is not given.
    """

    name: str
    settings: type[Settings]
    module: str
    description: str
    presets: dict[str, dict] = dataclasses.field(default_factory=lambda: {"": {}})
    preset_of: dict[str, str] = dataclasses.field(default_factory=dict)

    def main(self, argv: list[str], program: str | None = None, **defaults: Any) -> None:
        """Run the command; exit the process if it fails.

        Args:
            argv: the program's name, then its flags.
            program: what a user types to run it; default: `python` and the program's name.
            **defaults: replaced defaults of settings.
        """
        program = program or f"python {argv[0]}"
        with errors_in_one_line(argv[0], program):
            given, rest = parse(argv, self.settings, ("resume", "overwrite"))
            if given is None:
                print(self.help(program, defaults))
                return
            if rest:
                raise ValueError(f"expected only flags, which begin with --, got {rest}.")
            options = {name: given.pop(name, False) for name in ("resume", "overwrite")}
            folder, settings = self._configure(defaults, given, options)
            run = Run(
                folder,
                settings,
                **options,
                command_line_of=lambda settings: self.command_line(settings, program, defaults),
            )
            self._until_interrupted(run, program)

    def help(self, program: str, defaults: dict[str, Any]) -> str:
        """Build the text of `--help`.

        Args:
            program: what a user types to run the command.
            defaults: replaced defaults of settings.

        Returns:
            The text.
        """
        presets = ", ".join(name for name in self.presets if name)
        return "\n".join(
            [
                self.description.replace("COMMAND", program),
                help_text(self.settings, defaults),
                "",
                "An earlier run",
                "  --resume                      continue the run run_name (default: the newest "
                "in log_dir)",
                "  --overwrite                   remove the run of the same name",
                f"\nPresets (--preset): {presets}",
            ]
        )

    def command_line(
        self, settings: Settings, program: str, defaults: dict[str, Any] | None = None
    ) -> str:
        """Write the command line that gives settings: its preset, and the flags that differ.

        Args:
            settings: of a run. Its name and folder are left out.
            program: what a user types to run the command.
            defaults: replaced defaults of settings.

        Returns:
            The command line, quoted for a shell.
        """
        wanted = {
            name: value
            for name, value in dataclasses.asdict(settings).items()
            if name not in _PLACE_AND_OUTPUT and value is not None
        }
        given = {"preset": wanted.get("preset", "")}
        # Twice: a flag added in the first pass may drop the preset's value of another setting
        # (`replaces`), which then differs too.
        for _ in range(2):
            config = self._merged(defaults or {}, given)
            given |= {name: value for name, value in wanted.items() if value != config[name]}
        words = [
            _as_flag(name, value) for name, value in given.items() if name != "preset" or value
        ]
        return " ".join([program, *map(shlex.quote, words)])

    def _merged(self, defaults: dict, given: dict) -> dict[str, Any]:
        """Values by name; given ones override those of the preset, which override the defaults."""
        base = {f.name: f.default for f in dataclasses.fields(self.settings)} | defaults
        preset = without_replaced(self.presets.get(given["preset"], {}), given, self.settings)
        return base | preset | given

    def _configure(self, defaults: dict, given: dict, options: dict) -> tuple[Path, Settings]:
        """The run's folder and settings. Later sources override earlier ones: the fields' defaults,
        the preset (or the resumed run), the flags.
        """
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
        config = self._merged(defaults, given | {"preset": preset})
        if config["strategy"] == "multiworker" and not config["run_name"]:
            raise ValueError(
                "--run_name: with --strategy=multiworker expected one, the same for all workers."
            )
        config["run_name"] = config["run_name"] or time.strftime("%Y%m%d%H%M%S")
        return Path(config["log_dir"]) / f"{config['run_name']}_{self.name}", self.settings(
            **config
        )

    def _until_interrupted(self, run: Run, program: str) -> None:
        # TensorFlow reports every missing CUDA library, and tf.distribute every sum it compiles
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.set_verbosity(logging.WARNING)
        if run.settings.gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = run.settings.gpu
        try:
            run.prepare()
            importlib.import_module(self.module).run(run)
        except KeyboardInterrupt as stop:
            place = f"--log_dir={run.folder.parent} --run_name={run.settings.run_name}"
            print(f"\n{stop or 'stopped'}. Resume with:\n  {program} {place} --resume")
            sys.exit(_INTERRUPTED)


def _as_flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value}"
