"""datasets/record_carracing.py: real episodes of a few frames, and what it does without the
simulator."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from seqvae.data import open_shards
from tests.commands import run, run_here

SCRIPT = Path(__file__).parents[2] / "datasets" / "record_carracing.py"


def record(out, *flags):
    return run(SCRIPT, "--episodes=2", "--steps=4", "--workers=1", f"--out={out}", *flags)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    pytest.importorskip("Box2D")
    folder = tmp_path_factory.mktemp("carracing")
    done = record(folder / "plain")
    assert done.returncode == 0, done.stderr
    assert "2 episodes" in done.stdout
    return folder


def test_episodes_are_what_a_world_model_needs(recorded):
    episodes = open_shards(
        recorded / "plain", {"frames": "", "actions": "", "rewards": "", "done": ""}
    )
    assert episodes.lengths == (4, 4) and episodes.shapes["frames"] == (64, 64, 3)
    first, second = episodes.read(0), episodes.read(1)
    assert first["frames"].dtype == np.uint8 and first["frames"].std() > 10
    assert np.abs(first["actions"]).max() <= 1 and (first["actions"] != second["actions"]).any()
    assert (
        first["rewards"][0] == 0 and first["rewards"][1] > 0 and not first["done"].any()
    )  # tiles under the car


@pytest.mark.slow
def test_a_missing_episode_is_recorded_again_as_it_was_and_the_others_are_kept(recorded):
    one, two = (recorded / "plain" / f"episode-0000{i}.npz" for i in range(2))
    kept, before = one.stat().st_mtime_ns, np.load(two, allow_pickle=False)["frames"]
    two.unlink()
    done = record(recorded / "plain", "--workers=2")
    assert done.returncode == 0, done.stderr
    assert one.stat().st_mtime_ns == kept
    np.testing.assert_array_equal(np.load(two, allow_pickle=False)["frames"], before)


@pytest.fixture(scope="module")
def script(load_script):
    return load_script(SCRIPT)


def test_processes_record_parts_of_the_episodes(script, tmp_path):
    values = dict(
        out=tmp_path, episodes=7, seed=0, steps=4, preprocessing="plain", policy="hold", shards=3
    )
    parts = [[job.index for job in script.jobs_of(values | {"shard": i})] for i in range(3)]
    assert sorted(i for part in parts for i in part) == list(range(7)) and parts[1] == [1, 4]
    assert [job.index for job in script.jobs_of(values | {"shard": None})] == list(range(7))
    with pytest.raises(ValueError, match=r"shard=3, shards=3: expected 0 <= shard < shards"):
        script.jobs_of(values | {"shard": 3})


@pytest.mark.parametrize("policy", ("hold", "original"))
def test_policies_stay_in_the_cars_range_and_follow_their_seed(script, policy):
    made = [script.POLICIES[policy](np.random.default_rng(seed)) for seed in (3, 3, 4)]
    paths = [np.stack([act() for _ in range(200)]) for act in made]
    np.testing.assert_array_equal(paths[0], paths[1])
    assert (paths[0] != paths[2]).any() and paths[0].shape == (200, 3)
    low, high = paths[0].min(axis=0), paths[0].max(axis=0)
    assert (low >= [-1, 0, 0]).all() and (high <= 1).all()
    low, high = np.array([-1.0, 0.0, 0.0]), np.ones(3)
    again = script.POLICIES[policy](np.random.default_rng(3), low, high)
    np.testing.assert_array_equal([again() for _ in range(200)], paths[0])
    if policy == "hold":
        runs = np.diff(
            np.flatnonzero(np.r_[True, (np.diff(paths[0], axis=0) != 0).any(axis=1), True])
        )
        assert runs.max() <= 10 and 3 < runs.mean() < 8


def test_wrong_flags_and_a_missing_simulator_are_named(tmp_path):
    done = run_here(SCRIPT, "--episodes=0", "--steps=4", "--workers=1", f"--out={tmp_path}")
    assert (
        done.returncode != 0
        and "--episodes: expected an integer of at least 1" in done.stdout + done.stderr
    )
    hidden = (
        "import runpy, sys; sys.modules['Box2D'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", hidden, SCRIPT, f"--out={tmp_path}"], capture_output=True, text=True
    )
    assert done.returncode == 1 and 'pip install ".[carracing]"' in done.stderr
