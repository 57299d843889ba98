"""`run_kvae.py --csv` and `--npz`: a user's own table, filled, continued, judged; and what it
refuses."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kvae import KVAE, series_train
from kvae.config import KVAESettings
from kvae.series_evaluation import errors_at, with_gaps
from seqvae.saved_models import load_model
from tests.commands import run_here

SCRIPT = Path(__file__).parents[2] / "examples" / "run_kvae.py"
SMALL = ("--num_steps=6", "--num_epochs=2", "--t_steps_mask=3", "--n_steps_gen=5", "--seed=1")


def series(count=6, steps=30, seed=0):
    """[count, steps, 2]: two sines of an object, one large and one small."""
    rng = np.random.default_rng(seed)
    angle = 0.5 * np.arange(steps) + rng.uniform(0, 6, (count, 1))
    both = [100 + 5 * np.sin(angle), 0.1 * np.cos(angle)]
    return np.stack(both, -1) + rng.normal(size=(count, steps, 2)) * [0.1, 0.002]


def write(path, rows, head="id,day,load,level"):
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]), "utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of six objects on uneven days, with empty cells."""
    folder = tmp_path_factory.mktemp("series")
    values = series()
    rows = []
    for i, of_object in enumerate(values):
        for t, (load, level) in enumerate(of_object):
            if t in (9, 10) and i == 2:
                continue  # two days without a row
            level = "" if t == 5 else f"{level:.6f}"
            rows.append([f"tank {i}", 10 + 2 * t, f"{load:.6f}", level])
    write(folder / "tanks.csv", rows)
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    code, out, err = run_here(
        SCRIPT, "--csv=tanks.csv", "--time=day", "--run_name=a", *SMALL, cwd=folder
    )
    assert code == 0, err
    return folder / "logs" / "a_kvae", out


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_table_is_filled_and_continued(folder, whole):
    run, out = whole
    rows = table(run / "imputed.csv")
    assert len(rows) == 6 * 30
    assert list(rows[0]) == [
        "id", "step", "day", "load", "load_low", "load_high", "level", "level_low", "level_high",
    ]  # fmt: skip
    mine = [row for row in rows if row["id"] == "tank 2"]
    assert [float(row["day"]) for row in mine] == [10 + 2 * t for t in range(30)]
    given = series()[2]
    given[9:11], given[5, 1] = np.nan, np.nan
    for t, row in enumerate(mine):
        for k, name in enumerate(("load", "level")):
            assert bool(row[f"{name}_low"]) == bool(np.isnan(given[t, k]))
            if not np.isnan(given[t, k]):
                assert float(row[name]) == pytest.approx(given[t, k], abs=1e-4)
    model = load_model(run / "model.keras", KVAE)
    filled = model.impute(given[None]).smoothed.numpy()[0]
    assert float(mine[9]["load"]) == pytest.approx(filled[9, 0], rel=1e-4)
    low, high = float(mine[9]["load_low"]), float(mine[9]["load_high"])
    assert low < filled[9, 0] < high
    future = table(run / "forecast.csv")
    assert len(future) == 6 * 5 and future[0]["step"] == "30" and future[0]["day"] == "70"
    assert "filled and continued" in out and "2 numbers (load, level)" in out
    assert "the times fit a grid of 2 (--dt)" in out
    assert out.splitlines()[-1].startswith("report: ") and "RMSE of level" in (
        run / "report.html"
    ).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_figures_are_those_of_the_hidden_numbers(folder, whole):
    run, out = whole
    figures = json.loads((run / "imputation.json").read_text())
    for name in ("gap", "forecast"):
        assert 30 <= figures[name]["count"] <= 60  # distinct numbers of one test series
        assert 0 <= figures[name]["inside"] <= 1
        assert figures[name]["names"] == ["load", "level"]
    assert set(figures["gap"]["baselines"]) == {"mean", "last value", "linear interpolation"}
    assert set(figures["forecast"]["baselines"]) == {"mean", "last value"}
    assert ("WORSE" in out) == bool(figures["gap"]["worse"] or figures["forecast"]["worse"])
    names = {path.name for path in run.iterdir()}
    assert {"forecast.png", "imputation_00002.png", "training_curves.png", "config.json"} <= names


@pytest.mark.slow
def test_a_run_resumes_where_it_stopped(folder, whole):
    """The weights of a run that ended after its first block and resumed are those of one that did
    not."""
    half = folder / "logs" / "b_kvae"
    shutil.copytree(whole[0], half)
    (half / "model.keras").unlink()
    sorted((half / "checkpoints").glob("*.npz"))[-1].unlink()
    code, out, err = run_here(SCRIPT, "--run_name=b", "--resume", cwd=folder)
    assert code == 0 and "epoch 2/2" in out and "epoch 1/2" not in out, err
    models = [load_model(folder / "logs" / f"{n}_kvae/model.keras", KVAE) for n in "ab"]
    for one, other in zip(*(m.weights for m in models), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)


@pytest.mark.slow
def test_one_long_series_is_cut_into_windows_and_a_dense_encoder_works(folder):
    values = series(1, 120)[0]
    values[50:60] = np.nan
    np.savez(folder / "one.npz", sequences=values[None], names=np.array(["load", "level"]))
    code, out, err = run_here(
        SCRIPT, "--npz=one.npz", "--series_encoder=dense", "--run_name=c", *SMALL, cwd=folder
    )
    assert code == 0, err
    assert "1 series of up to 120 steps: cut into windows of 20" in out
    rows = table(folder / "logs/c_kvae/imputed.csv")
    assert len(rows) == 120 and rows[55]["load_low"] and not rows[49]["load_low"]


@pytest.mark.slow
def test_dates_few_series_and_constants(folder):
    """Two stations, an hour without rows, a column that says nothing."""
    rows = []
    for station, values in zip("AB", series(2, 48), strict=True):
        for t, (load, _) in enumerate(values):
            if t != 7:
                rows.append([f"2024-03-{1 + t // 24:02d} {t % 24:02d}:00", station, load, 1])
    write(folder / "hours.csv", rows, "time,station,load,flag")
    code, out, err = run_here(
        SCRIPT, "--csv=hours.csv", "--id=station", "--run_name=d", *SMALL, cwd=folder
    )
    assert code == 0, err
    assert (
        "the times fit a grid of 3600 s (--dt)" in out
        and "constant: flag. Not judged; leave" in out
    )
    assert "2 series of up to 48 steps: cut into windows of 20" in out
    filled = table(folder / "logs/d_kvae/imputed.csv")
    assert len(filled) == 2 * 48
    assert (filled[7]["time"], bool(filled[7]["load_low"])) == ("2024-03-01 07:00:00", True)
    future = table(folder / "logs/d_kvae/forecast.csv")
    assert (future[0]["station"], future[0]["time"]) == ("A", "2024-03-03 00:00:00")
    figures = json.loads((folder / "logs/d_kvae/imputation.json").read_text())["gap"]
    for errors in (figures["methods"] | figures["baselines"]).values():
        load, flag = errors["each"]
        assert load > 0 and flag is None
    mean = figures["baselines"]["mean"]
    normal = -0.5 * (np.log(2 * np.pi * mean["each"][0] ** 2) + 1)  # of the load alone
    assert mean["log_likelihood"] == pytest.approx(normal, rel=1e-5)
    given = [row[2] for row in rows if row[1] == "A"]
    kept = [float(row["load"]) for row in filled[:48] if not row["load_low"]]
    np.testing.assert_allclose(kept, given, rtol=1e-7)


@pytest.mark.slow
def test_days_are_written_as_days_and_what_is_left_out_is_said(folder):
    rows = [[f"2024-0{1 + t // 30}-{1 + t % 30:02d}", x[0]] for t, x in enumerate(series(1, 87)[0])]
    rows = [row for row in rows if row[0] != "2024-02-30"]
    write(folder / "days.csv", rows, "date,load")
    code, out, err = run_here(SCRIPT, "--csv=days.csv", "--run_name=e", *SMALL, cwd=folder)
    assert code == 0, err
    assert "fill no window and are left out" in out
    filled = table(folder / "logs/e_kvae/imputed.csv")
    assert filled[0]["date"] == "2024-01-01" and filled[31]["date"] == "2024-02-01"


def test_months_are_an_even_grid_with_their_dates(folder):
    """Sixty months of different lengths, three without a row."""
    months = [m for m in range(60) if m not in (3, 4, 30)]
    rows = [[f"{2019 + m // 12}-{1 + m % 12:02d}-01", m % 7] for m in months]
    write(folder / "months.csv", rows, "Month,load")
    data = series_train.read(KVAESettings(csv=str(folder / "months.csv"), time="Month"))
    assert data.whole.sequences.shape == (1, 60, 1) and data.head == ("id", "Month")
    seen = np.isfinite(data.whole.sequences[0, :, 0])
    np.testing.assert_array_equal(np.flatnonzero(seen), months)
    assert "the dates are of calendar months: a step is 1 month." in data.notes
    assert data.clock is not None
    assert [data.clock.time(0, t) for t in (0, 13, 60)] == [
        "2019-01-01",
        "2020-02-01",
        "2024-01-01",
    ]


def test_years_without_a_leap_day_are_calendar_years(folder):
    """Three years of 365 days are even in seconds; the fourth, a leap year, is not."""
    rows = [[i, f"{year}-12-31", i + year % 7] for i in range(6) for year in (2013, 2014, 2015)]
    write(folder / "years.csv", rows, "id,date,load")
    data = series_train.read(KVAESettings(csv=str(folder / "years.csv")))
    assert "the dates are of calendar months: a step is 12 months." in data.notes
    assert data.clock is not None
    assert [data.clock.time(0, t) for t in (0, 2, 3)] == ["2013-12-31", "2015-12-31", "2016-12-31"]


@pytest.mark.slow
def test_a_reloaded_model_keeps_its_sizes_and_the_run_says_so(folder, whole):
    code, out, err = run_here(
        SCRIPT, "--csv=tanks.csv", "--time=day", "--run_name=again", *SMALL, "--K=3",
        f"--reload_model={whole[0] / 'model.keras'}", cwd=folder,
    )  # fmt: skip
    assert code == 0, err
    assert "--reload_model: the model determines K=1 (setting: 3)." in out
    config = json.loads((folder / "logs" / "again_kvae" / "config.json").read_text())
    assert config["K"] == 1


def errors_by_hand(guess, values, hidden):
    return np.sqrt(np.mean((guess[hidden] - values[hidden]) ** 2))


@pytest.mark.slow
def test_errors_against_a_plain_computation():
    values = series(5, 40).astype(np.float32)
    values[1, 7, 0] = np.nan
    model = KVAE.for_series(values)
    many, hidden, sources = with_gaps(values, 6, 4, seed=0)
    assert len(many) == len(hidden) >= 5 and (hidden.sum(axis=1) == 6).all()
    assert not hidden[:, :4].any() and not hidden[:, -4:].any()
    found = errors_at(model, many, hidden, sources)
    assert found is not None
    known = np.isfinite(many[..., 1]) & hidden
    given = np.where(hidden, np.nan, many[..., 1])
    steps, linear = np.arange(40), np.empty_like(given)
    for row, guess in zip(given, linear, strict=True):
        seen = np.isfinite(row)
        guess[:] = np.interp(steps, steps[seen], row[seen])
    expected = errors_by_hand(linear, many[..., 1], known)
    assert found.baselines["linear interpolation"].each[1] == pytest.approx(expected, rel=1e-4)
    smoothed = model.impute(np.where(hidden[..., None], np.nan, many)).smoothed.numpy()
    expected = errors_by_hand(smoothed[..., 1], many[..., 1], known)
    assert found.methods["smoothing"].each[1] == pytest.approx(expected, rel=1e-3)
    whole = [hidden[sources == row].any(axis=0) for row in range(5)]
    assert found.count == sum(np.isfinite(v[h]).sum() for v, h in zip(values, whole, strict=True))
    ahead = errors_at(model, many, hidden, forecast=True)
    assert ahead is not None
    given[np.maximum.accumulate(hidden, axis=1)] = np.nan
    last = np.stack([np.full(40, row[np.isfinite(row)][-1]) for row in given])
    expected = errors_by_hand(last, many[..., 1], known)
    assert ahead.baselines["last value"].each[1] == pytest.approx(expected, rel=1e-4)
    assert errors_at(model, many, np.zeros_like(hidden)) is None


@pytest.mark.slow
def test_a_useless_model_is_said_to_be_worse(folder):
    """Untrained, with tiny noises: worse than a line, and too sure."""
    values = np.cumsum(np.random.default_rng(0).normal(size=(6, 40, 1)), axis=1)
    model = KVAE.for_series(values, noise_transition=1e-6, noise_emission=1e-6, init_cov=1e-6)
    found = errors_at(model, *with_gaps(values, 8, 4, seed=0))
    assert found is not None and found.inside < 0.5
    assert any("smoothing is WORSE" in s and "linear" in s for s in found.worse)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--csv=odd.csv", "--time=day"], "uneven, from 2 to 5, and fit no grid of 2. Give"),
        (["--csv=odd.csv", "--time=day", "--dt=0.01"], "a grid of 0.01 has"),
        (["--csv=tanks.csv", "--time=day", "--dt=5"], "--dt=5, series 0: times"),
        (["--csv=even.csv", "--time=none", "--drop=day", "--dt=2"], "--dt: expected a column"),
        (["--csv=even.csv", "--npz=one.npz"], "--csv, --npz: expected one of them, got both"),
        (["--csv=nothing.csv"], "nothing.csv: no such file"),
        (["--csv=even.csv", "--preset=demo"], "--preset: expected series"),
        (["--csv=even.csv", "--num_filters=8"], "--num_filters: not for series"),
        (["--csv=even.csv", "--noise_pixel_var=1"], "without --series_encoder=dense"),
        (["--csv=even.csv", "--t_steps_mask=40"], "--t_steps_mask: no test series"),
        (["--csv=even.csv", "--t_steps_mask=0"], "t_steps_mask: expected at least 1 step"),
        (["--csv=short.csv"], "1 series of up to 12 steps: expected at least 40"),
        (["--csv=long.csv", "--window=20", "--stride=5"], "--stride: expected at least"),
        (["--csv=long.csv", "--window=50"], "--window: expected a series of at least 2 windows"),
        (
            ["--csv=even.csv", "--time=day", "--reload_model=old.keras"],
            "is not a Kalman VAE for series of 1",
        ),
        (["--window=5"], "--window: expected --csv or --npz beside it"),
        (["--preset=series"], "--preset=series: expected --csv or --npz"),
        (["--dt=1"], "--dt: expected --csv or --npz"),
        (["--csv=even.csv", "--test_fraction=1.5"], "--test_fraction: expected a share in (0, 1)"),
        (["--csv=gap.csv", "--time=day"], "Cut the series at its long gaps"),
        (["--csv=far.csv"], "column 'load' has the mean 1e+09"),
        (["--csv=clash.csv"], "columns load_low: these would be twice in imputed.csv"),
    ],
)
def test_refusals(folder, flags, message):
    if not (folder / "even.csv").exists():
        values = series(6, 20)[..., 0]
        rows = [[i, 2 * t, x] for i, row in enumerate(values) for t, x in enumerate(row)]
        write(folder / "even.csv", rows, "id,day,load")
        np.savez(folder / "one.npz", sequences=values[..., None])
        for name, steps in (("short", 12), ("long", 90)):
            write(folder / f"{name}.csv", [[x] for x in range(steps)], "load")
        rows = [[i, day, x] for i in range(6) for day, x in ((0, 1), (2, 4), (7, 3), (9, 2))]
        write(folder / "odd.csv", rows, "id,day,load")
        rows = [[t if t < 30 else 10**6 + t, t % 7] for t in range(60)]
        write(folder / "gap.csv", rows, "day,load")
        write(folder / "far.csv", [[10**9 + t % 7] for t in range(60)], "load")
        write(folder / "clash.csv", [[t % 7, t % 5] for t in range(60)], "load,load_low")
        KVAE.for_series(series(2, 9)).save(folder / "old.keras")
    code, _, err = run_here(SCRIPT, *flags, "--run_name=refused", *SMALL[:2], cwd=folder)
    assert code == 2 and message in err, err
    assert not (folder / "logs" / "refused_kvae").exists()
