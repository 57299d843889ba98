"""report.html in a browser: Chromium without a window, where it is installed."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from seqvae.report import write_page
from tests.vrae.test_vame_cards import FOUND, KEYS, LABELS, LINES, SESSIONS, measured
from vrae.vame import Config
from vrae.vame.cards import report

pytestmark = pytest.mark.eager

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs a browser: Debian's `chromium`")
WIDTHS = {"phone": 390, "screen": 1280}
FRAME = """<!DOCTYPE html><body style="margin:0">
<iframe id="page" style="border:0;width:{width}px;height:6000px" srcdoc="{page}"></iframe>
<script>
  document.getElementById("page").onload = (event) => {{
    const page = event.target.contentDocument;
    const wide = [...page.querySelectorAll("body *")].filter((element) =>
      !element.closest("table") && element.getBoundingClientRect().right > {width} + 1);
    document.body.dataset.found = JSON.stringify({{
      scroll: page.documentElement.scrollWidth,
      wide: wide.map((element) => element.tagName),
      broken: [...page.images].filter((image) => !image.naturalWidth).length,
      images: page.images.length,
    }});
  }};
</script></body>"""


@pytest.fixture
def page(tmp_path):
    """A report with groups, training curves, decoded motifs and movies."""
    pytest.importorskip("jinja2")
    measures, codes, windows = measured()
    groups = {"a": "<x>", "b": "y"}
    about = report.Motifs(SESSIONS, codes, windows, LABELS, FOUND, measures, groups, LINES)
    config, movies = Config(**KEYS, length_of_motif_video=8), tmp_path / "movies"
    report.write_motif_movies(movies, SESSIONS, FOUND, config)
    window = SESSIONS["a"].values[:, :8].T
    path = tmp_path / "report.html"
    sections = report.sections_of(
        about, config, decode=lambda z: window[None].repeat(len(z), 0), movies=movies
    )
    write_page(path, "<i>Motifs</i>", sections)
    return path


def browse(path, *flags):
    """What Chromium prints of a file, and what it logs."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--no-first-run", f"--user-data-dir={path.parent / 'profile'}", "--hide-scrollbars"]
    done = subprocess.run(
        [*command, *flags, path.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def asked_for(path):
    """The addresses outside of a page that Chromium asks for, the page's text, and its errors."""
    net = path.parent / f"{path.stem}.json"
    dom, log = browse(path, "--dump-dom", f"--log-net-log={net}", "--virtual-time-budget=3000")
    events = [event.get("params", {}) for event in json.loads(net.read_text())["events"]]
    # the browser's own requests, such as those for updates, come from no origin
    of_page = [p["url"] for p in events if p.get("initiator", "not an origin") != "not an origin"]
    errors = [line for line in log.splitlines() if "CONSOLE" in line]
    return {url for url in of_page if not url.startswith(("data:", "file:"))}, dom, errors


@needs_browser
def test_the_page_opens_without_errors_or_requests(page):
    urls, dom, errors = asked_for(page)
    assert dom.count("<section") > 5 and "<h2>Motif 0</h2>" in dom
    assert not urls and not errors
    other = page.parent / "other.html"  # what the same check finds in a page that is not so
    other.write_text('<img src="http://outside.invalid/a.png"><script>console.error(1)</script>')
    urls, _, errors = asked_for(other)
    assert urls == {"http://outside.invalid/a.png"} and errors


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_page_fits_into_narrow_and_wide_windows(page, width):
    text = html.escape(page.read_text(encoding="utf-8"))
    frame = page.parent / "frame.html"
    frame.write_text(FRAME.format(width=width, page=text), encoding="utf-8")
    dom, log = browse(frame, "--dump-dom", "--window-size=1400,6000", "--virtual-time-budget=3000")
    found = json.loads(html.unescape(re.search(r'data-found="([^"]*)"', dom)[1]))
    assert found["scroll"] <= width and found["wide"] == []
    assert found["broken"] == 0 and found["images"] >= 6
    assert not [line for line in log.splitlines() if "CONSOLE" in line]


@pytest.mark.slow
@needs_browser
def test_the_page_is_drawn(page):
    picture = page.parent / "page.png"
    browse(page, f"--screenshot={picture}", "--window-size=1280,2000")
    from PIL import Image

    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert pixels.shape == (2000, 1280, 3)
    assert 0.01 < (pixels.min(axis=-1) < 128).mean() < 0.5  # text and figures on white
