"""What the README of the original Kalman VAE names exists here, under the same names."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLAGS = """
gpu dataset out_distr activation conv filter_size num_filters vae_num_units num_layers
noise_pixel_var ll_keep_prob use_vae dim_a dim_z dim_u K noise_emission noise_transition init_cov
alpha_rnn alpha_units alpha_layers alpha_activation fifo_size learn_u batch_size init_lr
init_kf_matrices max_grad_norm scale_reconstruction only_vae_epochs kf_update_steps decay_rate
decay_steps sample_z num_epochs train_miss_prob t_init_train_miss display_step generate_step
n_steps_gen
t_init_mask t_steps_mask reload_model log_dir run_name
"""
"""The configuration options that `python run_kvae.py --help` shows in the original
(kvae/utils/config.py)."""
WORLDS = ("box", "box_gravity", "polygon", "pong")
"""The scripts in the original's kvae/datasets."""


def shown_by_help(script: str, *flags: str) -> str:
    run = subprocess.run(
        [sys.executable, str(ROOT / script), *flags], capture_output=True, text=True, timeout=60
    )
    return run.stdout + run.stderr


def test_help_of_run_kvae_shows_the_originals_options():
    shown = shown_by_help("examples/run_kvae.py", "--help")
    assert [
        flag
        for flag in FLAGS.split()
        if f"--{flag}=" not in shown and f"--[no]{flag} " not in shown
    ] == []


def test_every_world_is_generated_by_its_name():
    shown = shown_by_help("datasets/generate.py", "--help")
    assert [world for world in WORLDS if world not in shown] == []


def test_it_installs_as_the_readme_says():
    assert (ROOT / "setup.py").exists()  # pip install -e .
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")
