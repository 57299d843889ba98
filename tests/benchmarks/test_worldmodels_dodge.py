"""benchmarks/worldmodels_dodge.py at its smallest: a line a row, none made twice."""

import json
from pathlib import Path

import keras
import pytest

from seqvae.physics.env_episodes import POLICIES, EpisodeJob, episode_path, record_all
from seqvae.physics.pixel_world import PixelWorld
from tests.commands import start
from worldmodels import MDNRNN, ConvVAE

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "worldmodels_dodge.py"


def _run(*flags):
    process = start(SCRIPT, *flags)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err


@pytest.mark.slow
def test_a_line_for_each_row(tmp_path):
    keras.utils.set_random_seed(0)
    layers = dict(filters=(3, 4), kernel_sizes=(4, 4), decoder_filters=(4,))
    vae = ConvVAE(image_shape=(14, 14, 3), z_size=3, decoder_kernel_sizes=(5, 6), **layers)
    vae.save(tmp_path / "vae.keras")
    MDNRNN(z_size=3, action_size=1, rnn_size=4, predict_done=True).save(tmp_path / "rnn.keras")
    options = dict(world=PixelWorld("seqvae/Dodge-v0", size=(14, 14)), seed=0, steps=3)
    folder = tmp_path / "episodes"
    jobs = [
        EpisodeJob(path=episode_path(folder, i), index=i, policy=POLICIES["hold"], **options)
        for i in range(2)
    ]
    list(record_all(jobs, 1))
    out = tmp_path / "lines.jsonl"
    flags = [f"--run={tmp_path}", f"--out={out}", "--temperatures=0.5", "--workers=1"]
    flags += ["--population=3", "--rollouts=1", "--generations=1", "--world_generations=1"]
    flags += ["--max_steps=4", "--episodes=2", "--plan_episodes=1"]
    _run(*flags, "--rows=random,still")
    before = out.read_text()
    _run(*flags, "--rows=random,still,dream,untrained,plan")
    assert out.read_text().startswith(before)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["row"] for line in lines] == ["random", "still", "dream", "untrained", "plan"]
    assert [line["temperature"] for line in lines] == [None, None, 0.5, None, None]
    assert all(line["world"] == 4.0 for line in lines)  # no ball arrives so early
    assert 0 < lines[2]["dream"] <= 4.0
