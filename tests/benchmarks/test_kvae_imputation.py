"""benchmarks/kvae_imputation.py on finished runs, and on one it has to finish."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kvae import published
from kvae.evaluation import BLOCKS, DROPS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kvae_imputation.py"


@pytest.fixture(scope="module")
def script(load_script):
    return load_script(SCRIPT)


def finished_run(folder, factor):
    """A run folder whose smoothing errors are the published ones times `factor`."""
    folder.mkdir(parents=True)
    curves = {}
    for kind, x, theirs in (
        ("block", BLOCKS, published.BLOCK),
        ("random", DROPS, published.RANDOM),
    ):
        curves[kind] = {"x": list(x), "mean frame": {"wrong_pixels": [0.023] * len(x)}}
        curves[kind]["generation"] = {"wrong_pixels": [0.03] * len(x)}
        for name in ("smoothing", "filtering"):
            errors = [factor * theirs[f"published, {name}"][p] for p in x]
            curves[kind][name] = {"wrong_pixels": errors, "rmse": [0.1] * len(x)}
    (folder / "imputation.json").write_text(
        json.dumps({"curves": curves, "test_elbo": {"elbo": -5.0}})
    )
    (folder / "report.html").write_text("")
    (folder / "metrics.jsonl").write_text(
        '{"epoch": 0, "seconds": 10.0}\n{"epoch": 1, "seconds": 5.0}\n'
    )


def run(script, capsys, *flags):
    script.flags.FLAGS(["x", *map(str, flags)])
    script.main([])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_finished_runs_become_a_table_a_file_and_a_picture(script, tmp_path, capsys):
    for seed, factor in (("0", 0.5), ("1", 0.7)):
        finished_run(tmp_path / "runs" / f"box-demo-K=7-{seed}_kvae", factor)
    flags = (
        f"--runs={tmp_path / 'runs'}",
        f"--out={tmp_path / 'out'}",
        "--only_collect",
        "--settings=demo  --K=7",
        "--seeds=0,1",
    )
    (line,) = run(script, capsys, *flags)
    assert (line["setting"], line["seeds"], line["epochs"], line["seconds"]) == (
        "demo --K=7",
        [0, 1],
        2,
        [15, 15],
    )
    assert line["smoothing block 5"]["over_published"] == pytest.approx(0.6, abs=0.01)
    assert line["smoothing random 0.9"]["mean"] == pytest.approx(0.6 * 0.0189, abs=1e-4)
    np.testing.assert_allclose(
        line["smoothing block 15"]["range"], [0.5 * 0.0227, 0.7 * 0.0227], atol=1e-4
    )
    results = json.loads((tmp_path / "out" / "kvae_imputation.json").read_text())
    assert [(r["world"], r["seed"]) for r in results] == [("box", 0), ("box", 1)]
    assert "rmse_smoothing" not in results[0]["curves"]["block"]
    assert (tmp_path / "out" / "kvae_imputation_box.png").stat().st_size > 10_000
    run(script, capsys, *flags, "--seeds=1")
    assert json.loads((tmp_path / "out" / "kvae_imputation.json").read_text()) == results

    picture = tmp_path / "out" / "kvae_imputation_box.png"
    picture.unlink()
    elsewhere = (*flags, f"--runs={tmp_path / 'none'}", "--only_draw")
    try:
        assert run(script, capsys, *elsewhere) == [line]
        assert picture.stat().st_size > 10_000
        with pytest.raises(
            ValueError, match=r"--only_draw: .* has no run of box, 'demo', seeds 0, 1"
        ):
            run(script, capsys, *elsewhere, "--settings=demo")
    finally:
        script.flags.FLAGS.only_draw = False


def test_a_run_is_started_resumed_or_left_alone(script, tmp_path, monkeypatch):
    commands = []

    def run(command, **_):
        commands.append(command[2:])
        return subprocess.CompletedProcess([], 0)

    monkeypatch.setattr(subprocess, "run", run)
    folder = tmp_path / "box-demo-0_kvae"
    script.train(folder, "box", "demo --K=5", "0")
    assert {"--dataset=box", "--preset=demo", "--seed=0", "--K=5", "--run_name=box-demo-0"} <= set(
        commands[-1]
    )
    script.train(folder, "box", "--K=5", "0")
    assert {"--preset=", "--K=5"} <= set(commands[-1])
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    script.train(folder, "box", "demo", "0")
    assert commands[-1] == [f"--log_dir={tmp_path}", "--run_name=box-demo-0", "--resume"]
    (folder / "imputation.json").write_text("{}")  # killed while its errors were computed
    script.train(folder, "box", "demo", "0")
    assert len(commands) == 4
    (folder / "report.html").write_text("")
    script.train(folder, "box", "demo", "0")
    assert len(commands) == 4


def test_a_run_that_fails_stops_with_how_to_resume(script, tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 2)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit, match="the run stopped"):
        script.train(tmp_path / "a_kvae", "box", "demo", "0")
