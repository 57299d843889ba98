"""The parts of the command `kvae` that can be tried without a run of their own."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import kvae
from kvae import train
from kvae.config import PRESETS, KVAESettings
from kvae.stages import Schedule, describe_stages, stages

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "kvae"

# The original's flags and defaults (its utils/config.py at 849d631); run_name is the time there and
# here.
DEFAULTS = dict(
    out_distr="bernoulli",
    conv=True,
    activation="relu",
    filter_size=3,
    num_filters="32,32,32",
    vae_num_units=25,
    num_layers=2,
    noise_pixel_var=0.1,
    ll_keep_prob=1.0,
    use_vae=True,
    dim_a=2,
    dim_z=4,
    dim_u=1,
    K=3,
    noise_emission=0.03,
    noise_transition=0.08,
    init_cov=20.0,
    alpha_rnn=True,
    alpha_units=50,
    alpha_layers=2,
    alpha_activation="relu",
    fifo_size=1,
    learn_u=False,
    batch_size=32,
    init_lr=0.007,
    init_kf_matrices=0.05,
    max_grad_norm=150.0,
    scale_reconstruction=0.3,
    only_vae_epochs=0,
    kf_update_steps=10,
    decay_rate=0.85,
    decay_steps=20,
    sample_z=False,
    num_epochs=80,
    train_miss_prob=0.0,
    t_init_train_miss=3,
    gpu="",
    reload_model="",
    log_dir="logs",
    display_step=1,
    generate_step=20,
    n_steps_gen=80,
    t_init_mask=4,
    t_steps_mask=12,
)


def test_flags_have_the_originals_defaults():
    settings = KVAESettings()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS


def test_reload_model_takes_ours_and_the_originals(tmp_path):
    arrays = np.load(GOLDEN / "lstm_conv.npz", allow_pickle=False)
    (tmp_path / "config.json").write_text(str(arrays["config"]))
    for part in (GOLDEN / "checkpoint").iterdir():
        shutil.copy(part, tmp_path)
    theirs = train._model(KVAESettings(reload_model=str(tmp_path / "model.ckpt")), (16, 16))
    np.testing.assert_allclose(theirs.A.numpy(), arrays["var_A"])
    assert theirs.bound == "sampled"
    theirs.save(tmp_path / "model.keras")
    ours = train._model(KVAESettings(reload_model=str(tmp_path / "model.keras")), (16, 16))
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    with pytest.raises(
        ValueError, match=r"--reload_model: .*model.keras is not a Kalman VAE for frames \(32, 32\)"
    ):
        train._model(KVAESettings(reload_model=str(tmp_path / "model.keras")), (32, 32))


def test_the_settings_of_a_reloaded_model_are_its_own():
    model = kvae.KVAE((8, 8), num_filters=(2, 4), dim_a=3, noise_emission="learned", alpha_units=3)
    s = KVAESettings(dim_a=5, num_filters="2,4", alpha_units=3, init_lr=0.5)
    arguments = model.get_config()
    assert s.that_differ(arguments) == {"dim_a": 3, "noise_emission": "learned"}
    assert s.that_differ(arguments, ("dim_a", "noise_emission")) == {}


def test_stages_are_the_originals():
    keras.utils.set_random_seed(0)
    model = kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3)
    made = stages(model, Schedule(20, 3, 10))
    assert [(s.name, s.epochs) for s in made] == [("vae", 3), ("vae+lgssm", 10), ("all", 7)]
    assert {v.path for v in made[1].variables} - {v.path for v in made[0].variables} == {
        w.path for w in (model.A, model.B, model.C, model.a_0)
    }
    assert len(made[2].variables) == len(model.trainable_variables)
    schedule = Schedule(2, 0, 0, dynamics_epochs=4, refine_epochs=3)
    made = stages(model, schedule, learning_rate=0.1, codes=dict)
    assert [(s.name, s.epochs) for s in made] == [
        ("all", 2),
        ("dynamics", 4),
        ("refine", 3),
        ("dynamics again", 4),
    ]
    assert schedule.epochs == 13
    assert {id(v) for v in made[0].variables} - {id(v) for v in made[1].variables} == {
        id(v) for v in model.variable_groups["vae"]
    }
    assert len(made[2].variables) == len(made[0].variables)
    assert (made[0].learning_rate, made[1].learning_rate(0), made[2].learning_rate(0)) == (
        None,
        0.1,
        0.05,
    )
    assert (made[0].batches, made[1].batches, made[2].batches) == (None, dict, None)
    made = stages(model, Schedule(2, 0, 0, dynamics_epochs=1), codes=dict)
    assert [s.name for s in made] == ["all", "dynamics"]


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ((0, 0, 0), r"num_epochs=0.*: expected at least one epoch, and no negative number"),
        ((3, -1, 0), r"only_vae_epochs=-1.*: expected at least one epoch, and no negative number"),
        ((10, 0, 10), "no epoch is left for the stage 'all', which trains the dynamics network"),
        ((10, 4, 8, 1), r"only_vae_epochs and kf_update_steps need 12 epochs\. Use a num_epochs"),
    ],
)
def test_a_stage_that_would_get_no_epoch_is_an_error(epochs, message):
    with pytest.raises(ValueError, match=message):
        Schedule(*epochs)


def test_a_number_of_steps_makes_the_epochs_fit_the_data():
    demo = KVAESettings(**PRESETS["demo"])
    # 5000 sequences are 157 steps an epoch: the epochs of the preset
    assert train._schedule(demo, 157) == (Schedule(4, 0, 2, 5, 5), 1)
    few, longer = train._schedule(demo, 1)
    assert few == Schedule(632, 0, 316, 789, 789) and few.epochs == 2999 and longer == 158
    # No stage is left out where the data are many.
    assert train._schedule(demo, 5000) == (Schedule(2, 0, 1, 1, 1), 1)
    assert train._schedule(KVAESettings(), 3) == (Schedule(80, 0, 10), 1)


def test_the_stages_are_described_and_what_is_too_little():
    keras.utils.set_random_seed(0)
    model = kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3)
    made = stages(model, Schedule(20, 3, 10))
    assert describe_stages(made, 100, 500) == [
        "epochs (steps) of the stages: vae 3 (300), vae+lgssm 10 (1000), all 7 (700)"
    ]
    few = describe_stages(made, 1, 24)
    assert few[1].startswith("likely TOO FEW STEPS: 20.")
    assert few[2].startswith("likely TOO FEW SEQUENCES: 24.")


def test_mixed_precision_makes_the_convolutions_bfloat16_and_nothing_else():
    model = train._model(KVAESettings(mixed_precision=True, num_filters="2"), (8, 8))
    assert (model.frame_vae.compute_dtype, model.dynamics.compute_dtype) == ("bfloat16", "float32")
    assert {w.dtype for w in model.weights if "seed" not in w.path} == {"float32"}
    plain = train._model(KVAESettings(num_filters="2"), (8, 8))
    assert plain.frame_vae.compute_dtype == "float32"
