"""Whether the tests leave the tree as it was."""

import contextlib
import os
from pathlib import Path


def files(root: Path) -> set[str]:
    """The files under `root`, but hidden ones, bytecode, and virtual environments under any
    name."""
    found = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name != "__pycache__"
            and not (Path(folder) / name / "pyvenv.cfg").exists()
        ]
        found |= {
            os.path.relpath(os.path.join(folder, name), root)
            for name in names
            if not name.startswith(".")
        }
    return found


@contextlib.contextmanager
def unchanged(root: Path):
    """A context after which there must be no new file under `root`.

    Raises:
        AssertionError: names the new files.
    """
    before = files(root)
    yield
    new = sorted(files(root) - before)
    assert not new, f"a test left files in the tree: {', '.join(new)}. Write them under tmp_path."
