"""A tool: a command that makes files in one go, of one argument and settings."""

import dataclasses
import importlib
from typing import Any

from seqvae.commands.command import errors_in_one_line, parse
from seqvae.commands.settings import Settings, help_text


@dataclasses.dataclass(frozen=True)
class Tool:
    """A program that makes files.

    module: has `run(argument: str, settings)`. argument: what the one word beside the flags is, for
    messages.
    description: the head of `--help`; "COMMAND" in it stands for the program.
    """

    settings: type[Settings]
    module: str
    argument: str
    description: str

    def main(self, argv: list[str], program: str | None = None, **defaults: Any) -> None:
        """As `Command.main`."""
        program = program or f"python {argv[0]}"
        with errors_in_one_line(argv[0], program):
            given, rest = parse(argv, self.settings)
            if given is None:
                print(self.description.replace("COMMAND", program))
                print(help_text(self.settings, defaults))
                return
            if len(rest) != 1:
                raise ValueError(f"expected one {self.argument}, got {rest}. See {program} --help.")
            importlib.import_module(self.module).run(rest[0], self.settings(**defaults | given))
