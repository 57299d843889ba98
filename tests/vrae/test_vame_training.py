"""From sessions to a trained model and its codes: data, training, resume, and every wrong input."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.tolerances import SAME_FLOAT32
from vrae import vame
from vrae.vame import data, epochs, rnn_vae
from vrae.vame.config import Config, read_config, write_config

GOLDEN = Path(__file__).parents[1] / "golden" / "vame" / "dataset.npz"
SMALL = Config(
    num_features=3,
    time_window=5,
    batch_size=8,
    max_epochs=4,
    kl_start=0,
    annealtime=2,
    kmeans_loss=2,
    zdims=2,
    prediction_steps=2,
    hidden_size_layer_1=4,
    hidden_size_rec=3,
    hidden_size_pred=3,
    steps_per_epoch=3,
    model_snapshot=2,
)


def sessions(count=2, frames=150, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(frames)
    return {
        f"s{i}": 5
        + 2 * np.sin(time / 5 + rng.uniform(0, 6, (3, 1)))
        + 0.1 * rng.standard_normal((3, frames))
        for i in range(count)
    }


def project(folder, made=None, **options):
    """A project's config, its data made."""
    config = folder / "config.yaml"
    write_config(config, replace(SMALL, project_path=str(folder), **options))
    vame.create_training(config, sessions() if made is None else made)
    return str(config)


@pytest.fixture(scope="module")
def traced():
    """Whether it was in training, at every trace of the encoder in the training of `whole`."""
    return []


@pytest.fixture(scope="module")
def whole(tmp_path_factory, traced):
    folder, call = tmp_path_factory.mktemp("whole"), vame.rnn_model.Encoder.call

    def counted(self, inputs, training=False):
        traced.append(training)
        return call(self, inputs, training)

    config = project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vame.rnn_model.Encoder, "call", counted)
        return folder, config, rnn_vae.train_model(config, save_logs=True)


# --- data ---


@pytest.mark.parametrize("mode", ("mode_1", "mode_2"))
@pytest.mark.parametrize("fraction", ("0.1", "0.25"))
def test_splits_are_vames(mode, fraction):
    arrays = np.load(GOLDEN, allow_pickle=False)
    given = {name: arrays[f"session/{name}"] for name in ("s0", "s1", "s2")}
    train, test = data.split_sessions(given, float(fraction), mode, seed=42)
    np.testing.assert_array_equal(
        np.concatenate(train, 1), arrays[f"split/{mode}/{fraction}/train"]
    )
    np.testing.assert_array_equal(np.concatenate(test, 1), arrays[f"split/{mode}/{fraction}/test"])


def test_normalisation_is_vames():
    arrays = np.load(GOLDEN, allow_pickle=False)
    found = data.statistics([arrays["train_raw"].T])
    np.testing.assert_allclose(found[:2], (arrays["mean"], arrays["std"]), rtol=1e-12)
    np.testing.assert_array_equal(found.normalise(arrays["train_raw"].T), arrays["train_norm"])
    np.testing.assert_array_equal(found.normalise(arrays["test_raw"]), arrays["test_norm"])


def test_no_window_reaches_over_the_end_of_a_piece_and_every_beginning_is_drawn():
    pieces = [
        np.arange(first, first + n)[None].repeat(2, axis=0)
        for first, n in ((0, 7), (100, 3), (200, 5))
    ]
    windows = data.Windows(pieces, 4)
    assert len(windows) == 4 + 2
    every = np.concatenate(list(windows.every(1, 4)))
    assert (np.diff(every, axis=2) == 1).all() and every[:, 0, 0].tolist() == [0, 1, 2, 3, 200, 201]
    drawn = np.concatenate(list(windows.drawn(50, 4, (1, 2))))
    assert drawn.shape == (200, 2, 4) and set(drawn[:, 0, 0]) == {0, 1, 2, 3, 200, 201}
    np.testing.assert_array_equal(drawn, np.concatenate(list(windows.drawn(50, 4, (1, 2)))))
    assert [len(batch) for batch in windows.every(2, 2)] == [2, 1]


@pytest.mark.parametrize(
    "frames, stride, count", ((10, 1, 1), (70, 1, 61), (200, 2, 96), (800, 5, 159))
)
def test_a_short_test_piece_has_more_than_a_few_test_windows(frames, stride, count):
    """At least 64, or all there are, for windows of 10 frames; windows that overlap only where it
    takes them."""
    windows = data.Windows([np.zeros((1, frames))], 10)
    assert windows.stride(5) == stride
    assert sum(len(batch) for batch in windows.every(stride, 50)) == count


# --- training ---


def test_a_training_leaves_vames_files_and_every_epoch_in_them(whole):
    folder, _, trained = whole
    assert trained.epochs == 4 and trained.best_epoch >= 2
    best = folder / "model" / "best_model"
    assert {p.name for p in best.iterdir()} == {
        "VAME_project.npz",
        "VAME_project.json",
        "snapshots",
    }
    assert {p.name for p in (best / "snapshots").glob("*.npz")} == {
        "VAME_project_epoch_2.npz",
        "VAME_project_epoch_4.npz",
    }
    losses = {
        p.stem: np.load(p, allow_pickle=False)
        for p in (folder / "model" / "model_losses").iterdir()
    }
    assert set(losses) == {
        f"{name}_VAME"
        for name in (
            "train_losses",
            "test_losses",
            "kmeans_losses",
            "kl_losses",
            "weight_values",
            "mse_train_losses",
            "mse_test_losses",
            "fut_losses",
        )
    }
    assert all(values.shape == (4,) and values.dtype == np.float64 for values in losses.values())
    np.testing.assert_allclose(losses["weight_values_VAME"], [0.5, 1, 1, 1])
    lines = [
        json.loads(line) for line in (folder / "model" / "metrics.jsonl").read_text().splitlines()
    ]
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]
    assert trained.best_mse == min(line["test_mse"] for line in lines[1:])


def test_a_step_is_compiled_once_for_all_epochs(whole, traced):
    # a step of training, and steps of testing for whole batches and the smaller last one
    assert traced == [True, False, False]


@pytest.mark.slow
def test_a_stopped_training_resumes_to_the_same_weights(whole, tmp_path, monkeypatch):
    config, taken, step = project(tmp_path), [], epochs.train

    def dying(*args, **kwargs):
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(1)
        return step(*args, **kwargs)

    monkeypatch.setattr("vrae.vame.training.train", dying)
    with pytest.raises(KeyboardInterrupt):
        rnn_vae.train_model(config, save_logs=True)
    monkeypatch.undo()
    assert rnn_vae.train_model(config, save_logs=True)[:3] == whole[2][:3]
    for name in ("VAME_project.npz", "snapshots/VAME_project_epoch_4.npz"):
        a, b = (
            np.load(folder / "model" / "best_model" / name, allow_pickle=False)
            for folder in (whole[0], tmp_path)
        )
        for key in a.files:
            np.testing.assert_array_equal(a[key], b[key])
    assert rnn_vae.train_model(config, save_logs=True).epochs == 4  # nothing is left to do


def test_a_training_of_other_data_is_not_gone_on_with(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    config = project(tmp_path, sessions(seed=5))
    with pytest.raises(RuntimeError, match=r"a checkpoint of another configuration \(data"):
        rnn_vae.train_model(config, save_logs=True)


@pytest.mark.slow
def test_a_short_training_has_a_best_model_too(tmp_path):
    config = project(tmp_path, max_epochs=1, kl_start=5, model_convergence=1)
    assert rnn_vae.train_model(config, save_logs=True).best_epoch == 1
    assert (tmp_path / "model" / "best_model" / "VAME_project.npz").exists()


@pytest.mark.slow
@pytest.mark.eager
def test_it_stops_when_nothing_improves(tmp_path):
    options = dict(max_epochs=12, steps_per_epoch=1, annealtime=1, model_convergence=1)
    assert (
        rnn_vae.train_model(project(tmp_path, learning_rate=0.9, **options), save_logs=True).epochs
        < 12
    )


@pytest.mark.slow
@pytest.mark.eager
def test_a_trained_model_is_evaluated_on_every_test_window_of_a_short_test_piece(whole):
    folder, config, _ = whole
    figures = vame.evaluate(config)
    assert json.loads((folder / "model" / "evaluate" / "evaluation.json").read_text()) == figures
    assert (folder / "model" / "evaluate" / "future_reconstruction.png").stat().st_size > 10_000
    model, statistics, _ = vame.load_best(config)
    errors, next_errors, held = [], [], []
    pieces = [statistics.normalise(piece).T for piece in data.training_data(read_config(config))[1]]
    for values in [piece[i : i + 10] for piece in pieces for i in range(len(piece) - 9)]:
        made = model(values[None, :5])
        errors.append((made.prediction[0] - values[:5]) ** 2)
        next_errors.append((made.future[0] - values[5:7]) ** 2)
        held.append((values[4] - values[5:7]) ** 2)
    expected = {
        "mse": np.mean(errors),
        "future_mse": np.mean(next_errors),
        "hold_mse": np.mean(held),
    }
    assert figures == pytest.approx(expected, rel=1e-4)
    with pytest.raises(
        AttributeError, match=r"module 'vrae\.vame' has no attribute 'evaluation_of'"
    ):
        vame.evaluation_of  # noqa: B018


@pytest.mark.slow
def test_missing_values_count_for_nothing(tmp_path):
    given = sessions()
    holes = {name: values.copy() for name, values in given.items()}
    random = np.random.default_rng(1)
    for values in holes.values():
        values[random.random(values.shape) < 0.2] = np.nan
    config = project(tmp_path, holes, missing_values=True, max_epochs=2)
    trained = rnn_vae.train_model(config, save_logs=True)
    assert np.isfinite(trained.best_mse)
    model, statistics, settings = vame.load_best(config)
    codes = vame.embed(model, statistics, settings, holes["s0"])
    assert codes.shape == (146, 2) and np.isfinite(codes).all()
    x, mask = np.ones((2, 3)), np.array([[1.0, 0, 1], [1, 1, 1]])
    moved = np.where(mask > 0, x + 2, 99.0)
    np.testing.assert_allclose(rnn_vae.reconstruction_loss(x, moved, "sum", mask), 5 * 4)
    np.testing.assert_allclose(rnn_vae.reconstruction_loss(x, moved, "mean", mask), 4)


@pytest.mark.eager
@pytest.mark.slow
def test_codes_are_those_of_normalised_windows_one_by_one(whole, monkeypatch):
    _, config, _ = whole
    model, statistics, settings = vame.load_best(config)
    session, done = sessions(1, 60, seed=9)["s0"], []
    monkeypatch.setattr("vrae.vame.project._CHUNK", 7)
    codes = vame.embed(model, statistics, settings, session, done.append)
    assert codes.shape == (56, 2) and sum(done) == 56
    for i in (0, 6, 7, 55):
        window = statistics.normalise(session[:, i : i + 5]).T[None]
        np.testing.assert_allclose(codes[i], model(window).mu[0], **SAME_FLOAT32)


def model(**options):
    return vame.rnn_model.RNN_VAE(
        **dict(
            TEMPORAL_WINDOW=10,
            ZDIMS=2,
            NUM_FEATURES=3,
            FUTURE_DECODER=True,
            FUTURE_STEPS=2,
            hidden_size_layer_1=4,
            hidden_size_rec=3,
            hidden_size_pred=3,
        )
        | options
    )


@pytest.mark.eager
@pytest.mark.slow
def test_the_model_saves_takes_any_batch_and_has_vames_size(tmp_path):
    import keras

    made = model(dropout_encoder=0.3)
    made.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).standard_normal((4, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(again(x).prediction, made(x).prediction)
    np.testing.assert_allclose(made(x[:1]).prediction, made(x).prediction[:1], **SAME_FLOAT32)
    assert (
        np.abs(made(x, training=True, seed=1).mu - made(x, training=True, seed=1).mu).max() > 0
    )  # dropout
    default = vame.rnn_model.RNN_VAE(60, 30, 12, True, 15)
    assert default.count_params() == 2_587_732
    assert vame.rnn_model.RNN_VAE(60, 30, 12, False, 15).count_params() == 2_123_336


def test_a_code_of_zeros_has_a_cluster_loss_with_a_finite_gradient():
    z = tf.Variable(tf.zeros([4, 3]))
    with tf.GradientTape() as tape:
        loss = rnn_vae.cluster_loss(tf.transpose(z), 3, 0.1, 4)
    assert loss == 0 and np.isfinite(tape.gradient(loss, z)).all()


def test_training_data_is_mapped_from_its_files_not_read(whole):
    """Frames by the million are never all in memory: neither as they are nor normalised."""
    for piece in (*(pieces := data.training_data(read_config(whole[1])))[0], *pieces[1]):
        while not isinstance(piece, np.memmap):
            piece = piece.base
        assert piece.mode == "r"


@pytest.mark.slow
def test_figures_of_pieces_do_not_depend_on_the_parts_they_are_read_in(monkeypatch, tmp_path):
    pieces = [
        np.random.default_rng(i).standard_normal((3, n)) + 5.0 for i, n in enumerate((50, 7, 23))
    ]
    pieces[0][1, 4] = np.nan
    joined = np.concatenate(pieces, axis=1)
    monkeypatch.setattr(data, "_PART", 8)
    np.testing.assert_allclose(
        data.statistics(pieces)[:2], (np.nanmean(joined), np.nanstd(joined)), rtol=1e-13
    )
    data.save_pieces(tmp_path / "a.npy", pieces)
    np.testing.assert_array_equal(data.load_array(tmp_path / "a.npy"), joined)
    # of 5 frames the first piece has 46 windows, the second 3
    taken = data.Windows(pieces, 5, lambda windows: windows - 5.0).take(np.array([6, 46, 50]))
    for window, wanted in zip(
        taken, (pieces[0][:, 6:11], pieces[1][:, :5], pieces[2][:, 1:6]), strict=True
    ):
        np.testing.assert_allclose(window, wanted - 5.0)
