"""A tool: a command that takes one argument and settings and trains nothing."""

import dataclasses
import importlib
from typing import Any

from seqvae.commands.command import errors_in_one_line, parse
from seqvae.commands.settings import Settings, help_text


@dataclasses.dataclass(frozen=True)
class Tool:
    """A program that takes one argument besides its flags and trains nothing.

    Attributes:
        settings: the dataclass of its settings.
        module: name of the module with `run(argument: str, settings, **options)`.
        argument: what the argument is, for messages, such as "run folder".
        description: the head of `--help`; "COMMAND" in it stands for the program.
        optional: whether the argument may be left out; it is then "".
        options: other arguments of `run`.
    """

    settings: type[Settings]
    module: str
    argument: str
    description: str
    optional: bool = False
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def main(self, argv: list[str], program: str | None = None, **defaults: Any) -> None:
        """Run the tool; exit the process if it fails.

        Args:
            argv: the program's name, then its flags and the argument.
            program: what a user types to run it; default: `python` and the program's name.
            **defaults: replaced defaults of settings.
        """
        program = program or f"python {argv[0]}"
        with errors_in_one_line(argv[0], program):
            given, rest = parse(argv, self.settings)
            if given is None:
                print(self.description.replace("COMMAND", program))
                print(help_text(self.settings, defaults))
                return
            if len(rest) > 1 or not (rest or self.optional):
                raise ValueError(f"expected one {self.argument}, got {rest}. See {program} --help.")
            settings = self.settings(**defaults | given)
            body = importlib.import_module(self.module)
            body.run(rest[0] if rest else "", settings, **self.options)
