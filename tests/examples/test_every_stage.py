"""Two training steps of the commands but run_kvae.py, with every preset and on every form of their
data (`tests.command_lines`)."""

from pathlib import Path

import numpy as np
import pytest

import vrae
import vrae.config
import vrae.vame.command_config
import worldmodels.config
from seqvae.data import save
from seqvae.data.batches import Batches
from seqvae.training import Checkpoints, Stage, Trainer
from tests.command_lines import assert_every_setting_is_in_a_row, every, in_turn, train
from tests.vrae.test_vame_training import sessions

EXAMPLES = Path(__file__).parents[2] / "examples"

# --- run_convvae.py ---

CONVVAE = {
    "colour": (False, True),
    "last batch": ("full", "smaller"),
    "computing": ("", "--mixed_precision"),
    "preset": in_turn(worldmodels.config.CONVVAE_PRESETS),
    "order": (["", "--noshuffle"],),
}


def episodes(
    folder: Path, *, colour: bool = False, lengths=(4, 4, 4), rewards: bool = False
) -> Path:
    """Training episodes of 14 x 14 pixels, and one for the test."""
    rng = np.random.default_rng(0)
    for i, steps in enumerate((*lengths, 4)):
        arrays = {
            "frames": rng.integers(0, 256, (steps, 14, 14, 3 if colour else 1), dtype=np.uint8),
            "actions": rng.random((steps, 2)).astype(np.float32),
        }
        if rewards:
            arrays |= {
                "rewards": rng.random(steps).astype(np.float32),
                "done": (np.arange(steps) == steps - 1).astype(np.float32),
            }
        save(folder / f"{i}.npz", arrays)
    return folder


@pytest.fixture(scope="module")
def run_convvae(load_script):
    return load_script(EXAMPLES / "run_convvae.py")


@pytest.mark.parametrize("row", every(CONVVAE, 5, fast=(0, 1)))
def test_convvae(run_convvae, without_figures, tmp_path, row):
    layers = (
        "--filters=3,4 --kernel_sizes=4,4 --decoder_filters=4 --decoder_kernel_sizes=5,6 --z_size=3"
    )
    size = 6 if row["last batch"] == "full" else 7  # of 12 frames
    options = " ".join(row[name] for name in ("preset", "computing", "order"))
    data = episodes(tmp_path / "data", colour=row["colour"])
    train(
        run_convvae,
        f"--dataset={data} --test_fraction=0.25 --num_epochs=1 --batch_size={size} {layers} "
        f"{options}",
        tmp_path,
    )


# --- run_mdnrnn.py ---

MDNRNN = {
    "heads": (["--predict_done --predict_reward", "--predict_done", "--predict_reward"], ""),
    "lengths": ([(4, 3, 4), (9, 3, 5)], (4, 4, 4)),
    "computing": (["--mixed_precision", "--jit_compile"], ""),
    "last batch": (["smaller", "full"],),
    "windows": (["", "--seq_len=2"],),
    "preset": in_turn(worldmodels.config.MDNRNN_PRESETS),
}


@pytest.fixture(scope="module")
def vision(tmp_path_factory):
    """A ConvVAE that was not trained."""
    path = tmp_path_factory.mktemp("vision") / "model.keras"
    layers = dict(
        filters=(3, 4), kernel_sizes=(4, 4), decoder_filters=(4,), decoder_kernel_sizes=(5, 6)
    )
    worldmodels.ConvVAE(image_shape=(14, 14, 1), z_size=3, dense_units=5, **layers).save(path)
    return path


@pytest.fixture(scope="module")
def run_mdnrnn(load_script):
    return load_script(EXAMPLES / "run_mdnrnn.py")


@pytest.mark.parametrize("row", every(MDNRNN, 10))
def test_mdnrnn(run_mdnrnn, vision, without_figures, tmp_path, row):
    data = episodes(tmp_path / "data", lengths=row["lengths"], rewards=True)
    small = f"--rnn_size=4 --num_mixture=2 --batch_size={1 if row['last batch'] == 'full' else 2}"
    options = " ".join(row[name] for name in ("preset", "heads", "windows", "computing"))
    train(
        run_mdnrnn,
        f"--vae={vision} --dataset={data} --test_fraction=0.25 --num_epochs=1 {small} {options}",
        tmp_path,
    )


# --- run_vrae.py ---

VRAE = {
    "data": (["ragged", "csv", "--window=3"], "npz"),
    "rnn": ("", "--rnn=gru"),
    "segments": ("", "--segment_steps=2"),
    "encoder": (["--attention", "--nobidirectional", "--num_layers=2", ""],),
    "decoder": (["", "--decoder=latent", "--teacher_forcing=0.5"],),
    "annealing": (
        ["--annealing=none", "--annealing=sigmoid", "--annealing=cyclical", "--free_bits=0.1"],
    ),
    "last batch": (["smaller", "full"],),
    "preset": in_turn([name for name in vrae.config.PRESETS if name != "series"]),
}


def series(folder: Path, kind: str) -> str:
    """Flags of five series of two features."""
    sequences, lengths = np.random.default_rng(0).normal(size=(5, 4, 2)), [4, 3, 4, 2, 4]
    if kind == "csv":
        rows = [f"{i},{x:.3f},{y:.3f}" for i, n in enumerate(lengths) for x, y in sequences[i, :n]]
        (folder / "series.csv").write_text("\n".join(["sequence,x,y", *rows]) + "\n")
        return f"--csv={folder / 'series.csv'}"
    mask = np.arange(4) < np.array(lengths if kind == "ragged" else [4] * 5)[:, None]
    save(
        folder / "series.npz",
        {"sequences": sequences.astype(np.float32), "mask": mask.astype(np.float32)},
    )
    return f"--npz={folder / 'series.npz'} {kind if kind.startswith('--') else ''}"


@pytest.fixture(scope="module")
def run_vrae(load_script):
    return load_script(EXAMPLES / "run_vrae.py")


@pytest.mark.parametrize("row", every(VRAE, 15))
def test_vrae(run_vrae, without_figures, tmp_path, row):
    size = 2 if row["last batch"] == "full" else 3
    small = f"--z_size=2 --rnn_size=3 --batch_size={size} --annealing_epochs=2"
    options = " ".join(
        row[n] for n in ("preset", "rnn", "encoder", "decoder", "segments", "annealing")
    )
    train(
        run_vrae,
        f"{series(tmp_path, row['data'])} --test_fraction=0.2 {small} {options} --num_epochs=1 "
        "--num_steps=2",
        tmp_path,
    )


@pytest.mark.slow
def test_vrae_by_the_recipe(run_vrae, without_figures, tmp_path):
    """The preset excludes settings of the rows above, such as --attention."""
    flags = f"{series(tmp_path, 'csv')} --preset=series --rnn_size=3 --num_epochs=2 --num_steps=4"
    lines = train(run_vrae, f"{flags} --test_fraction=0.4 --noise=step", tmp_path)
    assert len(lines) == 2 and lines[1]["learning_rate"] != lines[0]["learning_rate"]


# What the command has no flag for.
VRAE_MODEL = {
    "likelihood": (["gaussian", "bernoulli", "categorical"],),
    "condition_size": ([2, 2, 0],),
    "dtype": (["float32", "mixed_bfloat16", "mixed_bfloat16"],),
    "decoder": ("autoregressive", "latent"),
    "rnn": ("lstm", "gru"),
}


@pytest.mark.parametrize("row", every(VRAE_MODEL, 0, fast=(1,)))
def test_vrae_with_other_likelihoods_and_a_condition(tmp_path, row):
    rng = np.random.default_rng(0)
    tokens = row["likelihood"] == "categorical"
    batch = {
        "sequences": rng.integers(0, 3, (5, 4))
        if tokens
        else rng.random((5, 4, 3)).astype(np.float32),
        "mask": (np.arange(4) < np.array([4, 3, 4, 2, 4])[:, None]).astype(np.float32),
    }
    if row["condition_size"]:
        batch["condition"] = np.eye(2, dtype=np.float32)[[0, 1, 0, 1, 1]]
    model = vrae.VRAE(3, z_size=2, rnn_size=3, **row)
    trainer = Trainer(
        model,
        Batches(batch, 3),
        [Stage("all", 1, tuple(model.trainable_variables))],
        checkpoints=Checkpoints(tmp_path / "checkpoints", {}),
        log_folder=tmp_path,
        learning_rate=lambda epoch: 0.01,
        quiet=True,
    )
    (line,) = trainer.run().read()
    assert np.isfinite(line["train_loss"])


# --- run_vame.py ---

VAME = {
    "missing": (False, True),
    "future": ("--prediction_steps=2", "--prediction_steps=0"),
    "computing": ("", "--mixed_precision"),
    "dropout": (["", "--dropout_encoder=0.5"],),
    "motifs": (["--segmentation=kmeans", "--segmentation=hmm", "--n_communities=2"],),
    "preset": in_turn(vrae.vame.command_config.PRESETS),
    "keys": (["softplus", "noise", "batch_mixing", "others"],),
}
KEYS = {
    "": {},
    "softplus": {"softplus": True},
    "noise": {"noise": True},
    "batch_mixing": {"batch_mixing": True},
    "others": {
        "anneal_function": "sigmoid",
        "mse_reconstruction_reduction": "mean",
        "mse_prediction_reduction": "mean",
    },
}
"""`keys`: of VAME's config.yaml, for which the command has no flag."""


@pytest.fixture(scope="module")
def run_vame(load_script):
    return load_script(EXAMPLES / "run_vame.py")


@pytest.mark.parametrize("row", every(VAME, 10, fast=(1,)))
def test_vame(run_vame, without_figures, monkeypatch, tmp_path, row):
    monkeypatch.setattr(
        "vrae.vame.workflow.Config",
        lambda **given: vrae.vame.config.Config(**given | KEYS[row["keys"]]),
    )
    for name, positions in sessions().items():
        if row["missing"]:
            positions[1, 7:9] = np.nan
        save(tmp_path / "data" / f"{name}.npz", {"positions": positions})
    small = (
        "--time_window=4 --zdims=2 --hidden_size_layer_1=3 --hidden_size_rec=3 "
        "--hidden_size_pred=3 --kmeans_loss=2 "
        "--batch_size=4 --steps_per_epoch=2 --kl_start=0 --annealtime=1 --n_clusters=3 "
        "--max_epochs=1"
    )
    options = " ".join(row[name] for name in ("preset", "future", "computing", "dropout", "motifs"))
    missing = "--missing_values" if row["missing"] else ""
    train(run_vame, f"--dataset={tmp_path / 'data'} {options} {small} {missing}", tmp_path)


@pytest.mark.parametrize("factors", (CONVVAE, MDNRNN, VRAE, VRAE_MODEL, VAME))
def test_every_setting_is_in_a_row(factors):
    assert_every_setting_is_in_a_row(factors)
