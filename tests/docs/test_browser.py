"""Every page in a headless browser, over http: no error in the console, no request to another
host, no horizontal overflow. One page of each kind by axe-core's rules."""

import functools
import http.server
import shutil
import threading

import pytest

pytestmark = pytest.mark.slow
WIDTHS = (390, 1280)
"""Pixels: a telephone, a laptop."""
KINDS = (
    "index",  # the front page
    "guides",  # an index of pages
    "your_videos",  # a guide
    "theory/kvae",  # formulas
    "notebooks/missing_data",
    "api/index",
    "api/generated/kvae.KVAE",
    "gallery",  # pictures
    "benchmarks",  # wide tables
    "search",
)
"""One page of each kind, by name."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
"""Tags of axe-core's rules: WCAG 2.0 and 2.1, levels A and AA."""
THE_THEMES_OWN = {
    "definition-list",  # Sphinx: a signature of several lines is a <dl> without <dt>
    "summary-name",  # the theme: the arrows of the navigation have no text
}
"""Rules that are broken by what Sphinx or the theme writes, not by a page."""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served."""
    handler = functools.partial(_Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def page():
    """A page of a browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=browser)
        yield started.new_page()
        started.close()


def test_pages_fit_their_window_and_load_without_an_error(site, address, page):
    problems, requested = [], []
    page.on("console", lambda m: m.type == "error" and problems.append((page.url, m.text)))
    page.on("pageerror", lambda error: problems.append((page.url, str(error))))
    page.on("request", lambda request: requested.append(request.url))
    pages = [p for p in sorted(site.rglob("*.html")) if "_static" not in p.parts]
    for path in pages:
        page.set_viewport_size({"width": WIDTHS[0], "height": 800})
        page.goto(f"{address}/{path.relative_to(site)}")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                problems.append((page.url, f"{wide} pixels wide at {width}"))
    assert not problems
    assert all(url.startswith((address, "data:")) for url in requested)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_of_each_kind_is_accessible(site, address, page, width):
    reason = "axe-playwright-python is not installed (pip install '.[docs]')"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason).Axe()
    page.set_viewport_size({"width": width, "height": 800})
    broken = {}
    for name in KINDS:
        assert (site / f"{name}.html").exists(), name
        page.goto(f"{address}/{name}.html")
        found = axe.run(page, options={"runOnly": {"type": "tag", "values": RULES}}).response
        assert len(found["passes"]) > 10, name
        for rule in found["violations"]:
            broken.setdefault(rule["id"], []).append((name, rule["nodes"][0]["target"]))
    assert set(broken) <= THE_THEMES_OWN, broken
