"""examples/run_vrae.py as a user runs it: whole, killed, resumed, on a user's own series."""

import contextlib
import csv
import dataclasses
import io
import json
import signal
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from seqvae.cli import main
from seqvae.commands.settings import without_replaced
from seqvae.data.batches import StepBatches
from tests.commands import Done, run, run_here, start
from tests.tolerances import SAME_FLOAT32
from vrae import VRAE, train
from vrae.config import PRESETS, VRAESettings
from vrae.data import pad

SCRIPT = Path(__file__).parents[2] / "examples" / "run_vrae.py"
SMALL = (
    "--csv=mine.csv",
    "--label=kind",
    "--test_fraction=0.4",
    "--z_size=2",
    "--rnn_size=4",
    "--batch_size=4",
    "--num_epochs=3",
    "--annealing_epochs=2",
    "--teacher_forcing=0.5",
    "--deterministic",
    "--seed=1",
    "--picture_step=100",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(0)
    rows = ["sequence,kind,x,y,z,flat"]
    for i in range(12):
        rows += [
            f"{i},{'ab'[i % 2]},{a:.3f},{'' if i == 3 and b < 0 else f'{b:.3f}'},{c:.3f},7"
            for a, b, c in rng.standard_normal((rng.integers(4, 9), 3))
        ]
    (folder / "mine.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    code, out, err = run_here(SCRIPT, "--run_name=whole", *SMALL, cwd=folder)
    assert code == 0, err
    return folder / "logs" / "whole_vrae", out


@pytest.mark.slow
def test_a_run_leaves_what_a_user_looks_for(whole):
    folder, out = whole
    names = {path.name for path in folder.iterdir()}
    assert {
        "config.json",
        "metrics.jsonl",
        "model.keras",
        "series.json",
        "codes.csv",
        "checkpoints",
        "evaluation.json",
        "report.html",
        "training_curves.png",
        "reconstruction_00003.png",
        "samples_00003.png",
        "interpolation_00003.png",
        "latent_space_00003.png",
    } <= names
    figures = json.loads((folder / "evaluation.json").read_text())
    assert {"elbo", "log_px", "kl", "active_units", "mutual_information"} <= set(figures)
    assert {"squared_error", "pca_squared_error", "mean_squared_error", "imputed"} <= set(figures)
    assert set(figures["nearest_neighbour_accuracy"]) == {"z", "pca", "values"}
    assert "6 steps are likely too few: --num_steps=3000" in out
    assert f"test ELBO {figures['elbo']:.2f}" in out and "principal components" in out
    assert out.splitlines()[-1].startswith("report: ")
    assert "constant in the training series: flat." in out and "numbers are missing" in out
    model = keras.models.load_model(folder / "model.keras")
    assert isinstance(model, VRAE) and model.kl_weight == 1.0 and model.teacher_forcing == 0.5
    assert model.missing


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_codes_of_a_run_and_of_the_same_series_in_a_new_file_are_equal(folder, whole):
    """The columns of the new file are in another order, some are new, one is without a label."""
    made = {row["id"]: row for row in rows(whole[0] / "codes.csv")}
    assert len(made) == 12 and {row["set"] for row in made.values()} == {"train", "test"}
    assert {row["label"] for row in made.values()} == {"a", "b"}
    old = rows(folder / "mine.csv")
    names = ("who", "flat", "z", "Y", "x", "sequence")
    lines = [[f"p{r['sequence']}", r["flat"], r["z"], r["y"], r["x"], r["sequence"]] for r in old]
    text = "\n".join(";".join(line) for line in [names, *lines])
    (folder / "new.csv").write_text(text.replace(".", ","))
    options = ("--csv=new.csv", "--out=out", "--num_samples=4")
    for task in ("encode", "impute", "score"):
        done = apply(folder, whole[0], f"--task={task}", *options)
        assert done.returncode == 0, done.stderr
    codes = rows(folder / "out" / "codes.csv")
    assert [row["id"] for row in codes] == [str(i) for i in range(12)]
    for row in codes:
        for name in ("z_0", "z_1"):
            np.testing.assert_allclose(
                float(row[name]), float(made[row["id"]][name]), **SAME_FLOAT32
            )
    imputed = rows(folder / "out" / "imputed.csv")
    empty = [r for r in old if r["y"] == ""]
    assert len(imputed) == len(empty) > 0
    assert {(r["id"], r["feature"]) for r in imputed} == {("3", "y")}
    assert all(float(r["q05"]) < float(r["q95"]) for r in imputed)
    scores = rows(folder / "out" / "scores.csv")
    assert len(scores) == 12 and all(float(r["squared_error"]) > 0 for r in scores)
    assert np.isfinite([float(r["log_likelihood_per_number"]) for r in scores]).all()


def apply(folder, *arguments):
    """`seqvae vrae-apply` in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main(["seqvae", "vrae-apply", *map(str, arguments)])
        except SystemExit as end:
            code = end.code
    return Done(code, out.getvalue(), err.getvalue())


@pytest.mark.slow
def test_new_files_that_do_not_fit_are_refused(folder, whole):
    (folder / "few.csv").write_text("sequence,x,y\na,1,2\n")
    np.savez(folder / "wide.npz", sequences=np.zeros((1, 3, 2)))
    (folder / "hurt").mkdir()
    (folder / "hurt" / "series.json").write_text('{"names": 3}')
    (folder / "other").mkdir()
    about = json.loads((whole[0] / "series.json").read_text())
    about["names"] = ["x"]
    (folder / "other" / "series.json").write_text(json.dumps(about))
    (folder / "other" / "model.keras").write_bytes((whole[0] / "model.keras").read_bytes())
    for arguments, message in (
        ((whole[0], "--csv=few.csv"), "features of the run: expected one of the columns"),
        ((whole[0], "--npz=wide.npz"), "expected 4 features (x, y, z, flat), got 2"),
        ((whole[0],), "--csv, --npz, --ts: expected one of them, got none"),
        ((whole[0], "--ts=GunPoint"), "--ts: "),
        (("nowhere", "--csv=few.csv"), "Expected the folder of a finished run of `vrae`"),
        (("hurt", "--csv=few.csv"), "series.json: damaged"),
        (("other", "--csv=few.csv"), "expected 4 names of features as model.keras has, got 1"),
    ):
        done = apply(folder, *arguments)
        assert done.returncode == 2 and message in done.stderr, done.stderr


@pytest.mark.slow
def test_a_run_that_was_killed_resumes_to_the_same_weights(folder, whole):
    process, killed, end = (
        start(SCRIPT, "--run_name=killed", *SMALL, cwd=folder),
        folder / "logs" / "killed_vrae",
        time.monotonic() + 120,
    )
    while not list(killed.glob("checkpoints/step-*")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    code, _, err = run(SCRIPT, "--run_name=killed", "--resume", cwd=folder)
    assert code == 0, err
    models = [keras.models.load_model(path / "model.keras") for path in (whole[0], killed)]
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(a, b)


def test_series_are_cut_and_made_as_asked_for(folder):
    def read(**options):
        return train.read_series(VRAESettings(**{"sequences": 3, **options}))[0]

    assert read().sequences.shape[2] == 2
    made = read(window=10, stride=5)
    assert made.sequences.shape[1:] == (10, 2) and len(made.labels) == len(made.mask)
    mine, notes = train.read_series(
        VRAESettings(csv=str(folder / "mine.csv"), label="kind", window=6)
    )
    assert any("shorter than a window and left out (series " in note for note in notes), notes
    assert set(mine.labels.tolist()) <= {"a", "b"}
    for options, message in (
        (dict(window=99), "--window: no series has 99 steps"),
        (dict(csv="a", npz="b"), "--csv, --npz, --ts: expected one of them"),
        (dict(ts="none.ts"), "--ts: .*none.ts: no such file"),
        (dict(stride=3), "--stride: expected --window with it"),
        (dict(label="a", drop="b"), "--label, --drop: expected --csv with it"),
    ):
        with pytest.raises(ValueError, match=message):
            read(**options)


def test_a_set_of_the_archives_has_a_split_of_its_own(tmp_path, monkeypatch):
    parts = [pad(np.arange(8.0 * n).reshape(n, 8)) for n in (3, 5)]
    monkeypatch.setattr(train, "read_set", {"Mine": parts}.__getitem__)
    found = train.read_split(VRAESettings(ts="Mine"))
    assert [len(part.mask) for part in found[:2]] == [3, 5] and "archive's split" in found[2][0]
    windows = train.read_split(VRAESettings(ts="Mine", window=4))
    assert [len(part.mask) for part in windows[:2]] == [6, 10]
    path = tmp_path / "a.ts"
    path.write_text("@data\n1,2\n3,4\n5,6\n")
    found = train.read_split(VRAESettings(ts=str(path), test_fraction=0.34))
    assert sorted(len(part.mask) for part in found[:2]) == [1, 2]


def test_epochs_that_are_given_replace_the_steps_of_a_preset():
    preset = without_replaced(PRESETS["series"], {"num_epochs": 25}, VRAESettings)
    assert VRAESettings(**preset | {"num_epochs": 25}).num_steps == 0


def test_windows_are_split_by_series_or_by_time():
    settings = VRAESettings(sequences=6, window=5, test_fraction=0.25)
    series = train.read_series(settings)[0]
    parts = train.split(series, settings)
    assert not set(parts[0].ids) & set(parts[1].ids)
    early, late = train.split(series, dataclasses.replace(settings, split="time"))
    assert set(early.ids) == set(late.ids) == {str(i) for i in range(6)}
    assert len(early.mask) + len(late.mask) == len(series.mask)
    for options, message in (
        (
            dict(split="time", stride=2),
            "--split=time: expected --stride of at least the window's 5",
        ),
        (dict(split="time", window=20), "--window: expected a series of at least 2 windows"),
    ):
        changed = dataclasses.replace(settings, **options)
        with pytest.raises(ValueError, match=message):
            train.split(train.read_series(changed)[0].take(slice(0, 1)), changed)


def test_presets_count_steps_whatever_the_number_of_series():
    """36 series in 100 epochs of one batch were 100 steps."""
    for name in ("demo", "series"):
        settings = VRAESettings(**PRESETS[name])
        for count in (3, 500):
            batches = train._batches(settings, pad(np.zeros((count, 4, 1))))
            assert len(batches) * settings.num_epochs == 3000
            (first, *_) = batches.epoch(0)
            assert len(first["sequences"]) == min(32, count)


def test_blocks_of_steps_have_each_series_once_in_a_pass():
    batches = StepBatches({"sequences": np.arange(7)}, 3, steps=5, seed=1)
    found = [b["sequences"].numpy() for epoch in range(3) for b in batches.epoch(epoch)]
    assert [len(b) for b in found] == [3] * 15
    rows = np.concatenate(found)
    for i in range(6):
        assert sorted(rows[7 * i : 7 * i + 7]) == list(range(7))
    again = [b["sequences"].numpy() for b in batches.epoch(1, skip=2)]
    np.testing.assert_array_equal(again, found[7:10])
    parts = [next(iter(batches.epoch(1, part=(i, 2))))["sequences"].numpy() for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts), found[5])


def test_values_far_from_training_are_named():
    series = pad(np.random.default_rng(0).normal(size=(4, 5, 2)), names=("a", "b"))
    far = series._replace(sequences=series.sequences + np.array([0, 1e4], np.float32))
    (note,) = train._notes_on_values(series, far)
    assert note.startswith("b: a test value is") and "training deviations" in note


def test_schedules():
    for kind, weights in (
        ("none", [1, 1]),
        ("linear", [0, 0.5]),
        ("cyclical", [0, 1]),
        ("auto", [0, 0.25]),  # 20 epochs: the first fifth are 4
    ):
        schedule = train._schedule(VRAESettings(annealing=kind, annealing_epochs=2, num_epochs=20))
        assert [schedule(epoch) for epoch in range(2)] == weights
    series, notes = pad(np.random.default_rng(0).normal(size=(50, 4, 1))), []
    settings = VRAESettings(annealing="auto", z_size=4)
    changed = train._from_the_data(settings, series, series, notes)
    assert changed == {"free_bits": round(np.log(50) / 4, 4)} and "free_bits=0.978" in notes[0]
    given = dataclasses.replace(settings, free_bits=0.2)
    assert train._from_the_data(given, series, series, []) == {}
