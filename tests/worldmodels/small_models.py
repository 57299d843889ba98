"""Small models with random weights: an agent's three parts."""

import keras
import numpy as np

from worldmodels import MDNRNN, Controller, ConvVAE

SHAPE = (6, 6, 3)


def small_vae(seed=0) -> ConvVAE:
    """Codes of 3 numbers for frames of 6x6 pixels."""
    keras.utils.set_random_seed(seed)
    return ConvVAE(
        z_size=3,
        image_shape=SHAPE,
        filters=(2,),
        kernel_sizes=(4,),
        decoder_filters=(),
        decoder_kernel_sizes=(6,),
    )


def small_rnn(seed=1, action_size=3, **options) -> MDNRNN:
    """An LSTM of 5 units; `options` are those of `MDNRNN`."""
    keras.utils.set_random_seed(seed)
    return MDNRNN(z_size=3, action_size=action_size, rnn_size=5, num_mixtures=2, **options)


def small_controller(seed=2, **options) -> Controller:
    """A controller with random weights that fits the two."""
    controller = Controller(**dict(z_size=3, rnn_size=5, action_size=3) | options)
    controller.vector = np.random.default_rng(seed).standard_normal(controller.size)
    return controller


def dodge_parts(ends=-100.0) -> tuple[ConvVAE, MDNRNN, Controller]:
    """Parts with one action, such as Dodge's. `ends` is the logit of the end of a dream."""
    rnn = small_rnn(action_size=1, predict_done=True)
    kernel, bias = rnn.head.get_weights()
    kernel[:, 0], bias[0] = 0.0, ends
    rnn.head.set_weights([kernel, bias])
    return small_vae(), rnn, small_controller(action_size=1, squash="tanh")
