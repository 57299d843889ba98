"""Results of the methods of the Kalman VAE. The letters are those of GLOSSARY.md. Fields are never
None unless their documentation says so.
"""

from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd


class Mixed(NamedTuple):
    """The mixture weights and the mixed matrices at every step (paper, section 3.2)."""

    alpha: tf.Tensor
    """[B, T, K], softmax output of the dynamics network for a_0, ..., a_{t-1}."""
    A: tf.Tensor
    """[B, T, dim_z, dim_z], A_t = sum_k alpha_t[k] A[k], maps z_{t-1} to z_t. The first is not
    used: z_1 comes from the prior. After a missing frame it may be shrunk, see
    `kvae.lgssm.closed_loop.MOST_GROWTH`.
    """
    B: tf.Tensor
    """[B, T, dim_z, dim_u], mixed as A."""
    C: tf.Tensor
    """[B, T, dim_a, dim_z], mixed as A."""
    u: tf.Tensor
    """[B, T, dim_u], the controls: given, predicted (`learn_u`), or zero."""


class Filtered(NamedTuple):
    """p(z_t | a_{1:t}), the states given the frames observed so far."""

    mean: tf.Tensor
    """[B, T, dim_z]."""
    cov: tf.Tensor
    """[B, T, dim_z, dim_z]."""
    predicted_mean: tf.Tensor
    """[B, T, dim_z], mean of p(z_t | a_{1:t-1})."""
    predicted_cov: tf.Tensor
    """[B, T, dim_z, dim_z], covariance of p(z_t | a_{1:t-1})."""
    log_likelihood: tf.Tensor
    """[B, T], log p(a_t | a_{1:t-1}) = log N(a_t; C_t mu_{t|t-1}, S_t); 0 if the frame is
    missing.
    """
    alpha: tf.Tensor
    """[B, T, K], as in `Mixed`."""
    A: tf.Tensor
    """[B, T, dim_z, dim_z], as in `Mixed`."""
    B: tf.Tensor
    """[B, T, dim_z, dim_u], as in `Mixed`."""
    C: tf.Tensor
    """[B, T, dim_a, dim_z], as in `Mixed`."""
    a_mean: tf.Tensor
    """[B, T, dim_a], C_t mean: the mean of p(a_t | a_{1:t}) for an unobserved a_t."""
    a_cov: tf.Tensor
    """[B, T, dim_a, dim_a], C_t cov C_t' + R: its covariance."""

    def distribution(self) -> tfd.Distribution:
        """Make p(z_t | a_{1:t}).

        Returns:
            Batch [B, T], event [dim_z].
        """
        return tfd.MultivariateNormalTriL(self.mean, tf.linalg.cholesky(self.cov))


class Smoothed(NamedTuple):
    """p(z_t | a_{1:T}), the states given all observed frames."""

    mean: tf.Tensor
    """[B, T, dim_z]."""
    cov: tf.Tensor
    """[B, T, dim_z, dim_z]."""
    alpha: tf.Tensor
    """[B, T, K], as in `Mixed`."""
    A: tf.Tensor
    """[B, T, dim_z, dim_z], as in `Mixed`."""
    B: tf.Tensor
    """[B, T, dim_z, dim_u], as in `Mixed`."""
    C: tf.Tensor
    """[B, T, dim_a, dim_z], as in `Mixed`."""
    a_mean: tf.Tensor
    """[B, T, dim_a], C_t mean: the mean of p(a_t | a_{1:T}) for an unobserved a_t."""
    a_cov: tf.Tensor
    """[B, T, dim_a, dim_a], C_t cov C_t' + R: its covariance."""

    def distribution(self) -> tfd.Distribution:
        """Make p(z_t | a_{1:T}).

        Returns:
            Batch [B, T], event [dim_z].
        """
        return tfd.MultivariateNormalTriL(self.mean, tf.linalg.cholesky(self.cov))


class LgssmBound(NamedTuple):
    """The LGSSM's part of the ELBO (paper, section 3.1), in nats per observed frame.

    Fields are scalars, or [B] per sequence.

    total = transition + emission + initial + entropy, where q(z) is the exact posterior given a.

    - `marginal`: exact expectations; the total is log p(a_{1:T} | u_{1:T}).
    - `sampled`: one z_t drawn from each smoothed marginal; the entropy is that of the product of
      the marginals. With several draws the total is the importance-weighted bound, which is at
      least the sum of the other fields; these are means over the draws.
    """

    total: tf.Tensor
    """The bound."""
    transition: tf.Tensor
    """E_q sum_{t>1} log p(z_t | z_{t-1}, u_t)."""
    emission: tf.Tensor
    """E_q of the sum over observed t of log p(a_t | z_t)."""
    initial: tf.Tensor
    """E_q log p(z_1)."""
    entropy: tf.Tensor
    """-E_q log q(z)."""


class Elbo(NamedTuple):
    """The evidence lower bound (paper, section 3.1), in nats per observed frame.

    Fields are scalars, or [B] per sequence.
    """

    total: tf.Tensor
    """log_px - log_qa + lgssm. With several draws, the importance-weighted bound; the other fields
    are then means over the draws.
    """
    log_px: tf.Tensor
    """log p(x | a)."""
    log_qa: tf.Tensor
    """log q(a | x); 0 for the plain auto-encoder."""
    lgssm: tf.Tensor
    """The LGSSM's part, the sum of the fields below."""
    transition: tf.Tensor
    """As in `LgssmBound`."""
    emission: tf.Tensor
    """As in `LgssmBound`."""
    initial: tf.Tensor
    """As in `LgssmBound`."""
    entropy: tf.Tensor
    """As in `LgssmBound`."""


class CodeTerms(NamedTuple):
    """The term of training on codes."""

    lgssm: tf.Tensor
    """The LGSSM's part of the bound, in nats per observed frame."""


class LossTerms(NamedTuple):
    """The ELBO and its unweighted terms, in nats per observed frame."""

    elbo: tf.Tensor
    """log_px - log_qa + lgssm."""
    log_px: tf.Tensor
    """log p(x | a)."""
    log_qa: tf.Tensor
    """log q(a | x)."""
    lgssm: tf.Tensor
    """The LGSSM's part of the bound."""


class Imputed(NamedTuple):
    """Frames and codes with filled gaps."""

    smoothed: tf.Tensor
    """[B, T, *image_shape], the decoder's means at C_t E[z_t | a_{1:T}], which depends on the
    frames before and after a gap.
    """
    filtered: tf.Tensor
    """[B, T, *image_shape], the decoder's means at C_t E[z_t | a_{1:t}], which depends on the
    frames before.
    """
    reconstructed: tf.Tensor
    """[B, T, *image_shape], the decoder's means at the encoder's a_t, or at the smoothed one if the
    frame is missing. For a partly hidden frame, the encoder's code of the visible pixels often
    gives the best result.
    """
    a_encoded: tf.Tensor
    """[B, T, dim_a], the encoder's means; at missing frames those of a black frame."""
    a_smoothed: tf.Tensor
    """[B, T, dim_a], the codes of `smoothed`."""
    a_filtered: tf.Tensor
    """[B, T, dim_a], the codes of `filtered`."""
    z_smoothed: tf.Tensor
    """[B, T, dim_z], means of the smoothed states."""
    z_filtered: tf.Tensor
    """[B, T, dim_z], means of the filtered states."""
    alpha: tf.Tensor
    """[B, T, K], the mixture weights."""
    a_smoothed_cov: tf.Tensor
    """[B, T, dim_a, dim_a], covariances of a_t at `a_smoothed`, including the emission noise."""
    a_filtered_cov: tf.Tensor
    """[B, T, dim_a, dim_a], covariances of a_t at `a_filtered`, including the emission noise."""


class ImputedWithSamples(NamedTuple):
    """`Imputed`, with draws of the frames and their quantiles."""

    # Not two optional fields of `Imputed`: Keras' `predict` and `export` refuse None in outputs.
    smoothed: tf.Tensor
    """As in `Imputed`."""
    filtered: tf.Tensor
    """As in `Imputed`."""
    reconstructed: tf.Tensor
    """As in `Imputed`."""
    a_encoded: tf.Tensor
    """As in `Imputed`."""
    a_smoothed: tf.Tensor
    """As in `Imputed`."""
    a_filtered: tf.Tensor
    """As in `Imputed`."""
    z_smoothed: tf.Tensor
    """As in `Imputed`."""
    z_filtered: tf.Tensor
    """As in `Imputed`."""
    alpha: tf.Tensor
    """As in `Imputed`."""
    a_smoothed_cov: tf.Tensor
    """As in `Imputed`."""
    a_filtered_cov: tf.Tensor
    """As in `Imputed`."""
    samples: tf.Tensor
    """[S, B, T, *image_shape], draws of normal pixels or numbers, probabilities of Bernoulli
    pixels.
    """
    quantiles: tf.Tensor
    """[Q, B, T, *image_shape], quantiles of `samples`."""


class Scores(NamedTuple):
    """How well frames fit the model, in nats; 0 if a frame is missing."""

    total: tf.Tensor
    """[B, T], log_px + log_pa."""
    log_px: tf.Tensor
    """[B, T], log p(x_t | a_t)."""
    log_pa: tf.Tensor
    """[B, T], log p(a_t | a_{1:t-1})."""
    sequence: tf.Tensor
    """[B], the mean of `total` over the observed frames."""


class Generated(NamedTuple):
    """Generated sequences."""

    frames: Any
    """[B, num_steps, *image_shape], the decoder's means; None with decode=False."""
    a: tf.Tensor
    """[B, num_steps, dim_a]."""
    z: tf.Tensor
    """[B, num_steps, dim_z]."""
    alpha: tf.Tensor
    """[B, num_steps, K]."""


class Forecast(NamedTuple):
    """S draws of the H steps after the observed ones, and their moments.

    With `decode=False` the fields of frames are None.
    """

    a: tf.Tensor
    """[S, B, H, dim_a]."""
    z: tf.Tensor
    """[S, B, H, dim_z]."""
    a_mean: tf.Tensor
    """[B, H, dim_a], mean of the draws."""
    a_cov: tf.Tensor
    """[B, H, dim_a, dim_a], covariance of the draws."""
    a_quantiles: tf.Tensor
    """[Q, B, H, dim_a], quantiles of each number of a."""
    frames: Any
    """[S, B, H, *image_shape], draws of normal pixels or numbers, probabilities of Bernoulli
    pixels.
    """
    frames_mean: Any
    """[B, H, *image_shape], mean of `frames`."""
    frames_quantiles: Any
    """[Q, B, H, *image_shape], quantiles of `frames`."""


class PosteriorSample(NamedTuple):
    """Draws from the posterior given the encoder's means of the observed frames."""

    frames: Any
    """[S, B, T, *image_shape], the decoder's means at a; None with decode=False."""
    a: tf.Tensor
    """[S, B, T, dim_a], from p(a_t | z_t)."""
    z: tf.Tensor
    """[S, B, T, dim_z], from p(z_{1:T} | a_{1:T})."""
