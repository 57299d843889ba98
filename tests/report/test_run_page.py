"""The report of a run: how it is repeated is in it, and a report that fails costs nothing else."""

import keras
import numpy as np
import tensorflow as tf

import seqvae
from kvae.config import KVAE, KVAESettings
from kvae.series_report import _errors_section
from seqvae.commands import Run
from seqvae.report import Section, newest, write_page, write_run_page


def run_in(folder, **settings):
    (folder / "x_kvae").mkdir()
    return Run(
        folder / "x_kvae",
        KVAESettings(**settings),
        command_line_of=lambda settings: KVAE.command_line(settings, "seqvae kvae"),
    )


def test_a_report_has_the_command_the_versions_and_what_the_family_shows(tmp_path):
    run = run_in(tmp_path, run_name="<script>", seed=3, csv="<script>.csv", preset="series")
    line = write_run_page(run, "<script>", lambda: [Section("<script>", paragraphs=["<script>"])])
    page = tmp_path / "x_kvae" / "report.html"
    assert line == f"report: {page}"
    text = page.read_text(encoding="utf-8")
    assert "<script>" not in text and text.count("&lt;script&gt;") >= 5
    assert "seqvae kvae --preset=series" in text and "--seed=3" in text
    for version in (seqvae, keras, tf, np):
        assert version.__version__ in text
    assert "With --deterministic" in text or "with --deterministic" in text


def test_a_report_that_fails_is_named_and_does_not_end_the_run(tmp_path):
    run = run_in(tmp_path)
    line = write_run_page(run, "x", lambda: [][0])
    assert line.startswith(f"NO REPORT: {tmp_path / 'x_kvae' / 'report.html'} could not be written")
    assert "IndexError: list index out of range" in line and "other files of the run are in" in line
    assert not list((tmp_path / "x_kvae").iterdir())


def test_the_newest_of_several_pictures_is_shown(tmp_path):
    for name in ("a_00001.png", "a_00020.png", "b.png"):
        (tmp_path / name).touch()
    found = newest(tmp_path, ("first", "a_*.png"), ("none", "c_*.png"), ("second", "b.png"))
    assert found == [("first", tmp_path / "a_00020.png"), ("second", tmp_path / "b.png")]


def test_a_column_named_as_a_script_is_shown_as_text(tmp_path):
    mine = {"rmse": 0.1, "log_likelihood": None, "each": [0.25]}
    errors = {
        "methods": {"smoothing": mine},
        "baselines": {"mean": mine},
        "inside": 0.3,
        "worse": ["<script> is WORSE"],
        "count": 200,
    }
    write_page(tmp_path / "a.html", "a", [_errors_section("Gaps", errors, ("<script>",))])
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<script>" not in text and "RMSE of &lt;script&gt;" in text
    assert "The intervals are TOO NARROW" in text and "&lt;script&gt; is WORSE." in text
