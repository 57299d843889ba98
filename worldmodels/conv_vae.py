"""`ConvVAE`: the vision model of World Models as a Keras model, in its TensorFlow and its course-Keras form."""

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from seqvae.objectives import bounded, gaussian_kl
from seqvae.randomness import fold, normal, stateless_seed
from seqvae.training import SequenceModel
from worldmodels import arguments, networks, original
from worldmodels.course import CourseMethods, RMSprop
from worldmodels.results import ConvVAETerms

ARCHITECTURES = {
    "worldmodels": {"filters": (32, 64, 128, 256), "decoder_filters": (128, 64, 32)},
    "course": {"filters": (32, 64, 64, 128), "decoder_filters": (64, 64, 32)},
}
_LOGVAR_RANGE = -20.0, 10.0  # standard deviations of 5e-5 to 150: no trained model comes near, exp stays finite


@keras.saving.register_keras_serializable(package="worldmodels")
class ConvVAE(CourseMethods, SequenceModel):
    """The convolutional VAE of World Models (Ha and Schmidhuber 2018, arXiv:1803.10122, appendix A.1).

        z ~ N(mu(x), diag exp(logvar(x)))       four convolutions, stride 2, no padding
        x' = sigmoid(decoder(z))                a dense layer to 1x1, four transposed convolutions, stride 2

    Frames are uint8 or floats in [0, 1], [..., *image_shape] with any leading axes. Weights are made by the constructor.

    Args:
        architecture: "worldmodels": filters 32, 64, 128, 256, summed squared error and a floored KL; "course": the Keras
            form of the course text, filters 32, 64, 64, 128, 10 x mean squared error and mean KL. Decides the loss and what
            `optimizer_of_architecture` gives, and the filters where none are given.
        z_size: size of the code.
        kl_tolerance: floor of a frame's KL, nats per dimension of z (worldmodels).
        image_shape: (H, W, C) of a frame, H = W.
        filters, kernel_sizes: of the encoder's layers; decoder_filters (all but the last layer's), decoder_kernel_sizes:
            of the decoder's. Default: the architecture's, for 64x64 frames.
        dense_units: of the decoder's first layer.
        seed: of the noise where a call gives none.

    Raises:
        ValueError: an argument is out of range, or the layers do not fit the frames; the message says which kernels would.
    """

    term_names = ConvVAETerms._fields

    def __init__(
        self, *, architecture="worldmodels", z_size=32, kl_tolerance=0.5, image_shape=(64, 64, 3), filters=None,
        kernel_sizes=(4, 4, 4, 4), decoder_filters=None, decoder_kernel_sizes=(5, 5, 6, 6), dense_units=1024, seed=None,
        dtype=None, name="conv_vae",
    ):  # fmt: skip
        arguments.check_choice("architecture", architecture, ARCHITECTURES)
        arguments.check_at_least(1, z_size=z_size, dense_units=dense_units)
        arguments.check_at_least(0, kl_tolerance=kl_tolerance)
        super().__init__(name=name, dtype=dtype, seed=seed)
        self.architecture, self.z_size, self.kl_tolerance = architecture, z_size, kl_tolerance
        self.image_shape = arguments.check_image_shape(image_shape)
        default = ARCHITECTURES[architecture]
        sizes = {
            "filters": default["filters"] if filters is None else filters,
            "kernel_sizes": kernel_sizes,
            "decoder_filters": default["decoder_filters"] if decoder_filters is None else decoder_filters,
            "decoder_kernel_sizes": decoder_kernel_sizes,
        }
        sizes = {key: tuple(map(int, value)) for key, value in sizes.items()}
        networks.check_sizes(self.image_shape, *sizes.values())
        self._config = dict(
            architecture=architecture, z_size=z_size, kl_tolerance=kl_tolerance, image_shape=self.image_shape,
            dense_units=dense_units, seed=seed, **sizes,
        )  # fmt: skip
        options = dict(dtype=self.dtype_policy)
        self.encoder = networks.encoder(self.image_shape, z_size, sizes["filters"], sizes["kernel_sizes"], **options)
        self.decoder = networks.decoder(
            z_size, dense_units, self.image_shape[-1], sizes["decoder_filters"], sizes["decoder_kernel_sizes"], **options
        )  # fmt: skip
        self.built = True  # functional models have their weights from the start

    def get_config(self):
        base = super().get_config()
        return {name: base[name] for name in ("name", "dtype")} | self._config

    def optimizer_of_architecture(self) -> keras.optimizers.Optimizer:
        """A new optimiser: Adam(1e-4, epsilon 1e-8), or the course's RMSprop(1e-3), its epsilon outside the root."""
        if self.architecture == "course":
            return RMSprop(learning_rate=1e-3, name="rmsprop")
        return keras.optimizers.Adam(learning_rate=1e-4, epsilon=1e-8, name="adam")

    # --- frames and codes ---

    def encode(self, frames) -> tfd.Distribution:
        """q(z | x) for frames [..., H, W, C]: batch [...], event [z_size]."""
        mean, logvar = self._run(self._encode, self._checked(frames))
        return tfd.MultivariateNormalDiag(mean, tf.exp(0.5 * logvar))

    def decode(self, z) -> tf.Tensor:
        """Frames [..., H, W, C] in (0, 1) for codes z [..., z_size]."""
        return self._run(self._decode, arguments.check_last_axis("z", z, self.z_size))

    def reconstruct(self, frames) -> tf.Tensor:
        """`decode` of the mean of `encode`: frames [..., H, W, C] in (0, 1)."""
        return self._run(self._reconstruct, self._checked(frames))

    def sample(self, n: int, *, seed=None) -> tf.Tensor:
        """n frames [n, H, W, C] in (0, 1) from codes drawn from N(0, 1)."""
        arguments.check_at_least(1, n=n)
        return self.decode(tf.random.stateless_normal([n, self.z_size], stateless_seed(seed, self._seeds)))

    def call(self, frames) -> tf.Tensor:
        """`reconstruct`."""
        return self._reconstruct(frames["frames"] if isinstance(frames, dict) else frames)

    def _checked(self, frames) -> tf.Tensor:
        return arguments.check_frames(frames, self.image_shape)

    def _encode(self, frames) -> tuple[tf.Tensor, tf.Tensor]:
        leading = tf.shape(frames)[:-3]
        pixels = tf.cast(_floats(frames), self.compute_dtype)
        heads = self.encoder(tf.reshape(pixels, [-1, *self.image_shape]))
        mean, logvar = (tf.reshape(tf.cast(h, tf.float32), tf.concat([leading, [self.z_size]], 0)) for h in heads)
        return mean, bounded(logvar, *_LOGVAR_RANGE)

    def _decode(self, z) -> tf.Tensor:
        outputs = self.decoder(tf.cast(tf.reshape(z, [-1, self.z_size]), self.compute_dtype))
        frames = networks.frames_of(tf.cast(outputs, tf.float32))
        return tf.reshape(frames, tf.concat([tf.shape(z)[:-1], self.image_shape], 0))

    def _reconstruct(self, frames) -> tf.Tensor:
        return self._decode(self._encode(frames)[0])

    # --- training ---

    def loss_terms(self, frames, noise=None, *, seed=None, training=True) -> ConvVAETerms:
        """The loss of frames [N, H, W, C] and its parts, with z = mean + exp(logvar / 2) * noise.

        Args:
            frames: or a dict with `frames`.
            noise: [N, z_size]; None draws it from N(0, 1), with `seed`.
        """
        del training  # there is nothing that only training does
        frames = self._checked(frames["frames"] if isinstance(frames, dict) else frames)
        mean, logvar = self._encode(frames)
        if noise is None:
            noise = normal(tf.shape(mean), fold(stateless_seed(seed, self._seeds), 0))
        error = tf.square(_floats(frames) - self._decode(mean + tf.exp(0.5 * logvar) * noise))
        kl = gaussian_kl(mean, logvar)
        if self.architecture == "course":
            reconstruction, kl = 10.0 * tf.reduce_mean(error), tf.reduce_mean(kl)
        else:
            reconstruction = tf.reduce_mean(tf.reduce_sum(error, [-3, -2, -1]))
            kl = tf.reduce_mean(tf.maximum(tf.reduce_sum(kl, -1), self.kl_tolerance * self.z_size))
        return ConvVAETerms(reconstruction, kl, reconstruction + kl)

    def objective(self, terms: ConvVAETerms) -> tf.Tensor:
        """The loss: both parts have weight 1 in either form."""
        return terms.total

    def count(self, batch: dict) -> tf.Tensor:
        """The frames of a batch."""
        return tf.cast(tf.shape(batch["frames"])[0], tf.float32)

    # --- the original project's weights ---

    def load_json(self, path) -> None:
        """Sets the weights to those of a file that `save_json` or the original project wrote (`vae.json`).

        Raises:
            ValueError: no such list of arrays, or arrays of another model; nothing is changed.
        """
        original.load(self, original.read_json(path), source=str(path))

    def save_json(self, path) -> None:
        """Writes the weights as the original project does: integers of 1/10000, in its order of variables."""
        original.write_json(path, original.arrays(self))

    def original_arrays(self) -> list:
        """The weights in the original's order."""
        return [weight.numpy() for weight in self.trainable_variables]

    def set_original_arrays(self, arrays: list) -> None:
        """Sets the weights from arrays in the original's order and shapes."""
        for weight, value in zip(self.trainable_variables, arrays, strict=True):
            weight.assign(value)


def _floats(frames: tf.Tensor) -> tf.Tensor:
    """Frames as floats in [0, 1]."""
    return tf.cast(frames, tf.float32) / 255.0 if frames.dtype == tf.uint8 else tf.cast(frames, tf.float32)
