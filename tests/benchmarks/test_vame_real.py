"""benchmarks/vame_real.py on a small wheel of the layout of seglearn's, and its reader."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
NAMES = {"y_labels": ["still", "slow", "fast"], "X_labels": ["a", "b"]}


def recordings(frames=160):
    """Three subjects, two sides, three exercises that differ in their frequency."""
    rng, data = np.random.default_rng(0), {"X": [], "y": [], "subject": [], "side": []}
    for subject in (1, 2, 3):
        for side in (0, 1):
            for exercise, frequency in enumerate((0.0, 0.05, 0.2)):
                turn = 2 * np.pi * (frequency * np.arange(frames) + rng.random())
                swing = np.stack([np.sin(turn), np.cos(turn)], axis=1) * (frequency > 0)
                data["X"].append(swing + 0.1 * rng.standard_normal((frames, 2)))
                for key, value in (("y", exercise), ("subject", subject), ("side", side)):
                    data[key].append(value)
    return data | {key: np.array(data[key]) for key in ("y", "subject", "side")} | NAMES


def wheel(path, value):
    """A wheel whose data file is a pickled object, as seglearn's."""
    array = np.empty((), object)
    array[()] = value
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("seglearn/data/watch_dataset.npy", file.getvalue())
    return path


def test_the_recordings_of_a_wheel_become_arrays(load_script, tmp_path):
    script, data = load_script(FOLDER / "seglearn_recordings.py"), recordings(30)
    script.main(str(wheel(tmp_path / "a.whl", data)), str(tmp_path / "new" / "a.npz"))
    with np.load(tmp_path / "new" / "a.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["values"], np.concatenate(data["X"]))
        assert file["lengths"].tolist() == [30] * 18
        np.testing.assert_array_equal(file["subject"], data["subject"])
        assert file["exercises"].tolist() == NAMES["y_labels"]


class Calls:
    """Its pickle calls a function."""

    def __reduce__(self):
        return print, ("called",)


def test_a_pickle_that_calls_other_functions_is_refused(load_script, tmp_path, capsys):
    script = load_script(FOLDER / "seglearn_recordings.py")
    file = wheel(tmp_path / "a.whl", recordings(5) | {"X": Calls()})
    with pytest.raises(ValueError, match=r"the pickle calls builtins\.print, which makes no array"):
        script.main(str(file), str(tmp_path / "a.npz"))
    assert capsys.readouterr().out == "" and not (tmp_path / "a.npz").exists()


def run(script, tmp_path, *more):
    script.flags.FLAGS(
        [
            "x",
            f"--seglearn={tmp_path / 'a.whl'}",
            f"--out={tmp_path / 'out.jsonl'}",
            f"--labels={tmp_path / 'labels'}",
            *("--every=1", "--time_window=8", "--prediction_steps=4", "--zdims=3", "--hidden=4"),
            *("--steps=3", "--clusters=4", *more),
        ]
    )
    script.main([])
    return script.lines_of(tmp_path / "out.jsonl")


@pytest.mark.slow
def test_rows_are_measured_once_and_tabled(load_script, tmp_path, capsys):
    script = load_script(FOLDER / "vame_real.py")
    wheel(tmp_path / "a.whl", recordings())
    flags = "--rows=codes,codes_speeds,speeds,velocities", "--seeds=2", "--subjects=2"
    lines = run(script, tmp_path, *flags)
    assert [line["row"] for line in lines] == 2 * ["codes", "codes_speeds", "speeds", "velocities"]
    codes, _, speeds, velocities = lines[:4]
    assert codes["future_mse"] > 0 and codes["hold_mse"] > 0 and "mse" not in speeds
    assert speeds["accuracy"] > 0.9 and speeds["auc"] > 0.95  # the exercises differ in speed
    assert speeds["kmeans joined, 4"]["ami"] > 0.5 and speeds["hmm, 4"]["ami"] > 0.3
    assert "hmm, 4" not in velocities  # 14 numbers: too many for full covariances
    assert len(run(script, tmp_path, *flags)) == 8
    capsys.readouterr()
    run(script, tmp_path, *flags, "--table")
    out = capsys.readouterr().out
    assert "mean absolute velocities (seeds 2, subjects 1)" in out
    assert "stability of kmeans, 4: 1.00" in out


def test_a_fold_keeps_the_held_out_subject_out(load_script, tmp_path):
    script = load_script(FOLDER / "vame_real.py")
    made = script.seglearn(str(wheel(tmp_path / "a.whl", recordings(40))), 2)
    assert {len(each.values) for each in made} == {20} and len(made) == 18
    fold = script.fold_of(made, 2, 8, 4)
    assert fold.fitted.shape == (12 * 13, 8, 2) and fold.held_out.shape == (6 * 13, 8, 2)
    assert set(fold.fitted_sessions) == {2, 3, 6, 7} and set(fold.held_out_sessions) == {4, 5}
    np.testing.assert_allclose(np.concatenate(fold.pieces).mean(axis=0), 0, atol=1e-12)
    first = next(each for each in made if each.session == 4)
    joined = np.concatenate([each.values for each in made if each.subject != 2])
    expected = (first.values - joined.mean(axis=0)) / joined.std(axis=0)
    np.testing.assert_allclose(fold.held_out[0], expected[:8], rtol=1e-5)
    np.testing.assert_allclose(fold.following[0], expected[8:12], rtol=1e-5)
    assert np.isnan(fold.following[12]).all() and fold.following.shape == (6 * 13, 4, 2)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--rows=code"], "--rows: expected some of codes, .* got code"),
        (["--seglearn="], "--seglearn, --ethome: expected a wheel for one of them, got none"),
    ],
)
def test_flags_that_are_refused(load_script, tmp_path, flags, message):
    with pytest.raises(ValueError, match=message):
        run(load_script(FOLDER / "vame_real.py"), tmp_path, *flags)
    assert not (tmp_path / "out.jsonl").exists()
