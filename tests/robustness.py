"""Writes docs/robustness.md: every bad input and fault that a test tries, read from the tests' own source.

python -m tests.robustness
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "robustness.md"
_FAULT = re.compile(
    r"kill|full_disk|damaged|interrupt|ctrl|stopped|resum|altered|mutated|removed|read_only|truncated|cut_|worker_without|second_process|clock|cannot_be_written|changes_under"
)
_HEAD = """# What happens when something is wrong

Written by `python -m tests.robustness` from the tests, which try every row; `tests/test_robustness.py` fails when this
page is out of date.

"""


def faults() -> list[tuple[str, str]]:
    """Tests of accidents, by their names: what is said, and the file."""
    found = []
    for path, tree in _trees():
        for test in _tests(tree):
            if _FAULT.search(test.name):
                found.append((test.name.removeprefix("test_").replace("_", " "), path))
    return found


def refusals() -> list[tuple[str, str, str]]:
    """Inputs that are refused: what is given, what the user sees, the file."""
    found = []
    for path, tree in _trees():
        for test in _tests(tree):
            found += [(*row, path) for row in (*_parametrised(test), *_looped(test), *_direct(test))]
    return list(dict.fromkeys(found))


def document() -> str:
    """The page."""
    accidents, wrong = faults(), refusals()
    lines = [_HEAD, f"## Accidents: {len(accidents)} tests\n\n| what happens | tried in |\n|---|---|\n"]
    lines += [f"| {what} | `{path}` |\n" for what, path in accidents]
    lines.append(f"\n## Wrong input: {len(wrong)}\n\n`...` stands for whatever the message says there.\n\n")
    lines.append("| given | what the user sees | tried in |\n|---|---|---|\n")
    lines += [f"| `{_cell(given)}` | {_cell(message)} | `{path}` |\n" for given, message, path in wrong]
    return "".join(lines)


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def _tests(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"))


def _parametrised(test: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Rows of a `parametrize` that has a parameter `message`."""
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.parametrize":
            names = [name.strip() for name in _names(mark.args[0])]
            if "message" in names and isinstance(mark.args[1], (ast.List, ast.Tuple)):
                yield from _rows(names, mark.args[1].elts)


def _looped(test: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """Rows of a `for` whose target has a name `message`."""
    for node in ast.walk(test):
        if (
            isinstance(node, ast.For)
            and isinstance(node.target, ast.Tuple)
            and isinstance(node.iter, (ast.List, ast.Tuple))
        ):
            names = [ast.unparse(part) for part in node.target.elts]
            if "message" in names:
                yield from _rows(names, node.iter.elts)


def _direct(test: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """`with pytest.raises(..., match="...")`: its body, and the message."""
    for node in ast.walk(test):
        for item in node.items if isinstance(node, ast.With) else ():
            call = item.context_expr
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.raises":
                messages = [
                    k.value.value for k in call.keywords if k.arg == "match" and isinstance(k.value, ast.Constant)
                ]
                if messages:
                    yield "; ".join(map(ast.unparse, node.body)), _plain(messages[0])


def _names(node: ast.expr) -> list[str]:
    return node.value.split(",") if isinstance(node, ast.Constant) else [part.value for part in node.elts]


def _rows(names: list[str], entries: list[ast.expr]) -> Iterator[tuple[str, str]]:
    where = names.index("message")
    for entry in entries:
        parts = entry.elts if isinstance(entry, ast.Tuple) else []
        if len(parts) == len(names) and isinstance(parts[where], ast.Constant):
            given = [ast.unparse(part).removeprefix("lambda: ") for i, part in enumerate(parts) if i != where]
            yield ", ".join(given), _plain(parts[where].value)


def _plain(pattern: str) -> str:
    """A regular expression as the text it looks for."""
    text = re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)\.\*", "...", pattern))
    return text.strip("^$")


def _cell(text: str) -> str:
    text = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return text if len(text) <= 160 else text[:157] + "..."


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
