"""VAME's losses, its annealing, its noise, and a training and a test epoch, with its arguments in its order."""

import math

import keras
import numpy as np
import tensorflow as tf

from vrae.vame.rnn_model import RNN_VAE

_REDUCTIONS = ("sum", "mean")


def reconstruction_loss(x, x_tilde, reduction: str, mask=None) -> tf.Tensor:
    """The squared error of x_tilde, summed over batch, time and features, or their mean.

    mask: 1 where x was observed, 0 where it is missing and does not count, of x's shape or one that broadcasts to it.
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction: expected one of {', '.join(_REDUCTIONS)}, got {reduction!r}.")
    error = tf.square(x - x_tilde)
    if mask is None:
        return tf.reduce_sum(error) if reduction == "sum" else tf.reduce_mean(error)
    weight = tf.broadcast_to(tf.cast(mask, error.dtype), tf.shape(error))
    total = tf.reduce_sum(weight * error)
    return total if reduction == "sum" else tf.math.divide_no_nan(total, tf.reduce_sum(weight))


def future_reconstruction_loss(x, x_tilde, reduction: str, mask=None) -> tf.Tensor:
    """`reconstruction_loss` of what follows the window."""
    return reconstruction_loss(x, x_tilde, reduction, mask)


def cluster_loss(H, kloss: int, lmbda: float, batch_size: int) -> tf.Tensor:
    """VAME's k-means term: lmbda times the sum of the roots of the `kloss` largest singular values of H^T H / batch_size.

    Those are the singular values of H over sqrt(batch_size): H [ZDIMS, batch] itself is decomposed, by the eigenvalues of its
    smaller Gram matrix, which keeps the gradient finite where a singular value is 0.

    Raises:
        ValueError: kloss is less than 1.
    """
    if kloss < 1:
        raise ValueError(f"kloss: expected an integer of at least 1, got {kloss!r}.")
    return lmbda / math.sqrt(batch_size) * tf.reduce_sum(_singular_values(H)[: int(kloss)])


@tf.custom_gradient
def _singular_values(H):
    """Singular values of H [m, n], the greatest first. d s_i / d H = u_i v_i^T, and u_i = H v_i / s_i where s_i is not 0."""
    wide = tf.transpose(H) if H.shape[0] > (H.shape[1] or H.shape[0] + 1) else H
    squares, vectors = tf.linalg.eigh(tf.matmul(wide, wide, transpose_b=True))
    squares, vectors = tf.reverse(squares, [0]), tf.reverse(vectors, [1])
    values = tf.sqrt(tf.maximum(squares, 0.0))
    # what rounding leaves of a zero eigenvalue is about the greatest one's times the smallest difference from 1
    noise = tf.cast(wide.shape[0], H.dtype) * np.finfo(H.dtype.as_numpy_dtype).eps * squares[0]

    def gradient(upstream):
        inverse = tf.where(squares > noise, tf.math.rsqrt(tf.maximum(squares, noise + 1e-30)), tf.zeros_like(squares))
        d_wide = tf.matmul(vectors * (upstream * inverse), tf.matmul(vectors, wide, transpose_a=True))
        return tf.transpose(d_wide) if wide is not H else d_wide

    return tf.where(squares > noise, values, tf.zeros_like(values)), gradient


def kullback_leibler_loss(mu, logvar) -> tf.Tensor:
    """KL(q(z|x) || N(0, 1)), the mean over batch and dimensions, as VAME takes it (Kingma and Welling 2014, appendix B)."""
    return -0.5 * tf.reduce_mean(1.0 + logvar - tf.square(mu) - tf.exp(logvar))


def kl_annealing(epoch: int, kl_start: int, annealtime: int, function: str) -> float:
    """The weight of the KL and the cluster term in an epoch: 0 up to `kl_start`, then rising to 1.

    linear: in `annealtime` epochs; sigmoid: 1 / (1 + exp(-0.9 (epoch - annealtime))).

    Raises:
        ValueError: another function, or annealtime is 0.
    """
    if function not in ("linear", "sigmoid"):
        raise ValueError(f"anneal_function: expected one of linear, sigmoid, got {function!r}.")
    if annealtime < 1:
        raise ValueError(f"annealtime: expected an integer of at least 1, got {annealtime!r}.")
    if epoch <= kl_start:
        return 0.0
    if function == "linear":
        return min(1.0, (epoch - kl_start) / annealtime)
    return 1.0 / (1.0 + math.exp(-0.9 * (epoch - annealtime)))


def gaussian(ins, is_training: bool, seq_len: int, std_n: float = 0.8, *, noise=None, seed=(0, 0)) -> tf.Tensor:
    """ins [B, T, F] with normal noise of `std_n` times each sequence's own deviation over time, a feature at a time.

    noise: [B, T, F] standard normal numbers in place of drawn ones. seq_len: not used, T is that of ins.
    """
    del seq_len
    if not is_training:
        return ins
    steps = tf.cast(tf.shape(ins)[1], ins.dtype)
    deviation = tf.math.reduce_std(ins, axis=1, keepdims=True) * tf.sqrt(steps / (steps - 1.0))
    if noise is None:
        noise = tf.random.stateless_normal(tf.shape(ins), seed, dtype=ins.dtype)
    return ins + tf.cast(noise, ins.dtype) * std_n * deviation


def train(
    train_loader, epoch, model: RNN_VAE, optimizer, anneal_function, BETA, kl_start, annealtime, seq_len, future_decoder,
    future_steps, scheduler, mse_red, mse_pred, kloss, klmbda, bsize, noise, *, seed: int = 0, draws=None,
) -> tuple[float, float, float, float, float, float, int]:  # fmt: skip
    """An epoch of training.

    Args:
        train_loader: windows [B, NUM_FEATURES, 2 seq_len], as VAME stores them; NaN is missing.
        epoch: counted from 1. scheduler: `ReduceLROnPlateau`, or None; it is told the mean loss of the epoch (VAME tells it
            the last batch's).
        noise: True adds `gaussian` noise to the input. seed: of z and the noise.
        draws: [B, ZDIMS] standard normal numbers for each batch in place of drawn ones.

    Returns:
        The weight of the KL; means over the batches of the loss, the weighted cluster term, the KL and the two squared errors
        (the second 0 without a future decoder); the number of batches.
    """
    weight = kl_annealing(epoch, kl_start, annealtime, anneal_function)
    step = _train_step(
        model, optimizer, future_decoder, mse_red, mse_pred, kloss, klmbda, bsize, seq_len, future_steps, noise
    )
    sums, count = np.zeros(5), 0
    for count, windows in enumerate(train_loader, 1):
        drawn = None if draws is None else tf.convert_to_tensor(draws[count - 1], model.compute_dtype)
        seeds = tf.constant([seed, epoch * 1_000_003 + count], tf.int32)
        sums += step(_batch(windows, model), tf.constant(weight, model.compute_dtype), BETA, seeds, drawn).numpy()
    if not count:
        raise ValueError("train_loader: no batch in it. Fewer windows than a batch? Use a smaller batch_size.")
    total, cluster, kl, rec, future = sums / count
    if scheduler is not None:
        scheduler.step(total)
    return weight, total, weight * cluster, kl, rec, future, count


def test(
    test_loader, model: RNN_VAE, BETA, kl_weight, seq_len, mse_red, kloss, klmbda, future_decoder, bsize
) -> tuple[float, float, float]:
    """Over the batches of windows: the mean squared error, the mean loss without the future's, the weighted sum of the
    cluster term."""
    del future_decoder
    sums, count = np.zeros(3), 0
    for windows in test_loader:
        x, mask = _split(_batch(windows, model), 0, seq_len)
        z, mu, logvar = (outputs := model(x))[-3:]
        rec = reconstruction_loss(x, outputs.prediction, mse_red, mask)
        cluster = cluster_loss(tf.transpose(z), kloss, klmbda, bsize)
        total = rec + BETA * kl_weight * kullback_leibler_loss(mu, logvar) + kl_weight * cluster
        sums, count = sums + np.array([float(rec), float(total), float(cluster)]), count + 1
    if not count:
        raise ValueError("test_loader: no batch in it. Fewer windows than a batch? Use a smaller batch_size.")
    return sums[0] / count, sums[1] / count, kl_weight * sums[2]


class ReduceLROnPlateau:
    """VAME's scheduler: the rate times `factor` when the loss has not fallen for more than `patience` steps.

    Falling means by a thousandth of the best so far. (PyTorch's; Keras' callback has other thresholds and another count.)
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, factor: float, patience: int, threshold: float = 1e-3):
        self._optimizer, self._factor, self._patience, self._threshold = optimizer, factor, patience, threshold
        self.best, self._bad = math.inf, 0

    def step(self, loss: float) -> None:
        """Tells it the loss of an epoch."""
        if loss < self.best * (1.0 - self._threshold):
            self.best, self._bad = loss, 0
        else:
            self._bad += 1
        if self._bad > self._patience:
            rate = self._optimizer.learning_rate
            self._optimizer.learning_rate = float(rate) * self._factor
            self._bad = 0


@keras.saving.register_keras_serializable(package="vame")
class Adam(keras.optimizers.Adam):
    """AMSGrad as PyTorch computes it: epsilon after the bias correction; Keras has it before, which small gradients feel."""

    def __init__(self, learning_rate=5e-4, epsilon=1e-8, name="adam", **kwargs):
        super().__init__(learning_rate, epsilon=epsilon, name=name, **({"amsgrad": True} | kwargs))

    def update_step(self, gradient, variable, learning_rate):
        ops, i = keras.ops, self._get_variable_index(variable)
        gradient, rate = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        step = ops.cast(self.iterations + 1, variable.dtype)
        m, v, most = self._momentums[i], self._velocities[i], self._velocity_hats[i]
        self.assign(m, self.beta_1 * m + (1.0 - self.beta_1) * gradient)
        self.assign(v, self.beta_2 * v + (1.0 - self.beta_2) * ops.square(gradient))
        self.assign(most, ops.maximum(most, v))
        scale = ops.sqrt(most) / ops.sqrt(1.0 - self.beta_2**step) + self.epsilon
        self.assign_sub(variable, rate / (1.0 - self.beta_1**step) * m / scale)


def _train_step(
    model, optimizer, future_decoder, mse_red, mse_pred, kloss, klmbda, bsize, seq_len, future_steps, noise
):
    """A compiled step, kept by the model for the epochs that follow."""
    key = (id(optimizer), future_decoder, mse_red, mse_pred, kloss, klmbda, bsize, seq_len, future_steps, noise)
    steps = model.__dict__.setdefault("_train_steps", {})
    if key in steps:
        return steps[key]
    variables = model.trainable_variables
    optimizer.build(variables)

    def step(windows, weight, beta, seed, drawn):
        x, mask = _split(windows, 0, seq_len)
        seen = gaussian(x, True, seq_len, seed=tf.random.fold_in(seed, 1)) if noise is True else x
        with tf.GradientTape() as tape:
            outputs = model(seen, training=True, noise=drawn, seed=seed)
            z, mu, logvar = outputs[-3:]
            rec = reconstruction_loss(x, outputs.prediction, mse_red, mask)
            future = tf.zeros([], rec.dtype)
            if future_decoder:
                future = future_reconstruction_loss(*_future(windows, outputs.future, seq_len, future_steps, mse_pred))
            kl, cluster = kullback_leibler_loss(mu, logvar), cluster_loss(tf.transpose(z), kloss, klmbda, bsize)
            loss = rec + future + beta * weight * kl + weight * cluster
        gradients = tape.gradient(
            loss, [v.value for v in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        optimizer.apply(gradients, variables)
        return tf.stack([loss, cluster, kl, rec, future])

    steps[key] = tf.function(step, autograph=False, reduce_retracing=True)
    return steps[key]


def _future(windows, prediction, seq_len, future_steps, reduction):
    target, mask = _split(windows, seq_len, seq_len + future_steps)
    return target, prediction, reduction, mask


def _batch(windows, model) -> tf.Tensor:
    """[B, F, 2T] -> [B, 2T, F] in the model's type."""
    return tf.transpose(tf.cast(tf.convert_to_tensor(windows), model.compute_dtype), [0, 2, 1])


def _split(windows, first: int, last: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Steps first to last - 1, missing values as 0, the mean; and 1 where there was a value."""
    part = windows[:, first:last]
    missing = tf.math.is_nan(part)
    return tf.where(missing, tf.zeros_like(part), part), tf.cast(~missing, part.dtype)
