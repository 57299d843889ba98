"""The Python code of pages that no other test runs: it runs from top to bottom."""

import re
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
DOCS = Path(__file__).parents[2] / "docs"
SHAPES = {
    "start": {"filled": (5, 48, 1)},
    "scale": {},
    "vrae_differences": {},
    "theory/kvae": {"a": (2, 6, 2)},
    "theory/worldmodels": {"z": (4, 12, 32)},
    "theory/vrae": {"new": (5, 50, 3)},
    "theory/vame": {"codes": (16, 4)},
}
"""By page: the shapes of some of the results."""


@pytest.mark.parametrize("page", SHAPES)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names = {}
    exec(compile("\n".join(blocks), page, "exec"), names)
    for name, shape in SHAPES[page].items():
        assert np.shape(names[name]) == shape
