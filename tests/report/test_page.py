"""A page holds everything it shows, escaped, in well-formed HTML."""

import base64
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from seqvae.plotting import save_video
from seqvae.report import Section, Table, write_page

VOID = {"meta", "img"}


class Page(HTMLParser):
    """The texts of a page by tag, and the data that it shows; every tag is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.sources = [], {}, []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())


def test_a_page_shows_its_sections_and_needs_nothing_else(tmp_path):
    pytest.importorskip("jinja2")
    figure = Figure(figsize=(1, 1))
    save_video(tmp_path / "a.mp4", np.zeros((2, 16, 16, 3), np.uint8))
    save_video(tmp_path / "b.gif", np.zeros((2, 16, 16, 3), np.uint8))
    rows = [["a < b", 1.23456, 7], ["<script>alert(1)</script>", float("nan"), None]]
    sections = [
        Section(
            "First & second",
            judgements=["<i>WORSE</i> than b."],
            paragraphs=["About <b>it</b>."],
            table=Table(["name", "x", "n"], rows),
            code="run --csv='<script>.csv'",
        ),
        Section(
            "Pictures",
            figures=[("figure's", figure)],
            movies=[("moving", tmp_path / "a.mp4"), ("looped", tmp_path / "b.gif")],
        ),
    ]
    write_page(tmp_path / "page.html", "A <title>", sections)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>" not in text and "<b>" not in text and "<i>" not in text
    page = Page(text)
    assert page.texts["h1"] == page.texts["title"] == ["A <title>"]
    assert page.texts["h2"] == page.texts["a"] == ["First & second", "Pictures"]
    assert page.texts["p"] == ["<i>WORSE</i> than b.", "About <b>it</b>."]
    assert page.texts["pre"] == ["run --csv='<script>.csv'"]
    assert page.texts["th"] == ["name", "x", "n", "a < b", "<script>alert(1)</script>"]
    assert page.texts["td"] == ["1.23", "7", "–", "–"]
    assert page.texts["figcaption"] == ["moving", "looped", "figure's"]
    kinds = [source.split(",")[0] for source in page.sources if not source.startswith("#")]
    assert kinds == [f"data:{kind};base64" for kind in ("video/mp4", "image/gif", "image/png")]
    assert base64.b64decode(page.sources[2].split(",")[1]) == (tmp_path / "a.mp4").read_bytes()
    for link in re.findall(r'href="#([^"]+)"', text):
        assert f'id="{link}"' in text
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)


def test_a_movie_too_large_for_a_page_is_named_in_place_of_shown(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name in ("large", "small"):
        size = 64 if name == "large" else 8
        save_video(tmp_path / f"{name}.gif", rng.integers(0, 255, (9, size, size, 3), np.uint8))
    monkeypatch.setattr("seqvae.report.page._LARGEST", 12_000)
    movies = [(name, tmp_path / f"{name}.gif") for name in ("large", "small")]
    write_page(tmp_path / "page.html", "", [Section("a", movies=movies)])
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert Page(text).texts["figcaption"] == ["large (large.gif: too large for this page)", "small"]
    assert text.count("<img") == 1 and len(text) < 16_000


def test_what_is_refused(tmp_path, monkeypatch):
    if "jinja2" in sys.modules or pytest.importorskip("jinja2"):
        with pytest.raises(
            ValueError, match=r"movies: expected a path of \.mp4, \.gif, \.png, got"
        ):
            write_page(tmp_path / "a.html", "", [Section("a", movies=[("", tmp_path / "a.avi")])])
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"a\.html: a page needs Jinja2. Install it: pip inst"):
        write_page(tmp_path / "a.html", "", [])
    assert not list(tmp_path.iterdir())
