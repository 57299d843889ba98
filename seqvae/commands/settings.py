"""The settings of a command: a frozen dataclass that states each setting once, as a field.

Flags, `--help`, config.json and the signature of checkpoints are derived from the fields.
"""

import dataclasses
import textwrap
import types
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, ClassVar, dataclass_transform, get_args

from absl import flags


class Affects(Enum):
    """What a setting changes."""

    MODEL = "an argument of the model, under the same name"
    TRAINING = "the numbers that training computes"
    NOTHING = "neither: where files are, what is printed, how long a run is"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base class of all settings.

    A subclass is a group of settings, or the settings of a command, which inherit its groups.
    """

    title: ClassVar[str] = ""
    """The group's heading in `--help`; empty for a class that only joins groups."""

    @classmethod
    def groups(cls) -> list[tuple[str, list[dataclasses.Field]]]:
        """The groups in the order of the command's bases: for each its title and its own fields."""
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
        """List the settings that affect one of `affects`.

        Args:
            *affects: what the settings affect.

        Returns:
            Their names.
        """
        return tuple(
            f.name for _, group in cls.groups() for f in group if f.metadata["affects"] in affects
        )

    def of(self, *affects: Affects) -> dict[str, Any]:
        """Collect the settings that affect one of `affects`.

        Args:
            *affects: what the settings affect.

        Returns:
            Their values by name.
        """
        return {name: getattr(self, name) for name in self.names(*affects)}

    def that_differ(
        self, arguments: dict[str, Any], unused: Collection[str] = ()
    ) -> dict[str, Any]:
        """Compare the settings of the model with the arguments of a loaded model.

        Args:
            arguments: the arguments of the model, from `get_config`.
            unused: settings that do not apply to the run.

        Returns:
            The values of the loaded model where they differ, by the setting's name.
        """
        differ = {}
        for name in self.names(Affects.MODEL):
            value = arguments.get(name)
            if isinstance(value, list | tuple):
                value = ",".join(map(str, value))
            comparable = isinstance(value, str | int | float) and name not in unused
            if comparable and value != getattr(self, name):
                differ[name] = value
        return differ

    @classmethod
    def with_new_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Replace earlier names of settings by the current ones.

        Args:
            values: values by name.

        Returns:
            The same values by their current names.
        """
        current = {
            f.metadata["earlier"]: f.name
            for _, group in cls.groups()
            for f in group
            if f.metadata["earlier"]
        }
        return {current.get(name, name): value for name, value in values.items()}


def without_replaced(
    preset: dict[str, Any], given: dict[str, Any], settings: type[Settings]
) -> dict[str, Any]:
    """Drop the settings of a preset that a given setting replaces.

    Args:
        preset: the preset's values by name.
        given: the values that the user gave, by name.
        settings: the dataclass of the command's settings.

    Returns:
        The remaining values by name.
    """
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
    """Declare a field of a group.

    Args:
        default: the default value. The annotation gives the type: int, float, bool or str, or one
            of them or None.
        help: a phrase for `--help`.
        choices: the allowed strings; with an annotation of int or float, numbers are allowed too.
        affects: what the setting changes; None: as the group.
        earlier: an earlier name, which is still read from the command line and from saved settings.
        replaces: another setting, whose value in a preset is ignored if this one is given.

    Returns:
        A dataclass field.
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
    """Class decorator: make a class of fields a group of settings.

    Args:
        title: the group's heading in `--help`.
        affects: what its settings change, unless a setting says otherwise.

    Returns:
        The decorator.
    """

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
    """Class decorator: make a class that joins groups the settings of a command.

    Args:
        cls: the class.

    Returns:
        The class as a frozen dataclass.
    """
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def define_flags(settings: type[Settings], values: flags.FlagValues) -> None:
    """Define a flag for each setting, with its name, default and help.

    Args:
        settings: the dataclass of the settings.
        values: the flags are added to it.
    """
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
    """Parser of a flag that takes a number or one of some words."""

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
    """The type without None: int for `int | None`."""
    return next((kind for kind in get_args(annotation) if kind is not type(None)), annotation)


def help_text(
    settings: type[Settings], defaults: dict[str, Any] | None = None, width: int = 28
) -> str:
    """Format the flags by group: each with its default and its help.

    Args:
        settings: the dataclass of the settings.
        defaults: defaults that differ from the fields'.
        width: width of the column of flags, in characters.

    Returns:
        The text.
    """
    lines = []
    for title, fields in settings.groups():
        lines += ["", title]
        for field in fields:
            flag = _flag_text(field, (defaults or {}).get(field.name, field.default))
            choices = field.metadata["choices"]
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
