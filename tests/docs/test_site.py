"""The pages of docs/: each is reachable, and none asks another host for anything."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.py"))


def pages():
    """Names of all pages, without their endings."""
    found = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    return {name for name in found if not name.startswith(("_", "api/generated"))} | {
        f"notebooks/{path.stem}" for path in NOTEBOOKS
    }


def test_every_page_is_in_one_toctree_and_every_entry_is_a_page():
    entries = []
    for path in DOCS.rglob("*.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
            lines = [line.strip() for line in block.splitlines()]
            entries += [line for line in lines if line and not line.startswith(":")]
    assert sorted(entries) == sorted(pages() - {"index"})


def test_every_public_module_of_the_api_page_exists():
    page = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    names = re.findall(r"^   ([a-z_.]+)$", page, flags=re.MULTILINE)
    assert len(names) > 20
    for name in names:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name


def test_katex_and_its_fonts_are_here():
    folder = DOCS / "_static" / "katex"
    style = (folder / "katex.min.css").read_text(encoding="utf-8")
    fonts = set(re.findall(r"url\((fonts/[^)]+\.woff2)\)", style))
    assert len(fonts) == 20
    assert all((folder / font).exists() for font in fonts)
    assert "http" not in re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_python_with_one_title(path):
    text = path.read_text(encoding="utf-8")
    compile(text, path.name, "exec")
    assert len(re.findall(r"^# # ", text, flags=re.MULTILINE)) == 1
    assert text.startswith("# ---\n# jupyter:")


@pytest.mark.slow
def test_no_page_asks_another_host_for_anything(site):
    html = list(site.rglob("*.html"))
    assert len(html) > 60
    tags = r"<(?:script|link|img|iframe|source|video)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]*)"
    for path in html:
        asked = re.findall(tags, path.read_text(encoding="utf-8"))
        assert not asked, (path.relative_to(site), asked)
    for path in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", path.read_text("utf-8")), (
            path
        )


@pytest.mark.slow
def test_fields_and_formulas_are_rendered(site):
    fields = (site / "api" / "generated" / "kvae.Imputed.html").read_text(encoding="utf-8")
    assert "smoothed" in fields
    for path in (site / "api" / "generated").glob("kvae.*.html"):
        assert "Alias for field number" not in path.read_text(encoding="utf-8"), path.name
    theory = (site / "theory" / "kvae.html").read_text(encoding="utf-8")
    assert theory.count('class="math') > 10
