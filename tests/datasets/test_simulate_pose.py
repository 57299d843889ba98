"""Pose series with known motifs."""

from pathlib import Path

import numpy as np
import pytest

from tests.commands import run_here
from vrae.vame.simulation import simulate_poses

SCRIPT = Path(__file__).parents[2] / "datasets" / "simulate_pose.py"


def test_a_session_depends_on_the_seed_and_its_number_alone():
    two, three = simulate_poses(2, 200, seed=3), simulate_poses(3, 200, seed=3)
    for name in two:
        for a, b in zip(two[name], three[name], strict=True):
            np.testing.assert_array_equal(a, b)
    ((name, one),) = simulate_poses(1, 200, seed=3, first=2).items()
    np.testing.assert_array_equal(one.positions, three[name].positions)
    assert (two["session_0"].motifs != two["session_1"].motifs).any()
    assert (simulate_poses(1, 200, seed=4)["session_0"].clean != two["session_0"].clean).any()


def test_motifs_last_as_long_as_they_should_and_swing_at_their_own_frequency():
    session = simulate_poses(1, 20_000, n_motifs=4, noise=0.0, tempo=0.0, vigour=0.0)["session_0"]
    ends = np.flatnonzero(np.diff(session.motifs))
    lengths = np.diff(ends)
    assert lengths.min() >= 30 and lengths.max() <= 90 and set(session.motifs) == {0, 1, 2, 3}
    for motif, frequency in enumerate(np.linspace(0.03, 0.12, 4)):
        longest = max(
            (n, e)
            for n, e in zip(lengths, ends[:-1], strict=True)
            if session.motifs[e + 1] == motif
        )
        part = session.clean[0, longest[1] + 4 : longest[1] + longest[0] - 3]
        time = np.arange(len(part))
        waves = np.stack(
            [
                np.sin(2 * np.pi * frequency * time),
                np.cos(2 * np.pi * frequency * time),
                np.ones(len(part)),
            ],
            1,
        )
        rest = part - waves @ np.linalg.lstsq(waves, part, rcond=None)[0]
        assert np.abs(rest).max() < 1e-9


def test_speed_and_size_differ_from_time_to_time_as_much_as_asked_for():
    session = simulate_poses(1, 60_000, n_motifs=2, noise=0.0, tempo=0.2, vigour=0.4)["session_0"]
    ends = np.flatnonzero(np.diff(session.motifs))
    speeds, sizes = [], []
    for first, last in zip(ends[:-1] + 4, ends[1:] - 3, strict=True):
        if session.motifs[first] == 1:
            moves = np.diff(
                session.clean[:, first:last]
            )  # of a wave: m[t+1] + m[t-1] = 2 cos(w) m[t]
            cosine = np.sum((moves[:, 2:] + moves[:, :-2]) * moves[:, 1:-1]) / np.sum(
                2 * moves[:, 1:-1] ** 2
            )
            speeds.append(np.arccos(cosine) / (2 * np.pi))
            sizes.append(np.abs(moves).max() / speeds[-1])
    assert len(speeds) > 400
    np.testing.assert_allclose(np.median(speeds), 0.12, rtol=0.05)
    np.testing.assert_allclose(np.std(np.log(speeds)), 0.2, rtol=0.1)
    np.testing.assert_allclose(np.std(np.log(sizes)), 0.4, rtol=0.1)


def test_noise_and_gaps_are_as_much_as_asked_for():
    session = simulate_poses(1, 20_000, noise=0.1, missing=0.2)["session_0"]
    gone = np.isnan(session.positions)
    assert 0.17 < gone.mean() < 0.23 and (gone[0::2] == gone[1::2]).all()
    np.testing.assert_allclose(np.nanstd(session.positions - session.clean), 0.1, rtol=0.03)
    assert not np.isnan(simulate_poses(1, 100)["session_0"].positions).any()


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(frames=0), "frames: expected at least 1"),
        (dict(longest=5), "longest: expected at least 30"),
        (dict(noise=-1), "noise: expected at least 0"),
        (dict(tempo=-0.1), "tempo: expected at least 0"),
        (dict(missing=1.0), "missing: expected at least 0 and below 1"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        simulate_poses(**dict(sessions=1, frames=10) | options)


def test_the_script_writes_a_file_a_session(tmp_path):
    done = run_here(SCRIPT, "--sessions=2", "--frames=50", f"--out={tmp_path}")
    assert done.returncode == 0 and "2 sessions of 50 frames" in done.stdout, done.stderr
    with np.load(tmp_path / "session_1.npz", allow_pickle=False) as file:
        assert file["positions"].shape == (12, 50) and file["motifs"].shape == (50,)
    bad = run_here(SCRIPT, "--noise=-1", f"--out={tmp_path}")
    assert bad.returncode == 1 and "noise: expected at least 0" in bad.stderr
