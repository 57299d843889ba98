"""benchmarks/vrae_archive.py and vrae_tasks.py: their scores, by hand and on small series."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vrae.data import pad

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def tasks(load_script):
    return load_script(FOLDER / "vrae_tasks.py")


def test_events_are_found_or_missed_and_alarms_false(tasks):
    labels, scores = np.zeros(200), np.zeros(200)
    labels[50:60] = labels[150:160] = 1
    scores[[55, 100, 101, 120, 66]] = 2, 3, 3, 1.5, 2
    found = tasks.event_scores(scores, labels, threshold=1.0, slack=5)
    assert (found["events"], found["found"], found["false_alarms"]) == (2, 1, 3)
    near = tasks.event_scores(scores, labels, threshold=1.0, slack=10)
    assert near["false_alarms"] == 2  # step 66 is less than 10 from the end of the event
    assert found["best_f1"] == pytest.approx(2 / 5)  # 1 found, 2 false, of 2: a threshold of 1.5
    perfect = tasks.event_scores(labels + 0.0, labels, threshold=0.5)
    assert perfect["best_f1"] == perfect["auc"] == 1.0 and perfect["false_alarms"] == 0


def test_windows_cover_the_series_and_scores_of_steps_are_their_mean(tasks):
    values = np.arange(103.0)
    windows, starts = tasks._windows(values, 20, 5)
    assert starts[0] == 0 and starts[-1] == 83 and windows.shape == (len(starts), 20)
    np.testing.assert_array_equal(windows[-1], values[-20:])
    constant = tasks._of_steps(np.full(windows.shape, 3.0), starts, 103, 20)
    np.testing.assert_allclose(constant, 3.0)
    peak = np.zeros(windows.shape)
    for i, start in enumerate(starts):
        if start <= 60 < start + 20:
            peak[i, 60 - start] = 21.0
    np.testing.assert_allclose(tasks._of_steps(peak, starts, 103, 20)[50:71], 1.0)


@pytest.mark.slow
def test_series_that_can_be_told_apart_have_a_high_discriminative_score(tasks, monkeypatch):
    few = tasks._fit
    monkeypatch.setattr(tasks, "_fit", lambda *data: few(*data, steps=60))
    rng = np.random.default_rng(0)
    real, same = rng.normal(size=(2, 200, 4, 1)).astype(np.float32)
    assert tasks.discriminative(real, same + 5, seed=0) > 0.4
    assert tasks.discriminative(real, same, seed=0) < 0.2
    line = np.tile(np.linspace(0, 1, 4, dtype=np.float32)[:, None], (64, 1, 1))
    assert tasks.predictive(line, line, seed=0) < 0.2 < tasks.predictive(line + 3, line, seed=0)


def test_series_are_read_from_the_wheel(tasks, tmp_path):
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as file:
        for part, value in (("TRAIN", 1), ("TEST", 2)):
            text = f"@classLabel true a\n@data\n{value},2:a\n"
            file.writestr(f"aeon/datasets/data/One/One_{part}.ts", text)
        file.writestr("aeon/datasets/data/two.csv", "timestamp,value,is_anomaly\n0,5,0\n1,6,1\n")
    train, test = tasks.load(str(path), "One")
    assert train.sequences[0, 0, 0] == 1 and test.sequences[0, 0, 0] == 2
    values, labels = tasks.labelled_series(str(path), "two")
    assert values.tolist() == [5, 6] and labels.tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.eager
@pytest.mark.filterwarnings("ignore")
def test_each_task_has_figures_of_the_model_and_of_simple_methods(tasks, monkeypatch):
    """Of models that are trained for one step."""
    rng = np.random.default_rng(0)
    parts = [pad(rng.normal(size=(n, 6, 1)).cumsum(1)) for n in (20, 12)]
    of_many = tasks.coverage
    monkeypatch.setattr(tasks, "coverage", lambda *a, **b: of_many(*a, **b | {"num_samples": 2}))
    monkeypatch.setattr(tasks, "load", lambda wheel, name: parts)
    wave = np.sin(np.arange(400) / 3)
    labels = np.zeros(400)
    labels[200:210] = 1
    odd = wave + 5 * labels
    monkeypatch.setattr(tasks, "_long_series", lambda wheel, name: (wave, odd, labels, 40))
    monkeypatch.setattr(tasks, "_fit", lambda model, x, y: None)
    found = {kind: task("ItalyPowerDemand", "", 0, 1) for kind, task in tasks.TASKS.items()}
    assert found["collapse"]["auto"]["free_bits"] == pytest.approx(np.log(20) / 8)
    assert {"model", "linear_interpolation", "mean"} <= set(found["imputation"]["absolute_error"])
    assert found["anomalies"]["distance from the mean"]["found"] == 1
    assert all(0 <= each["discriminative"] <= 0.5 for each in found["generation"].values())
    json.dumps(found)


def test_the_table_of_the_archive_has_held_out_and_fixed_settings_apart(
    load_script, tmp_path, capsys
):
    script = load_script(FOLDER / "vrae_archive.py")
    accuracy = {"1nn": 0.5, "lr": 0.5, "svm": 0.5}
    row = {"set": "One", "z_size": 8, "seed": 0, "error": 0.1, "pca_error": 0.2, "warp": 0.05}
    row |= {"noise_floor": 1e-3} | dict.fromkeys(("z", "states", "pca", "raw"), accuracy)
    path = tmp_path / "a.jsonl"
    lines = [row | {"held_out": []}, row | {"warp": 0.0, "fixed": True, "error": 0.3}]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    script.table(path)
    _, _, held_out, fixed = capsys.readouterr().out.splitlines()
    assert "0.05, 0.001 (held out) | 1 | 0.1000" in held_out
    assert "0, 0.001 (fixed) | 1 | 0.3000" in fixed
