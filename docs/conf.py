"""Sphinx builds `docs/` into `site/`: `make docs`.

Pages are Markdown (MyST); notebooks are Python files in the percent format. No page may ask
another host for anything: KaTeX's style sheet and fonts are in `_static/katex`, and its scripts
come with sphinxcontrib-katex.
"""

import importlib
import inspect
import itertools
import os
import re
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

from sphinx.util import inspect as inspection
from sphinx.util.nodes import make_refnode

import seqvae

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("seqvae", "kvae", "worldmodels", "vrae")

project = "seqvae"
author = "The seqvae developers"
copyright = f"2026, {author}"
version = release = seqvae.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinxcontrib.katex",
]
exclude_patterns = ["conf.py", "_templates", "_static", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # a function, `own`, is part of the configuration

# Markdown and notebooks
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = False
myst_heading_anchors = 4
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / ".cache" / "notebooks")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_output_stderr = "remove"  # TensorFlow's lines about the processor
nb_ipywidgets_js = {}  # scripts of another host


def own(module_name: str, names: list[str]) -> list[str]:
    """Of the members of a module, those of its `__all__`, or without one those defined in it."""
    module = importlib.import_module(module_name)
    where = {name: getattr(module, name).__module__ for name in names}
    if hasattr(module, "__all__"):
        return [n for n in names if n in module.__all__ and where[n].split(".")[0] in PACKAGES]
    return [name for name in names if where[name] == module_name]


# The API
autosummary_context = {"own": own}
default_role = "code"
autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 88
# Types of other libraries: their pages are not linked, since a link would need their index.
nitpick_ignore_regex = [
    ("py:.*", r"(tf|tfp|tfd|np|keras|absl|collections|gymnasium|hmmlearn|matplotlib|numpy)\..*"),
    (
        "py:.*",
        r"(enum|os|pandas|pathlib|sklearn|scipy|tensorflow|tensorflow_probability|typing)\..*",
    ),
]

# The theme
html_theme = "pydata_sphinx_theme"
html_title = f"seqvae {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_favicon = "_static/icon.svg"
html_math_renderer = "katex"
html_copy_source = False
html_show_sourcelink = False
katex_css_path = "katex/katex.min.css"
html_theme_options = {
    "navbar_end": [],  # no switch of themes: every figure is drawn for a light page
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "light"}
html_sidebars = {"index": [], "start": [], "gallery": []}

# Files of the repository that are pages of the site: the page's own text is replaced by theirs.
PAGES = {
    "benchmarks": "benchmarks/README.md",
    "datasets": "datasets/README.md",
    "glossary": "GLOSSARY.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
}


def with_the_sites_links(text: str, folder: Path) -> str:
    """Markdown in which links to files of the repository are links within the site.

    Args:
        text: of a file in `folder`.
        folder: what its relative links start from.
    """
    page_of = {(ROOT / file).resolve(): f"/{page}.md" for page, file in PAGES.items()}
    page_of[ROOT / "README.md"] = "/index.md"

    def link(match: re.Match) -> str:
        target, _, anchor = match["target"].partition("#")
        if not target or ":" in target or target.startswith("/"):
            return match[0]
        path = (folder / target).resolve()
        if path in page_of:
            target = page_of[path]
        elif path.is_relative_to(ROOT / "docs"):
            target = f"/{path.relative_to(ROOT / 'docs')}"
        else:
            target = os.path.relpath(path, ROOT / "docs")
        return f"]({target}{'#' + anchor if anchor else ''})"

    return re.sub(r"\]\((?P<target>[^)\s]+)\)", link, text)


def _read(app, docname, source):
    file = ROOT / PAGES[docname] if docname in PAGES else Path(app.env.doc2path(docname))
    if file.suffix != ".md":
        return
    if docname in PAGES:
        app.env.note_dependency(str(file))
        source[0] = file.read_text(encoding="utf-8")
    source[0] = with_the_sites_links(source[0], file.parent)


def _resolve(app, env, node, contnode):
    """Finds `kvae.results.Imputed`, as annotations have it, at `kvae.Imputed`, where it is
    documented, and exceptions, which docstrings name alone. What has no page is plain text."""
    target = node.get("reftarget", "")
    raised = node.get("reftype") == "exc" and "." not in target
    if node.get("refdomain") != "py" or not (raised or target.split(".")[0] in PACKAGES):
        return None
    ending = f".{target.rpartition('.')[2]}"
    for name, entry in env.domains.python_domain.objects.items():
        if name.endswith(ending) and (raised or name.split(".")[0] == target.split(".")[0]):
            return make_refnode(
                app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name
            )
    return contnode


def _skip(app, what, name, member, skip, options):
    """Leaves out methods and properties that a class has from another library."""
    function = getattr(member, "fget", None) or getattr(member, "__func__", member)
    module = getattr(function, "__module__", None)
    if inspect.isroutine(function) and module and module.split(".")[0] not in PACKAGES:
        return True
    return None


def _literal(lines: list[str]) -> list[bool]:
    """Which lines of a docstring are in the indented block after a `::`."""
    found, indent = [], None
    for line in lines:
        width = len(line) - len(line.lstrip())
        if indent is not None and line.strip() and width <= indent:
            indent = None
        found.append(indent is not None)
        if indent is None and line.rstrip().endswith("::"):
            indent = width
    return found


def _with_indented_items(lines: list[str]) -> list[str]:
    """Lines in which what continues an item of a list is indented."""
    found, item = [], None
    for line in lines:
        width = len(line) - len(line.lstrip())
        if line.lstrip().startswith("- "):
            item = width
        elif not line.strip() or (item is not None and width < item):
            item = None
        continues = item == width and line[width : width + 2] != "- "
        found.append(f"  {line}" if continues else line)
    return found


def _escaped(prose: str) -> str:
    """Text in which `*`, `|` and a final `_` are themselves, but for what is in backticks."""
    parts = re.split(r"(`+[^`]+`+)", prose)
    parts[::2] = [re.sub(r"([*|]|_(?!\w))", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


_attributes: dict[str, list[str]] = {}
"""Docstrings as napoleon gets them."""


def _plain(app, what, name, obj, options, lines):
    """Makes docstrings reStructuredText, before napoleon reads them."""
    text = _with_indented_items(lines)
    groups = itertools.groupby(zip(text, _literal(text), strict=True), key=lambda pair: pair[1])
    made = []
    for literal, pairs in groups:
        block = "\n".join(line for line, _ in pairs)
        made += (block if literal else _escaped(block)).split("\n")
    lines[:] = made
    _attributes[name] = made


def _whole(app, what, name, obj, options, lines):
    """Puts back an attribute's docstring of which napoleon took the words before a colon for a
    type."""
    if what in ("attribute", "property") and lines and lines[-1].startswith(":type: "):
        lines[:] = _attributes[name]


def _signature(app, what, name, obj, options, signature, returned):
    """The arguments of `__init__` where Keras' `__new__`, which takes any, hides them."""
    if what == "class" and signature == "(*args, **kwargs)":
        found = inspection.signature(obj.__init__, bound_method=True)
        return inspection.stringify_signature(found, unqualified_typehints=True), returned
    return None


def setup(app):
    """Sphinx calls this."""
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _plain, priority=100)
    app.connect("autodoc-process-docstring", _whole, priority=900)
    app.connect("source-read", _read)
    app.connect("missing-reference", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
