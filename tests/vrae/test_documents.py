"""Every name, argument and return of three documents exists: VAME's pages `rnn_vae` and
`rnn_model`, and the text on the variational recurrent auto-encoder."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from seqvae.objectives import KLAnnealing, gaussian_kl, linear
from tests.tolerances import FLOAT32, SAME_FLOAT32
from tests.vrae.test_vame_training import project
from vrae import VRAE, data
from vrae.vame import rnn_model, rnn_vae

pytestmark = pytest.mark.eager

# The pages' signatures. `forward` is of PyTorch's modules; its arguments are those of the call.
FUNCTIONS = {
    "reconstruction_loss": "x x_tilde reduction",
    "future_reconstruction_loss": "x x_tilde reduction",
    "cluster_loss": "H kloss lmbda batch_size",
    "kullback_leibler_loss": "mu logvar",
    "kl_annealing": "epoch kl_start annealtime function",
    "gaussian": "ins is_training seq_len std_n",
    "train": "train_loader epoch model optimizer anneal_function BETA kl_start annealtime seq_len "
    "future_decoder future_steps scheduler mse_red mse_pred kloss klmbda bsize noise",
    "test": "test_loader model BETA kl_weight seq_len mse_red kloss klmbda future_decoder bsize",
    "train_model": "config save_logs",
}
CLASSES = {
    "Encoder": ("NUM_FEATURES hidden_size_layer_1 hidden_size_layer_2 dropout_encoder", "inputs"),
    "Lambda": ("ZDIMS hidden_size_layer_1 hidden_size_layer_2 softplus", "hidden"),
    "Decoder": ("TEMPORAL_WINDOW ZDIMS NUM_FEATURES hidden_size_rec dropout_rec", "inputs z"),
    "Decoder_Future": (
        "TEMPORAL_WINDOW ZDIMS NUM_FEATURES FUTURE_STEPS hidden_size_pred dropout_pred",
        "inputs z",
    ),
    "RNN_VAE": (
        "TEMPORAL_WINDOW ZDIMS NUM_FEATURES FUTURE_DECODER FUTURE_STEPS hidden_size_layer_1 "
        "hidden_size_layer_2 "
        "hidden_size_rec hidden_size_pred dropout_encoder dropout_rec dropout_pred softplus",
        "seq",
    ),
}
X = np.random.default_rng(0).standard_normal((4, 10, 3)).astype(np.float32)
MODEL = 10, 2, 3, True, 2, 4, 4, 3, 3, 0.0, 0.0, 0.0, False


def names(function) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_pages_arguments_in_order(name):
    expected = FUNCTIONS[name].split()
    assert names(getattr(rnn_vae, name))[: len(expected)] == expected


@pytest.mark.parametrize("name", CLASSES)
def test_classes_have_the_pages_arguments_in_order(name):
    made, called = (part.split() for part in CLASSES[name])
    found = getattr(rnn_model, name)
    assert names(found.__init__)[: len(made)] == made
    assert names(found.call)[: len(called)] == called
    assert callable(found.forward)


def test_losses_return_scalars_and_annealing_a_number():
    z = tf.constant(X[:, 0, :2])
    losses = [
        rnn_vae.reconstruction_loss(x=X, x_tilde=X + 1, reduction="sum"),
        rnn_vae.future_reconstruction_loss(x=X, x_tilde=X + 1, reduction="mean"),
        rnn_vae.cluster_loss(H=tf.transpose(z), kloss=2, lmbda=0.1, batch_size=4),
        rnn_vae.kullback_leibler_loss(mu=z, logvar=z),
    ]
    assert all(value.shape == () and value > 0 for value in losses)
    np.testing.assert_allclose(losses[:2], [X.size, 1.0], **FLOAT32)
    np.testing.assert_allclose(losses[3], np.mean(gaussian_kl(z, z)), **FLOAT32)
    assert rnn_vae.kl_annealing(epoch=3, kl_start=2, annealtime=4, function="linear") == 0.25
    assert (
        rnn_vae.gaussian(ins=tf.constant(X), is_training=True, seq_len=10, std_n=0.8).shape
        == X.shape
    )


def test_layers_return_the_pages_shapes():
    hidden = rnn_model.Encoder(3, 4, 4, 0.0).forward(inputs=X)
    assert hidden.shape == (4, 16)
    z, mean, logvar = rnn_model.Lambda(2, 4, 4, False).forward(hidden=hidden)
    assert z.shape == mean.shape == logvar.shape == (4, 2)
    inputs = tf.repeat(z[:, None], 5, axis=1)
    assert rnn_model.Decoder(10, 2, 3, 3, 0.0).forward(inputs, z).shape == (4, 5, 3)
    assert rnn_model.Decoder_Future(10, 2, 3, 2, 3, 0.0).forward(inputs, z).shape == (4, 2, 3)


def test_the_model_returns_the_pages_tuples():
    prediction, future, z, mu, logvar = rnn_model.RNN_VAE(*MODEL).forward(X[:, :5])
    assert (prediction.shape, future.shape) == (
        (4, 5, 3),
        (4, 2, 3),
    ) and z.shape == mu.shape == logvar.shape == (4, 2)
    prediction, z, mu, logvar = rnn_model.RNN_VAE(*MODEL[:3], False, *MODEL[4:]).forward(
        seq=X[:, :5]
    )
    assert prediction.shape == (4, 5, 3) and z.shape == mu.shape == logvar.shape == (4, 2)


@pytest.mark.slow
def test_train_test_and_train_model(tmp_path):
    model, loader = rnn_model.RNN_VAE(*MODEL), [X.transpose(0, 2, 1)]
    found = rnn_vae.train(
        train_loader=loader,
        epoch=1,
        model=model,
        optimizer=rnn_vae.Adam(),
        anneal_function="linear",
        BETA=1,
        kl_start=0,
        annealtime=4,
        seq_len=5,
        future_decoder=True,
        future_steps=2,
        scheduler=None,
        mse_red="sum",
        mse_pred="sum",
        kloss=2,
        klmbda=0.1,
        bsize=4,
        noise=False,
    )
    kl_weight, *losses = found[:6]  # the weight of the KL; the loss, k-means, KL, MSE, future
    assert kl_weight == 0.25 and np.isfinite(losses).all()
    tested = rnn_vae.test(
        test_loader=loader,
        model=model,
        BETA=1,
        kl_weight=0.25,
        seq_len=5,
        mse_red="sum",
        kloss=2,
        klmbda=0.1,
        future_decoder=True,
        bsize=4,
    )
    assert len(tested) == 3 and np.isfinite(tested).all()
    config = project(tmp_path, max_epochs=1, steps_per_epoch=1)
    assert rnn_vae.train_model(config=config, save_logs=True).epochs == 1


# --- the text: definition, objective, workflow, extensions ---


def test_the_bound_is_the_reconstruction_less_the_kl():
    model = VRAE(3, z_size=2, rnn_size=4)
    terms, q = (
        model.loss_terms(X, seed=1, training=False),
        model.encode(X),
    )  # q(z|x) = N(mu, diag sigma^2)
    kl = np.mean(np.sum(gaussian_kl(q.mean(), 2.0 * tf.math.log(q.stddev())), -1))
    np.testing.assert_allclose(terms.kl, kl, **FLOAT32)
    np.testing.assert_allclose(model.objective(terms), -(terms.log_px - terms.kl), **FLOAT32)
    mse = model.likelihood.distribution(tf.zeros_like(X)).log_prob(
        X
    )  # squared errors, for continuous data
    np.testing.assert_allclose(mse, -0.5 * np.sum(X**2, -1) - 1.5 * np.log(2 * np.pi), **FLOAT32)


def test_the_workflow_of_the_text_end_to_end():
    series = data.pad([X[0], X[1, :4], X[2, :7]])  # 1. pad, standardise
    series = data.standardised(series, data.standardiser(series))
    model = VRAE(3, z_size=2, rnn="lstm", rnn_size=4)
    code = model.encode(series.sequences, series.mask).sample(
        seed=1
    )  # 2., 3. encoder, reparameterised draw
    assert model.decode(code, 10).shape == (3, 10, 3)  # 4.
    model.compile(keras.optimizers.Adam(0.01))  # 5., 6. loss and steps, with KL annealing
    assert np.isfinite(
        model.fit(
            series.sequences, series.mask, verbose=0, callbacks=[KLAnnealing(linear(0, 2))]
        ).history["loss"]
    ).all()
    assert model.generate(2, 6).shape == (2, 6, 3)  # 7. z ~ p(z), decoded


@pytest.mark.parametrize(
    "extension",
    [
        dict(rnn="gru"),
        dict(rnn="lstm"),
        dict(bidirectional=True),
        dict(attention=True),
        dict(segment_steps=2),
        dict(free_bits=0.5),
        dict(likelihood="categorical"),
        dict(condition_size=2),
        dict(decoder="latent"),
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_the_text_lists_is_an_argument(extension):
    """RNNs, bidirectional encoders, attention, hierarchy, free bits, discrete data, conditions, z
    at each step."""
    model = VRAE(3, z_size=2, rnn_size=3, **extension)
    batch = {"sequences": np.zeros((2, 4), int) if "likelihood" in extension else X[:2]}
    if "condition_size" in extension:
        batch["condition"] = np.eye(2, dtype=np.float32)
    terms = model.loss_terms(batch, seed=1)
    assert np.isfinite(terms).all()
    np.testing.assert_allclose(terms.elbo, terms.log_px - terms.kl, **SAME_FLOAT32)
