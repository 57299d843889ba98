"""The settings of a command: a frozen dataclass whose fields state each setting once.

Flags, `--help`, config.json and the signature of checkpoints are made from the fields.
"""

import dataclasses
import textwrap
import types
from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar, dataclass_transform, get_args

from absl import flags


class Affects(Enum):
    """What changes if a setting does."""

    MODEL = "an argument of the model, under the same name"
    TRAINING = "the numbers that training computes"
    NOTHING = "neither: where files are, what is printed, how long a run is"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The base of all settings. Its subclasses are groups of settings, and the command's class,
    which joins its groups."""

    title: ClassVar[str] = ""

    @classmethod
    def groups(cls) -> list[tuple[str, list[dataclasses.Field]]]:
        """The groups by title, in the order of the command's bases, each with its own fields."""
        own = [
            base
            for base in cls.__mro__
            if issubclass(base, Settings) and "title" in vars(base) and base.title
        ]
        return [
            (
                base.title,
                [f for f in dataclasses.fields(cls) if f.name in vars(base)["__annotations__"]],
            )
            for base in own
        ]

    @classmethod
    def names(cls, *affects: Affects) -> tuple[str, ...]:
        """The names of the settings that affect one of these."""
        return tuple(
            f.name for _, group in cls.groups() for f in group if f.metadata["affects"] in affects
        )

    def of(self, *affects: Affects) -> dict[str, Any]:
        """The settings that affect one of these."""
        return {name: getattr(self, name) for name in self.names(*affects)}

    @classmethod
    def with_new_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Values by name, where earlier names of settings are replaced by today's."""
        today = {
            f.metadata["earlier"]: f.name
            for _, group in cls.groups()
            for f in group
            if f.metadata["earlier"]
        }
        return {today.get(name, name): value for name, value in values.items()}


def without_replaced(
    preset: dict[str, Any], given: dict[str, Any], settings: type[Settings]
) -> dict[str, Any]:
    """The settings of a preset that no given one replaces."""
    fields = dataclasses.fields(settings)
    replaced = {field.metadata["replaces"] for field in fields if field.name in given}
    return {name: value for name, value in preset.items() if name not in replaced}


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    affects: Affects | None = None,
    earlier: str = "",
    replaces: str = "",
) -> Any:
    """A field of a group.

    Args:
        default: its type is the annotation's: int, float, bool, str, or one of them or None.
        help: a phrase for `--help`.
        choices: the strings that are allowed; beside numbers where the annotation has int or float.
        affects: None: what the group says.
        earlier: an earlier name: the flag and saved settings of that name are still read.
        replaces: a setting of which no preset's value counts where this one is given.
    """
    about = {
        "help": help,
        "choices": choices,
        "affects": affects,
        "earlier": earlier,
        "replaces": replaces,
    }
    return dataclasses.field(default=default, metadata=about)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting,))
def group(title: str, affects: Affects = Affects.NOTHING) -> Callable[[type], type]:
    """Makes a class of fields a group of settings with a title for `--help`."""

    def decorate(cls: type) -> type:
        cls.title = title
        for value in vars(cls).values():
            if isinstance(value, dataclasses.Field):
                filled = value.metadata | {"affects": value.metadata["affects"] or affects}
                value.metadata = types.MappingProxyType(filled)
        return dataclasses.dataclass(frozen=True, kw_only=True)(cls)

    return decorate


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting,))
def command_settings(cls: type) -> type:
    """Makes a class that joins groups the settings of a command."""
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def define_flags(settings: type[Settings], values: flags.FlagValues) -> None:
    """A flag for each setting, with its name, default and help."""
    for field in dataclasses.fields(settings):
        default: Any = field.default
        help, choices = field.metadata["help"], field.metadata["choices"]
        number = next((kind for kind in (int, float) if kind in get_args(field.type)), None)
        if choices and number:
            parser = _NumberOrWord(number, choices)
            flags.DEFINE(parser, field.name, default, help, flag_values=values)
        elif choices:
            flags.DEFINE_enum(field.name, default, choices, help, flag_values=values)
        else:
            _DEFINE[_plain_type(field.type)](field.name, default, help, flag_values=values)
        if field.metadata["earlier"]:
            flags.DEFINE_alias(field.metadata["earlier"], field.name, flag_values=values)


class _NumberOrWord(flags.ArgumentParser):
    """A number of one kind, or one of some words."""

    def __init__(self, number: type[int] | type[float], words: tuple[str, ...]):
        self._number, self._words = number, words
        self._kind = "a whole number" if number is int else "a number"
        self.syntactic_help = f"{self._kind} or {', '.join(words)}"

    def flag_type(self) -> str:
        return f"{self._kind} or word"

    def parse(self, argument: str | float) -> str | float:
        if argument in self._words:
            return argument
        try:
            return self._number(argument)
        except ValueError:
            raise ValueError(f"expected {self.syntactic_help}, got {argument!r}") from None


_COLUMNS = 110
_DEFINE = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_boolean,
    str: flags.DEFINE_string,
}


def _plain_type(annotation) -> type:
    """int of `int | None`."""
    return next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)


def help_text(
    settings: type[Settings], defaults: dict[str, Any] | None = None, width: int = 28
) -> str:
    """The flags by group: name with its default, and what it is. defaults: those that differ from
    the fields'."""
    lines = []
    for title, fields in settings.groups():
        lines += ["", title]
        for field in fields:
            flag, choices = (
                _flag_text(field, (defaults or {}).get(field.name, field.default)),
                field.metadata["choices"],
            )
            text = field.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")
            first, *rest = textwrap.wrap(text, _COLUMNS - width - 4)
            head = (
                f"  {flag:{width}}  {first}"
                if len(flag) <= width
                else f"  {flag}\n  {'':{width}}  {first}"
            )
            lines += [head, *(f"  {'':{width}}  {line}" for line in rest)]
    return "\n".join(lines)


def _flag_text(field: dataclasses.Field, default) -> str:
    if _plain_type(field.type) is bool:
        return f"--[no]{field.name} ({'default' if default is None else str(default).lower()})"
    return f"--{field.name}={'' if default is None else default}"
