"""Two training steps of every stage of run_kvae.py, with every preset, on every form of its data
(`tests.command_lines`)."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import kvae.config
import kvae.stages
from seqvae.data import save, write_shard
from tests.all_pairs import all_pairs
from tests.command_lines import assert_every_setting_is_in_a_row, every, in_turn, train

SCRIPT = Path(__file__).parents[2] / "examples" / "run_kvae.py"
EPOCHS = ("only_vae_epochs", "kf_update_steps", "dynamics_epochs", "refine_epochs")
STAGES = {
    "vae": (1, 0, 0, 0),
    "vae+lgssm": (0, 1, 0, 0),
    "all": (0, 0, 0, 0),
    "dynamics": (0, 0, 1, 0),
    "refine": (0, 0, 0, 1),
    "dynamics again": (0, 0, 1, 1),
}
"""Epochs by stage, beside --num_epochs=2: the runs in which each occurs."""

NORMAL = "--out_distr=gaussian --noise_pixel_var=learned_diagonal"
LEARNED = "--noise_emission=learned --noise_transition=learned_diagonal --init_cov=learned"
KVAE = {
    "stage": (["all", "refine"], ["vae+lgssm", "vae"], ["dynamics", "dynamics again"]),
    "gaps": (["nan", "mask", "hidden"], ["", "--train_miss_prob=0.4 --t_init_train_miss=1"]),
    "controls": (False, True),
    "steps": (4, 64),
    "last batch": ("full", "smaller"),
    "pixels": (["uint8", "colour", "float", "bool"],),
    "files": (["one", "shards"],),
    "preset": in_turn([name for name in kvae.config.PRESETS if name != "series"]),
    "frames": (["--nouse_vae", "", "--noconv", NORMAL, "--ll_keep_prob=0.5"],),
    "dynamics": (["", "--learn_u", "--noalpha_rnn --fifo_size=2", "--K=1", LEARNED],),
    "objective": (
        ["", "--sample_z", "--bound=sampled", "", "", ""],
    ),  # seldom: the smoother takes long to trace
    "computing": (["", "--mixed_precision", "--jit_compile"],),
}


def videos(folder: Path, row: dict) -> Path:
    """Training and test videos of 8 x 8 pixels: two batches of two, or one of three and one of
    two."""
    rng, count, steps = (
        np.random.default_rng(0),
        4 if row["last batch"] == "full" else 5,
        row["steps"],
    )
    images = (
        rng.random((count, steps, 8, 8, 3) if row["pixels"] == "colour" else (count, steps, 8, 8))
        < 0.3
    )
    if row["pixels"] == "float" or row["gaps"] == "nan":
        images = images.astype(np.float32)
    elif row["pixels"] != "bool":
        images = images.astype(np.uint8) * np.uint8(255)
    arrays = {"images": images}
    if row["gaps"] in ("mask", "nan"):
        arrays["mask"] = (rng.random((count, steps)) < 0.7).astype(np.float32)
        arrays["mask"][:, 0] = 1
    if row["gaps"] == "hidden":  # single pixels
        arrays["mask"] = rng.random(images.shape) < 0.7
    if row["gaps"] == "nan":
        images[arrays["mask"] == 0] = np.nan
    if row["controls"]:
        arrays["controls"] = rng.normal(size=(count, steps, 2)).astype(np.float32)
    for name in ("videos", "videos_test"):
        if row["files"] == "one":
            save(folder / f"{name}.npz", arrays)
        else:
            for i, part in enumerate((slice(0, 2), slice(2, None))):
                write_shard(
                    folder / f"{name}-{i:05d}-of-00002.npz",
                    {n: value[part] for n, value in arrays.items()},
                )
    return folder / "videos.npz"


@pytest.fixture(scope="module")
def run_kvae(load_script):
    return load_script(SCRIPT)


@pytest.mark.parametrize("row", every(KVAE, 20, fast=()))
def test_kvae(run_kvae, without_figures, monkeypatch, tmp_path, row):
    stages = kvae.stages.stages
    monkeypatch.setattr(
        "kvae.train.stages",
        lambda *args, **given: [
            dataclasses.replace(s, epochs=1)
            for s in stages(*args, **given)
            if s.name == row["stage"]
        ],
    )
    wanted = " ".join(
        f"--{name}={epochs}" for name, epochs in zip(EPOCHS, STAGES[row["stage"]], strict=True)
    )
    options = " ".join(
        row[name] for name in ("preset", "frames", "dynamics", "objective", "computing")
    )
    gaps = row["gaps"] if row["gaps"].startswith("--") else ""
    size = 2 if row["last batch"] == "full" else 3
    small = "--num_filters=2,2 --vae_num_units=3 --dim_z=3 --alpha_units=3"
    (line,) = train(
        run_kvae,
        f"--dataset={videos(tmp_path, row)} --num_epochs=2 --batch_size={size} {small} {wanted} "
        f"{options} {gaps}",
        tmp_path,
    )
    assert line["stage"] == row["stage"]


@pytest.mark.parametrize(
    "epochs, stages",
    [
        ("--num_epochs=1 --kf_update_steps=0 --dynamics_epochs=1", ["all", "dynamics"]),
        pytest.param(
            "--num_epochs=3 --only_vae_epochs=1 --kf_update_steps=1 --dynamics_epochs=1 "
            "--refine_epochs=1",
            list(STAGES),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["two", "every"],
)
def test_stages_follow_each_other_on_data_with_gaps(
    run_kvae, without_figures, tmp_path, epochs, stages
):
    row = dict(gaps="nan", controls=True, steps=4, pixels="float", files="shards") | {
        "last batch": "full"
    }
    small = "--num_filters=2 --dim_z=3 --alpha_units=3 --batch_size=2"
    lines = train(run_kvae, f"--dataset={videos(tmp_path, row)} {small} {epochs}", tmp_path)
    assert [line["stage"] for line in lines] == stages


def test_every_stage_of_the_kvae_is_among_the_rows():
    model = kvae.KVAE((8, 8), num_filters=(2,), alpha_units=2)
    made = kvae.stages.stages(model, kvae.stages.Schedule(3, 1, 1, 1, 1), codes=dict)
    assert (
        {stage.name for stage in made} == set(STAGES) == {row["stage"] for row in all_pairs(KVAE)}
    )


def test_every_setting_of_the_kvae_is_in_a_row():
    assert_every_setting_is_in_a_row(KVAE)
