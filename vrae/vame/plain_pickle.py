"""Reading the data in a pickle without executing it.

A pickle is a program. Only instructions that make plain values are followed here; a function that
the program would call is returned as its name and arguments.
"""

import pickletools
from typing import Any, NamedTuple

_LITERALS = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINBYTES", "SHORT_BINBYTES"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUT = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_IGNORED = {"PROTO", "FRAME", "STOP"}


class Name(NamedTuple):
    """An object that a pickle would import."""

    name: str
    """`module.name`."""


class Call(NamedTuple):
    """A function that a pickle would call."""

    name: str
    """The function's name; "persistent" for an object stored outside the pickle."""
    arguments: Any
    """Its arguments."""


def read_plain(data: bytes) -> Any:
    """Read a pickle of lists, tuples, dicts, strings, numbers and None.

    Args:
        data: the pickle.

    Returns:
        The value. A call is a `Call`, except for `collections.OrderedDict`, which is a dict.

    Raises:
        ValueError: not a pickle, a damaged one, or one with other instructions.
    """
    try:
        return _Machine().run(data)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a pickle of plain values ({error})") from error


class _Machine:
    """The stack and the memo of a pickle's program."""

    def __init__(self):
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for code, argument, _ in pickletools.genops(data):
            self._step(code.name, argument)
        (value,) = self._stack
        return value

    def _step(self, code: str, argument: Any) -> None:
        stack = self._stack
        if code in _LITERALS:
            stack.append(argument)
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            stack.append(_EMPTY[code]())
        elif code in _TUPLES:
            stack.append(tuple(self._pop(_TUPLES[code])))
        elif code in _PUT:
            self._memo[len(self._memo) if argument is None else int(argument)] = stack[-1]
        elif code not in _IGNORED:
            method = getattr(self, f"_{code.lower()}", None)
            if method is None:
                raise ValueError(f"the instruction {code} is not followed")
            method(argument)

    def _pop(self, count: int) -> list:
        first = len(self._stack) - count
        if first < 0:
            raise ValueError("the stack is empty")
        taken, self._stack[first:] = self._stack[first:], []
        return taken

    def _since_mark(self) -> list:
        return self._pop(len(self._stack) - self._marks.pop())

    def _mark(self, _) -> None:
        self._marks.append(len(self._stack))

    def _tuple(self, _) -> None:
        self._stack.append(tuple(self._since_mark()))

    def _list(self, _) -> None:
        self._stack.append(self._since_mark())

    def _dict(self, _) -> None:
        items = self._since_mark()
        self._stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def _append(self, _) -> None:
        (item,) = self._pop(1)
        self._stack[-1].append(item)

    def _appends(self, _) -> None:
        items = self._since_mark()
        self._stack[-1].extend(items)

    def _setitem(self, _) -> None:
        key, value = self._pop(2)
        self._stack[-1][key] = value

    def _setitems(self, _) -> None:
        items = self._since_mark()
        self._stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _get(self, key) -> None:
        self._stack.append(self._memo[int(key)])

    _binget = _long_binget = _get

    def _global(self, name: str) -> None:
        self._stack.append(Name(name.replace(" ", ".")))

    def _stack_global(self, _) -> None:
        self._stack.append(Name(".".join(self._pop(2))))

    def _reduce(self, _) -> None:
        function, arguments = self._pop(2)
        if function == Name("collections.OrderedDict") and not arguments:
            self._stack.append({})
        else:
            self._stack.append(Call(function.name, arguments))

    def _binpersid(self, _) -> None:
        self._stack.append(Call("persistent", self._pop(1)[0]))

    def _build(self, _) -> None:
        self._pop(1)  # attributes of an object, which plain values do not have
