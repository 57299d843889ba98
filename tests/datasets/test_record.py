"""datasets/record.py: episodes of a small environment by policies and by an agent."""

from pathlib import Path

import numpy as np
import pytest

import tests.worldmodels.small_worlds as worlds
from seqvae.data import open_shards
from tests.commands import run_here
from tests.worldmodels.small_models import small_controller, small_rnn, small_vae

SCRIPT = Path(__file__).parents[2] / "datasets" / "record.py"
DOT = f"--env={worlds.HERE}:Dot-v0"


def record(out, *flags):
    return run_here(
        SCRIPT, DOT, "--episodes=3", "--workers=1", "--size=6,6", f"--out={out}", *flags
    )


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    small_vae().save(folder / "vae.keras")
    small_rnn().save(folder / "rnn.keras")
    small_controller(squash="tanh").save(folder / "controller.npz")
    return folder


@pytest.mark.parametrize("policy", ("random", "hold", "agent"))
def test_episodes_are_what_a_world_model_needs(tmp_path, parts, policy):
    flags = [f"--agent={parts}", "--noise=0.5"] if policy == "agent" else []
    done = record(tmp_path, f"--policy={policy}", *flags)
    assert done.returncode == 0, done.stderr
    assert "3 episodes" in done.stdout
    episodes = open_shards(tmp_path, {"frames": "", "actions": "", "rewards": "", "done": ""})
    assert len(episodes) == 3 and len(set(episodes.lengths)) > 1
    assert episodes.shapes["frames"] == (6, 6, 3) and episodes.shapes["actions"] == (3,)
    first = episodes.read(0)
    assert first["done"].tolist() == [0.0] * (len(first["done"]) - 1) + [1.0]
    assert np.abs(first["actions"]).max() <= 1
    kept = [path.stat().st_mtime_ns for path in episodes.paths]
    before = episodes.paths[1].read_bytes()
    episodes.paths[1].unlink()
    assert record(tmp_path, f"--policy={policy}", *flags).returncode == 0
    assert episodes.paths[1].read_bytes() == before
    assert episodes.paths[0].stat().st_mtime_ns == kept[0]


def test_shards_record_their_own_episodes(tmp_path):
    done = record(tmp_path, "--shards=2", "--shard=1")
    assert done.returncode == 0 and [p.name for p in tmp_path.glob("*.npz")] == [
        "episode-00001.npz"
    ]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--episodes=0"], "--episodes: expected an integer of at least 1"),
        (["--size=6"], "--size: expected height,width such as 64,64, got '6'"),
        (["--env=None-v0"], "record.py: env: "),
        ([f"--env={worlds.HERE}:DotDiscrete-v0"], "expected actions that are bounded floats"),
        ([f"--env={worlds.HERE}:Numbers-v0"], "With render .--render. its rendered"),
        ([f"--env={worlds.HERE}:DotNan-v0"], "step 3: expected a finite reward, got nan"),
        (["--policy=agent"], "vae: expected a file, got none"),
        (["--policy=agent", "--agent=nothing"], "vae: no nothing/vae.keras"),
        (["--shards=2", "--shard=2"], "expected 0 <= shard < shards"),
    ],
)
def test_wrong_flags_are_named(tmp_path, flags, message):
    done = record(tmp_path, *flags)
    assert done.returncode != 0
    import re

    assert re.search(message, done.stdout + done.stderr), done.stderr


def test_an_agent_of_another_world_is_refused(tmp_path, parts):
    controller = tmp_path / "controller.npz"
    small_controller(inputs="z", squash="tanh", z_size=4).save(controller)
    done = record(
        tmp_path, "--policy=agent", f"--vae={parts / 'vae.keras'}", f"--controller={controller}"
    )
    assert "controller: expected z_size=3, that of the ConvVAE, got 4" in done.stderr
    done = record(tmp_path, "--policy=agent", f"--agent={parts}", "--size=8,8")
    assert "world: expected frames (6, 6, 3)" in done.stderr
