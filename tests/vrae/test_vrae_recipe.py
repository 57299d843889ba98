"""The recipe for series of which nothing else is known: its rules, its training, its linear path;
what is said of a model beside simple methods."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.decomposition import PCA

from tests.tolerances import FLOAT32, SAME_FLOAT32, STANDARD_ERRORS
from vrae import VRAE, recipe
from vrae.baselines import Principal, are_classes, squared_error
from vrae.data import pad
from vrae.evaluation import about_usage, compared


def waves(count, lengths=(12,), seed=0):
    """Smooth series of two classes."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        t = np.linspace(0, 1, lengths[i % len(lengths)])
        made.append(rng.normal() + rng.normal() * t + 2.0 * (i % 2) * np.sin(6 * t))
    return pad(made, np.arange(count) % 2)


def test_sizes_and_likelihood_follow_the_series(capsys):
    model = VRAE.for_series([np.arange(70.0), np.arange(50.0) * 2], rnn_size=2)
    said = capsys.readouterr().out
    config = model.get_config()
    assert (config["patch"], config["cosines"], config["z_size"]) == (3, 32, 8)
    assert "patch=3" in said and "longest series has 70 steps" in said and not config["missing"]
    both = np.concatenate([np.arange(70.0), np.arange(50.0) * 2])
    np.testing.assert_allclose(config["scaling"]["mean"], [both.mean()])
    np.testing.assert_allclose(config["scaling"]["deviation"], [both.std()])
    gaps = np.random.default_rng(0).normal(size=(4, 6, 5))
    gaps[0, 2, 1] = np.nan
    gaps[..., 3] = 7.0
    chosen = recipe.choose(pad(gaps))
    assert chosen.options["missing"] and chosen.options["z_size"] == 16
    assert any("constant" in rule and "feature 3" in rule for rule in chosen.rules)
    bits = recipe.choose(pad(np.random.default_rng(0).integers(0, 2, (4, 6, 1)))).options
    assert bits["likelihood"] == "bernoulli" and "scaling" not in bits


def test_rates_and_weights_over_the_steps():
    rates = [recipe.rate_share(i, 3000) for i in range(3000)]
    assert rates[0] == 0.01 and np.argmax(rates) in (99, 100) and rates[100] == 1.0
    np.testing.assert_allclose(rates[1550], (1 + 0.02) / 2, rtol=1e-3)
    np.testing.assert_allclose(rates[-1], 0.02, rtol=1e-3)
    assert [recipe.kl_share(i, 3000) for i in (0, 300, 600, 2000)] == [0, 0.5, 1, 1]
    rows = list(recipe._rows(5, 3, 5, seed=0))
    assert len(rows) == 15 and [sorted(rows[i : i + 5]) for i in (0, 5, 10)] == [list(range(5))] * 3


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    series = waves(24, (12, 9))
    model = VRAE.for_series(series, verbose=False, rnn_size=6, z_size=3, seed=0)
    losses = recipe.train(model, series.batch(), steps=100, batch_size=8, seed=1)
    return model, series, losses


def test_training_lowers_the_loss_and_restores_the_weight_of_the_kl(trained):
    model, series, losses = trained
    assert len(losses) == 2 and losses[1] < losses[0] and float(model.kl_weight) == np.float32(0.1)
    figures = compared(model, series, series)
    assert figures["squared_error"] < 0.5 < figures["mean_squared_error"]
    np.testing.assert_allclose(figures["mean_squared_error"], 1.0, rtol=1e-4)
    assert figures["nearest_neighbour_accuracy"]["values"] == 1.0
    deviation = model.get_config()["scaling"]["deviation"]
    made = model.reconstruct(series.sequences, series.mask).numpy()
    error = np.square((made - series.sequences) / deviation)[series.mask > 0].mean()
    np.testing.assert_allclose(figures["squared_error"], error, rtol=1e-4)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_training(trained):
    model, series, _ = trained
    weights = model.get_weights()
    model.to_cosines.assign(np.full(model.to_cosines.shape, np.inf))
    with pytest.raises(FloatingPointError, match="steps 1 to 50: the loss is not finite"):
        recipe.train(model, series.batch(), steps=1)
    model.set_weights(weights)
    with pytest.raises(ValueError, match=r"sequences: expected .B, T, 1., got the shape"):
        recipe.train(model, {"sequences": np.zeros((2, 3, 2))})


class Made:
    """A model that adds `warp` to the series."""

    def __init__(self, features, **options):
        self.added = options["warp"]

    def predict(self, batch, verbose):
        return batch["sequences"] + self.added


def test_the_candidate_of_the_least_held_out_error_is_chosen(monkeypatch):
    taught = []
    monkeypatch.setattr(recipe, "train", lambda model, batch, **_: taught.append(batch))
    series = waves(10)
    options = {"scaling": {"mean": [0.0], "deviation": [2.0]}, "warp": 9.0}
    options["likelihood"] = "gaussian"
    candidates = [{"warp": w} for w in (0.4, 0.2, 0.8)]
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    trial = recipe.chosen_on_held_out(series, options, Made, candidates=candidates)
    assert trial.best == {"warp": 0.2} and len(taught[0]["sequences"]) == 8
    np.testing.assert_allclose([e for _, e in trial.errors], [0.04, 0.01, 0.16], rtol=1e-4)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert trial.rule().startswith(
        "squared error on held-out training series: 0.01 with warp=0.2 (chosen); 0.04 with"
    )


@pytest.mark.parametrize(
    "options, keep",
    [
        ({"likelihood": "bernoulli"}, ()),
        ({"likelihood": "gaussian"}, ("warp", "noise_floor")),
    ],
)
def test_where_there_is_nothing_to_choose_nothing_is_trained(options, keep, monkeypatch):
    monkeypatch.setattr(recipe, "train", None)
    trial = recipe.chosen_on_held_out(waves(10), options, Made, keep=keep)
    assert trial.best == {} and "nothing to choose" in trial.rule()


@pytest.mark.slow
@pytest.mark.eager
def test_held_out_series_choose_the_settings_of_a_model_of_series(capsys, monkeypatch):
    """The trial models are not trained on the held-out series; what the user gives stays."""
    taught = []
    monkeypatch.setattr(recipe, "train", lambda model, batch, **said: taught.append((batch, said)))
    series, few = waves(10), dict(rnn_size=2, z_size=2)
    model = VRAE.for_series(series, held_out=0.3, trial_steps=7, **few)
    said = capsys.readouterr().out
    assert [(len(batch["mask"]), about["steps"]) for batch, about in taught] == [(7, 7)] * 3
    warp, floor = (model.get_config()[name] for name in ("warp", "noise_floor"))
    assert f"with warp={warp:g}, noise_floor={floor:g} (chosen)" in said and "fixed" not in said
    taught.clear()
    model = VRAE.for_series(series, held_out=0.3, warp=0.2, **few)
    assert len(taught) == 2 and model.get_config()["warp"] == 0.2
    assert "warp=" not in capsys.readouterr().out
    VRAE.for_series(series, warp=0.2, **few)
    assert "mixing=0.5, noise_floor=0.001: fixed; held_out=0.2 compares" in capsys.readouterr().out


@pytest.mark.parametrize(
    "count, share, message",
    [
        (4, 1.0, "held_out: expected a share above 0 and below 1, got 1.0"),
        (4, -0.5, "held_out: expected 0 to 1, got -0.5"),
        (1, 0.2, "held_out: expected at least 2 training series, got 1"),
    ],
)
def test_shares_that_hold_nothing_out_are_refused(count, share, message):
    with pytest.raises(ValueError, match=message):
        VRAE.for_series(waves(count), held_out=share)


@pytest.mark.parametrize(
    "given",
    [{"likelihood": "bernoulli"}, {"likelihood": {"a": "gaussian"}}, {"decoder": "autoregressive"}],
)
def test_what_does_not_go_with_a_given_argument_is_left_out(given):
    series = pad(np.random.default_rng(0).random((4, 6, 1)))
    config = VRAE.for_series(series, verbose=False, rnn_size=2, **given).get_config()
    assert config["cosines"] == 0 and config | given == config
    assert (config["scaling"] is None) == (given.get("likelihood") == "bernoulli")


@pytest.mark.slow
def test_the_linear_path_contains_principal_components():
    """With the components in its two matrices and nothing in its networks."""
    keras.utils.set_random_seed(2)
    x = np.random.default_rng(0).normal(size=(20, 6, 2)) @ np.array([[1, 0.5], [0, 1]])
    x -= x.mean(0)
    flat = x.reshape(20, -1)
    pca = PCA(3).fit(flat)
    model = VRAE(2, z_size=3, rnn="gru", rnn_size=2, decoder="latent", positions=1, cosines=6)
    at = (np.arange(6) + 0.5) / 6
    waves = np.cos(np.pi * np.arange(6) * at[:, None])  # [T, K]
    to_coefficients = np.kron(np.linalg.inv(waves), np.eye(2))
    to_steps = np.kron(waves, np.eye(2))
    model.from_cosines.assign((pca.components_ @ to_steps).T)
    model.to_cosines.assign((to_coefficients @ pca.components_.T).T)
    for layer in (model.encoder.mean, model.decoder.to_output):
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    np.testing.assert_allclose(model.encode(x).mean(), pca.transform(flat), **FLOAT32)
    expected = pca.inverse_transform(pca.transform(flat)).reshape(x.shape)
    np.testing.assert_allclose(model.reconstruct(x), expected, **FLOAT32)


def test_principal_components_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 15, 5, 2))
    pca = PCA(3).fit(x.reshape(15, -1))
    ours = Principal(pad(x), 3)
    expected = pca.inverse_transform(pca.transform(y.reshape(15, -1))).reshape(y.shape)
    np.testing.assert_allclose(ours.reconstruction(pad(y)), expected, atol=1e-5)
    np.testing.assert_allclose(
        squared_error(pad(y), expected), np.square(y - expected).mean(), rtol=1e-5
    )
    line = pad([np.linspace(0, 1, n) * k for n, k in ((4, 1), (7, 2), (5, 3), (9, 4))])
    np.testing.assert_allclose(Principal(line, 1).reconstruction(line), line.sequences, atol=1e-5)


@pytest.mark.parametrize(
    "labels, expected",
    [
        (None, False),
        (np.array(["a", "b"]), True),
        (np.array([0.0, 1, 0, 1]), True),
        (np.array([0.5, 1, 0, 1]), False),
        (np.arange(100.0), False),
    ],
)
def test_what_labels_are_classes(labels, expected):
    assert are_classes(labels) == expected


def test_a_code_without_information_is_said_in_words():
    figures = {"kl": 18.2, "active_units": 0.0, "mutual_information": -0.22}
    figures["mutual_information_bound"] = np.log(4)
    first, second = about_usage(figures, 8)
    assert first == "0 of 8 numbers of z in use, 0.00 nats of mutual information with the series"
    assert second.startswith("z carries no information although 18.2 nats of KL are paid")
    assert "posterior collapse" in about_usage(figures | {"kl": 0.01}, 8)[1]
    said = about_usage(figures | {"kl": 0.01}, 8, autoregressive=True)[1]
    assert "the decoder is autoregressive. Use decoder=latent, teacher_forcing below 1" in said
    (only,) = about_usage(figures | {"active_units": 3.0, "mutual_information": 1.386}, 8)
    assert "at least 1.39 nats" in only and "their number, 4" in only


def test_free_bits_are_the_information_that_tells_series_apart():
    np.testing.assert_allclose(recipe.free_bits_of(1000, 10), np.log(1000) / 10)
    assert recipe.free_bits_of(2, 20) == 0.1


def test_tokens_are_drawn_from_the_logits_at_a_temperature():
    keras.utils.set_random_seed(3)
    model = VRAE(3, z_size=2, rnn_size=3, likelihood="categorical")
    z = np.tile([[0.3, -0.8]], (4000, 1)).astype(np.float32)
    most_probable = model.decode(z[:1], 5)
    np.testing.assert_array_equal(model.decode(z[:1], 5, temperature=1e-3, seed=1), most_probable)
    drawn = model.decode(z, 2, temperature=2.0, seed=1).numpy()
    logits = model.decoder(tf.constant(z[:1]), tf.constant(1)).numpy()[0, 0] / 2.0
    expected = np.exp(logits) / np.exp(logits).sum()
    found = np.bincount(drawn[:, 0], minlength=3) / 4000
    assert (np.abs(found - expected) < STANDARD_ERRORS * np.sqrt(expected / 4000)).all()
    # the second token depends on the first that was drawn
    after = [model.decode(z[:1], 2, temperature=1e-3, seed=1).numpy()[0, 1]]
    assert after[0] == most_probable[0, 1]
    assert model.generate(3, 4, temperature=1.0, seed=2).shape == (3, 4)


@pytest.mark.eager
@pytest.mark.slow
def test_lists_one_feature_and_labels_as_conditions():
    keras.utils.set_random_seed(4)
    model = VRAE(1, z_size=2, rnn_size=3, condition_size=3)
    rng = np.random.default_rng(0)
    parts, labels = [rng.normal(size=n) for n in (4, 2, 5)], np.array([2, 0, 1])
    padded = pad(parts)
    expected = model.encode(padded.sequences, padded.mask, np.eye(3)[labels]).mean()
    np.testing.assert_allclose(model.encode(parts, None, labels).mean(), expected, **SAME_FLOAT32)
    flat = padded.sequences[..., 0]
    np.testing.assert_allclose(
        model.encode(flat, padded.mask, labels).mean(), expected, **SAME_FLOAT32
    )
    model.compile("sgd")
    losses = [
        model.evaluate(batch | {"condition": labels}, verbose=0, return_dict=True)["kl"]
        for batch in ({"sequences": parts}, {"sequences": flat, "mask": padded.mask})
    ]
    np.testing.assert_allclose(*losses, **SAME_FLOAT32)
    plain = VRAE(1, z_size=2, rnn_size=3)
    plain.compile("sgd")
    assert np.isfinite(plain.fit(parts, verbose=0).history["loss"]).all()


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(patch=0), "patch: expected an integer of at least 1"),
        (dict(noise="both"), "noise: expected one of fixed, feature, step"),
        (dict(pooling="max"), "pooling: expected one of last, mean, position"),
        (dict(pooling="position"), "pooling: position needs positions of at least 1"),
        (dict(pooling="mean", attention=True), "pooling: expected last with attention"),
        (dict(segment_steps=2, patch=2), "segment_steps: expected None with patches"),
        (dict(cosines=2), "cosines: expected 0, or decoder='latent'"),
        (dict(hidden=0.1), "hidden: expected missing=True with it"),
        (dict(mixing=2), "mixing: expected 0 to 1, got 2"),
        (dict(warp=0.1, likelihood="bernoulli"), "warp: expected 0, or the likelihood gaussian"),
        (dict(missing=True, likelihood="categorical"), "missing, hidden: expected False and 0"),
        (dict(likelihood={"a": "gaussian"}), "likelihood: expected one kind for each of 3"),
        (
            dict(likelihood={"a": "gaussian", "b": 1, "c": 2}),
            "likelihood: column 'b': expected gaussian, student_t, bernoulli, or the number",
        ),
        (
            dict(scaling={"mean": [0], "deviation": [1]}),
            "scaling: expected a mean and a deviation for each of 3 features",
        ),
        (
            dict(scaling={"mean": [0] * 3, "deviation": [1, 1, 0]}),
            "scaling: expected finite means and deviations above 0",
        ),
        (
            dict(scaling={"mean": [0] * 3, "deviation": [1] * 3}, likelihood="bernoulli"),
            "scaling: expected None for bernoulli",
        ),
        (dict(logvar_start=9), "logvar_start: expected -15 to 5, got 9"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VRAE(3, **options)


def test_the_states_of_a_users_encoder_are_not_known():
    class Mine(keras.layers.Layer):
        def call(self, inputs, mask):
            return inputs[:, 0, :1], inputs[:, 0, :1]

    with pytest.raises(ValueError, match="encoder: expected the default encoder, got a custom"):
        VRAE(1, z_size=1, encoder=Mine(), rnn_size=1).pooled(np.zeros((1, 2, 1)))
