"""The Kalman VAE's view of `seqvae play` against the model's own methods."""

import base64
import dataclasses
import json
import types

import numpy as np
import pytest
import tensorflow as tf

import kvae
from kvae import play
from kvae.config import KVAESettings
from kvae.play import METHODS, ImputationView
from seqvae.data import Sequences
from tests.tolerances import FLOAT32, SAME_FLOAT32

SHAPE = (8, 8)


@pytest.fixture(scope="module")
def model():
    import keras

    keras.utils.set_random_seed(0)
    return kvae.KVAE(SHAPE, num_filters=(2,), alpha_units=3, init_kf_matrices=0.5)


def view_of(model, steps=7, **arrays):
    images = np.random.default_rng(0).random((3, steps, *SHAPE)) > 0.6
    return ImputationView(model, Sequences(**{"frames": images} | arrays), "m", "s")


@pytest.fixture(scope="module")
def view(model):
    return view_of(model)


def pixels(picture):
    found = np.frombuffer(base64.b64decode(picture["data"]), np.uint8)
    return found.reshape(picture["shape"])


@pytest.mark.slow
def test_rows_are_those_of_impute_and_generated_frames_use_the_first_stretch(model, view):
    found = view.answer({"sequence": 1, "hidden": [3, 4, 6]})
    images = np.random.default_rng(0).random((3, 7, *SHAPE))[1:2] > 0.6
    masks = np.array([[1, 1, 1, 0, 0, 1, 0], [1, 1, 1, 0, 0, 0, 0]], np.float32)
    whole, begun = (model.impute(images, mask[None]) for mask in masks)
    expected = (whole.smoothed, whole.filtered, begun.filtered)
    for name, frames in zip(METHODS, expected, strict=True):
        shown = pixels(found["rows"][name]["frames"])
        assert shown.shape == (7, *SHAPE)
        assert np.abs(shown - 255 * frames[0].numpy()).max() < 0.51
    np.testing.assert_array_equal(pixels(found["true"]), 255 * images[0])
    assert found["seen"] == (masks[0] > 0).tolist() and found["known"] == [True] * 7
    assert found["begun"] == (masks[1] > 0).tolist()
    json.dumps(found, allow_nan=False)


def test_generated_codes_follow_the_models_equations(model, view):
    """As `generate` from the state after the stretch, with the mixture of those codes held."""
    found = view.answer({"sequence": 0, "hidden": [2, 3, 4, 5, 6]})
    images = np.random.default_rng(0).random((3, 7, *SHAPE))[:1] > 0.6
    forecast = model.forecast(images[:, :2], 5, num_samples=4000, decode=False, seed=0)
    codes = np.array(found["plane"]["codes"]["generated"])[2:]
    error = np.sqrt(np.diagonal(forecast.a_cov[0], axis1=1, axis2=2) / 4000)
    assert (np.abs(codes - forecast.a_mean[0]) < 6 * error + 0.02 * np.abs(codes).max()).all()


def test_ellipses_hold_ninety_percent(model, view):
    found = view.answer({"sequence": 0, "hidden": [2, 3]})
    mask = np.ones((1, 7), np.float32)
    mask[:, 2:4] = 0
    images = np.random.default_rng(0).random((3, 7, *SHAPE))[:1] > 0.6
    cov = model.impute(images, mask).a_smoothed_cov[0, 2].numpy().astype(float)
    cov = (cov + cov.T) / 2
    axes = np.array(found["plane"]["axes"]["smoothed"][2])
    draws = np.random.default_rng(1).multivariate_normal(np.zeros(2), cov, 20_000)
    inside = np.square(np.linalg.solve(axes, draws.T)).sum(axis=0) < 1
    assert inside.mean() == pytest.approx(0.9, abs=6 * np.sqrt(0.09 / 20_000))


def test_the_deviation_of_pixels_is_that_of_decoded_sigma_points(model, view):
    found = view.answer({"sequence": 0, "hidden": [2]})
    mask = np.ones((1, 7), np.float32)
    mask[:, 2] = 0
    images = np.random.default_rng(0).random((3, 7, *SHAPE))[:1] > 0.6
    done = model.impute(images, mask)
    root = np.sqrt(2) * np.linalg.cholesky(done.a_smoothed_cov[0].numpy())
    points = [done.a_smoothed[0].numpy() + sign * root[..., i] for sign in (1, -1) for i in (0, 1)]
    spread = model.decode(np.stack(points).astype(np.float32)).mean().numpy().std(axis=0)
    shown = pixels(found["rows"]["smoothed"]["spread"])
    assert np.abs(shown - 2 * 255 * spread).max() < 0.51 + 255 * SAME_FLOAT32["atol"]


def test_the_deviation_is_exact_where_the_decoder_is_linear(model, view, monkeypatch):
    """Pixels C a of the codes have the variances of C cov C^T, which draws only approximate."""
    linear = np.random.default_rng(0).normal(size=(2, SHAPE[0] * SHAPE[1])).astype(np.float32)
    cov = np.array([[0.5, 0.2], [0.2, 0.3]], np.float32)

    def decode(codes):
        frames = tf.reshape(codes @ linear, [*codes.shape[:2], *SHAPE])
        return types.SimpleNamespace(mean=lambda: frames)

    monkeypatch.setattr(view._model, "decode", decode)
    shape = (len(METHODS), 7, 2)
    found = view._spread_of(tf.zeros(shape), tf.broadcast_to(cov, [*shape, 2]))
    expected = np.sqrt(np.diag(linear.T @ cov @ linear)).reshape(SHAPE)
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), **FLOAT32)


def test_errors_are_on_hidden_frames_beside_the_last_seen_one(view):
    found = view.answer({"sequence": 0, "hidden": [3, 4]})
    assert [name for name, _ in found["errors"]] == [*METHODS, "last observed frame"]
    true = pixels(found["true"]) / 255
    last = np.sqrt(np.square(true[[3, 4]] - true[[2, 2]]).mean())
    assert dict(found["errors"])["last observed frame"] == pytest.approx(last, rel=1e-6)
    smoothed = pixels(found["rows"]["smoothed"]["frames"])[3:5] / 255
    rmse = np.sqrt(np.square(smoothed - true[3:5]).mean())
    assert dict(found["errors"])["smoothed"] == pytest.approx(rmse, abs=2e-3)
    assert view.answer({"sequence": 0, "hidden": []})["errors"] == []


@pytest.mark.slow
def test_frames_that_are_missing_in_the_data_stay_so(model, monkeypatch):
    monkeypatch.setattr(play, "_MOST_STEPS", 6)
    mask = np.ones((3, 7), np.float32)
    mask[0, 2] = mask[1, :6] = 0
    images = np.random.default_rng(0).random((3, 7, *SHAPE)).astype(np.float32)
    images[mask == 0] = np.nan
    found = view_of(model, frames=images, mask=mask)
    about = found.about()
    assert (about["sequences"], about["steps"], about["whole_steps"]) == (2, 6, 7)
    answer = found.answer({"sequence": 0, "hidden": [2, 3]})
    assert answer["known"] == (mask[0, :6] > 0).tolist() and not answer["seen"][2]
    assert not pixels(answer["true"])[2].any()
    assert np.isfinite([error for _, error in answer["errors"]]).all()
    with pytest.raises(ValueError, match="s: expected an observed frame among the first 6"):
        view_of(model, frames=images[1:2], mask=mask[1:2])


@pytest.mark.slow
def test_pixels_that_are_missing_in_the_data_stay_so(model):
    mask = np.random.default_rng(1).random((3, 7, *SHAPE)) > 0.3
    images = np.random.default_rng(0).random((3, 7, *SHAPE)).astype(np.float32)
    answer = view_of(model, frames=images, mask=mask).answer({"sequence": 0, "hidden": [3]})
    one = mask[:1].copy()
    one[:, 3] = False
    expected = model.impute(images[:1], one).smoothed[0].numpy()
    assert np.abs(pixels(answer["rows"]["smoothed"]["frames"]) - 255 * expected).max() < 0.51


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({}, "sequence: expected a whole number from 0 to 2, got None"),
        ({"sequence": 0}, "hidden: expected a list of frames, got None"),
        ({"sequence": 0, "hidden": [7]}, "hidden: expected a whole number from 0 to 6, got 7"),
        ({"sequence": 0, "hidden": list(range(7))}, "Leave at least one frame"),
    ],
)
def test_messages_that_are_refused(view, message, error):
    with pytest.raises(ValueError, match=error):
        view.answer(message)


@pytest.mark.slow
def test_a_code_of_one_number_is_shown_over_time():
    model = kvae.KVAE(SHAPE, num_filters=(2,), alpha_units=3, dim_a=1, dim_z=2)
    plane = view_of(model).answer({"sequence": 0, "hidden": [2]})["plane"]
    assert [x for x, _ in plane["codes"]["smoothed"]] == list(range(7))
    (across, _), _ = plane["axes"]["smoothed"][2]
    assert across == 0


def test_frames_of_another_size_are_refused(model):
    sequences = Sequences(np.zeros((2, 4, 6, 6), bool))
    with pytest.raises(ValueError, match=r"v: expected frames \(8, 8\), .* got \(6, 6\)"):
        ImputationView(model, sequences, "m", "v")


# --- runs ---


@pytest.fixture
def run(tmp_path, model):
    """A finished run on an .npz."""
    images = np.random.default_rng(0).random((4, 5, *SHAPE)) > 0.6
    np.savez(tmp_path / "v.npz", images=images)
    np.savez(tmp_path / "v_test.npz", images=~images)
    folder = tmp_path / "mine_kvae"
    folder.mkdir()
    settings = KVAESettings(dataset=str(tmp_path / "v.npz"), run_name="mine")
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(settings)))
    model.save(folder / "model.keras")
    return folder, ~images


def test_a_run_is_shown_on_its_test_sequences_or_on_given_data(run, tmp_path):
    folder, test = run
    assert play.recognises(folder) and not play.recognises(tmp_path)
    view = play.open_view(folder, "", 0)
    np.testing.assert_array_equal(
        pixels(view.answer({"sequence": 2, "hidden": []})["true"]), 255 * test[2]
    )
    np.savez(tmp_path / "other.npz", images=test[:1, :3])
    about = play.open_view(folder, str(tmp_path / "other.npz"), 0).about()
    assert (about["sequences"], about["steps"], about["name"]) == (1, 3, str(folder))


def test_runs_that_are_refused(run):
    folder, _ = run
    saved = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(saved | {"csv": "t.csv"}))
    with pytest.raises(ValueError, match=r"mine_kvae: a run on series of numbers"):
        play.open_view(folder, "", 0)
    (folder / "config.json").write_text(json.dumps(saved | {"dataset": "gone.npz"}))
    with pytest.raises(FileNotFoundError, match=r"gone\.npz"):
        play.open_view(folder, "", 0)
    (folder / "model.keras").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"model\.keras: not a \.keras file that can be read"):
        play.open_view(folder, "", 0)
    (folder / "model.keras").unlink()
    with pytest.raises(ValueError, match=r"no model\.keras, the run has not ended\. Resume it: "):
        play.open_view(folder, "", 0)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: damaged"):
        play.recognises(folder)


def test_without_a_model_that_ships_the_command_is_named(monkeypatch):
    monkeypatch.setattr(play, "packaged_presets", lambda kind: {})
    with pytest.raises(play.NoModelError, match="`seqvae kvae --preset=demo --run_name=mine`"):
        play.open_view(None, "", 0)


@pytest.mark.slow
def test_the_model_that_ships_beats_the_last_seen_frame():
    view = play.open_view(None, "", 0)
    errors = [
        dict(view.answer({"sequence": i, "hidden": list(range(4, 12))})["errors"]) for i in range(8)
    ]
    mean = {name: np.mean([each[name] for each in errors]) for name in errors[0]}
    assert mean["smoothed"] < mean["filtered"] < mean["last observed frame"]
