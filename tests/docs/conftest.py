"""The site of docs/, built once for all tests of this folder."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILDER = ("sphinx", "pydata_sphinx_theme", "myst_nb", "jupytext", "sphinxcontrib.katex")


def installed(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The site, built with notebooks that are not run; sources are copied, since the builder
    writes the API's pages beside them."""
    missing = [name for name in BUILDER if not installed(name)]
    if missing:
        pytest.skip(f"the builder is not installed (pip install '.[docs]'): {', '.join(missing)}")
    tree = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("generated", "__pycache__", "*.npz")
    for folder in ("docs", "assets", "benchmarks", "datasets", "tests/soak/results"):
        shutil.copytree(ROOT / folder, tree / folder, ignore=ignored)
    for path in ROOT.glob("*.md"):
        shutil.copy(path, tree)
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going"]
    words += ["-D", "nb_execution_mode=off", "docs", "site"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tree, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return tree / "site"
