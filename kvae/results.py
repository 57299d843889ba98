"""What the verbs of the Kalman VAE return. Letters: GLOSSARY.md. Where nothing else is said, every
field is always filled."""

from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd


class Mixed(NamedTuple):
    """The mixture's matrices at every step (paper, section 3.2): A_t = sum_k alpha_t[k] A[k], and
    so B_t and C_t.

    alpha: [B, T, K], softmax of the dynamics network on a_0, ..., a_{t-1}.
    A: [B, T, dim_z, dim_z], carries z_{t-1} to z_t. The first is not used: z_1 comes from the
    prior.
    B: [B, T, dim_z, dim_u]; C: [B, T, dim_a, dim_z].
    u: [B, T, dim_u], the controls given, or learned (`learn_u`), or zero.
    """

    alpha: tf.Tensor
    A: tf.Tensor
    B: tf.Tensor
    C: tf.Tensor
    u: tf.Tensor


class Filtered(NamedTuple):
    """p(z_t | a_{1:t}), the frames observed so far.

    mean: [B, T, dim_z]; cov: [B, T, dim_z, dim_z].
    predicted_mean, predicted_cov: the same of p(z_t | a_{1:t-1}).
    log_likelihood: [B, T], log p(a_t | a_{1:t-1}) = log N(a_t; C_t mu_{t|t-1}, S_t), 0 where the
    frame is missing.
    alpha, A, B, C: as in `Mixed`.
    a_mean, a_cov: p(a_t | a_{1:t}) of a frame not seen: C_t mean [B, T, dim_a] and C_t cov C_t' + R
    [B, T, dim_a, dim_a].
    """

    mean: tf.Tensor
    cov: tf.Tensor
    predicted_mean: tf.Tensor
    predicted_cov: tf.Tensor
    log_likelihood: tf.Tensor
    alpha: tf.Tensor
    A: tf.Tensor
    B: tf.Tensor
    C: tf.Tensor
    a_mean: tf.Tensor
    a_cov: tf.Tensor

    def distribution(self) -> tfd.Distribution:
        """p(z_t | a_{1:t}) for each t: batch [B, T], event [dim_z]."""
        return tfd.MultivariateNormalTriL(self.mean, tf.linalg.cholesky(self.cov))


class Smoothed(NamedTuple):
    """p(z_t | a_{1:T}), all observed frames.

    mean: [B, T, dim_z]; cov: [B, T, dim_z, dim_z]; alpha, A, B, C: as in `Mixed`.
    a_mean, a_cov: p(a_t | a_{1:T}) of a frame not seen: C_t mean [B, T, dim_a] and C_t cov C_t' + R
    [B, T, dim_a, dim_a].
    """

    mean: tf.Tensor
    cov: tf.Tensor
    alpha: tf.Tensor
    A: tf.Tensor
    B: tf.Tensor
    C: tf.Tensor
    a_mean: tf.Tensor
    a_cov: tf.Tensor

    def distribution(self) -> tfd.Distribution:
        """p(z_t | a_{1:T}) for each t: batch [B, T], event [dim_z]."""
        return tfd.MultivariateNormalTriL(self.mean, tf.linalg.cholesky(self.cov))


class LgssmBound(NamedTuple):
    """The LGSSM's part of the ELBO (paper, section 3.1), each a scalar, or [B] per sequence, in
    nats per observed frame.

    total = transition + emission + initial + entropy. With q(z) the exact posterior given a,
    transition: E_q sum_{t>1} log p(z_t | z_{t-1}, u_t); emission: E_q sum_{t observed} log p(a_t |
    z_t);
    initial: E_q log p(z_1); entropy: -E_q log q(z).
    `marginal`: exact expectations, so the total is log p(a_{1:T} | u_{1:T}).
    `sampled`: one z_t drawn from each smoothed marginal, entropy of the product of the marginals.
    With several draws, the total is the importance-weighted bound, not less than the sum of the
    others, which are means over the draws.
    """

    total: tf.Tensor
    transition: tf.Tensor
    emission: tf.Tensor
    initial: tf.Tensor
    entropy: tf.Tensor


class Elbo(NamedTuple):
    """The evidence lower bound (paper, section 3.1), each a scalar, or [B] per sequence, in nats
    per observed frame.

    total = log_px - log_qa + lgssm, or with several draws the importance-weighted bound, the
    others means over them; log_px: log p(x|a); log_qa: log q(a|x) (0 for the plain auto-encoder);
    lgssm and the four after it: as in `LgssmBound`.
    """

    total: tf.Tensor
    log_px: tf.Tensor
    log_qa: tf.Tensor
    lgssm: tf.Tensor
    transition: tf.Tensor
    emission: tf.Tensor
    initial: tf.Tensor
    entropy: tf.Tensor


class CodeTerms(NamedTuple):
    """What training on codes reports: lgssm, the LGSSM's part of the bound, in nats per observed
    frame."""

    lgssm: tf.Tensor


class LossTerms(NamedTuple):
    """The ELBO and its unweighted terms, elbo = log_px - log_qa + lgssm, each in nats per observed
    frame."""

    elbo: tf.Tensor
    log_px: tf.Tensor
    log_qa: tf.Tensor
    lgssm: tf.Tensor


class Imputed(NamedTuple):
    """Frames and codes with the gaps filled.

    smoothed: [B, T, *image_shape], means of the frames decoded from C_t E[z_t | a_{1:T}], the
    frames after the gap used;
    filtered: the same from C_t E[z_t | a_{1:t}], only frames before; reconstructed: from the
    encoder's own a_t, which where a frame is missing is the smoothed one. Of a partly hidden frame
    it is the code of the visible pixels, often the best filling.
    a_encoded [B, T, dim_a]: the encoder's means; at missing frames, those of a black frame;
    a_smoothed, a_filtered: the codes of `smoothed` and `filtered`; a_smoothed_cov, a_filtered_cov:
    [B, T, dim_a, dim_a], the covariances of a_t there, with the noise of a given z in them.
    z_smoothed, z_filtered: [B, T, dim_z], the states' means; alpha: [B, T, K].
    """

    smoothed: tf.Tensor
    filtered: tf.Tensor
    reconstructed: tf.Tensor
    a_encoded: tf.Tensor
    a_smoothed: tf.Tensor
    a_filtered: tf.Tensor
    z_smoothed: tf.Tensor
    z_filtered: tf.Tensor
    alpha: tf.Tensor
    a_smoothed_cov: tf.Tensor
    a_filtered_cov: tf.Tensor


class ImputedWithSamples(NamedTuple):
    """`Imputed`, and draws of the frames from their posterior.

    samples: [S, B, T, *image_shape], draws of normal pixels or numbers, probabilities of Bernoulli
    pixels; quantiles: [Q, B, T, *image_shape], of `samples`. The other fields as in `Imputed`.
    """

    smoothed: tf.Tensor
    filtered: tf.Tensor
    reconstructed: tf.Tensor
    a_encoded: tf.Tensor
    a_smoothed: tf.Tensor
    a_filtered: tf.Tensor
    z_smoothed: tf.Tensor
    z_filtered: tf.Tensor
    alpha: tf.Tensor
    a_smoothed_cov: tf.Tensor
    a_filtered_cov: tf.Tensor
    samples: tf.Tensor
    quantiles: tf.Tensor


class Scores(NamedTuple):
    """How well frames fit, in nats; 0 where a frame is missing.

    total: [B, T], log_px + log_pa; log_px: log p(x_t | a_t); log_pa: log p(a_t | a_{1:t-1});
    sequence: [B], the mean of `total` over the observed frames.
    """

    total: tf.Tensor
    log_px: tf.Tensor
    log_pa: tf.Tensor
    sequence: tf.Tensor


class Generated(NamedTuple):
    """A generated sequence: frames [B, num_steps, *image_shape] (the decoder's means; None with
    decode=False), a [B, num_steps, dim_a], z [B, num_steps, dim_z], alpha [B, num_steps, K]."""

    frames: Any
    a: tf.Tensor
    z: tf.Tensor
    alpha: tf.Tensor


class Forecast(NamedTuple):
    """H steps after the observed ones: S draws of what follows, and their moments. With
    `decode=False`, what is of frames is None.

    a: [S, B, H, dim_a]; z: [S, B, H, dim_z].
    a_mean [B, H, dim_a], a_cov [B, H, dim_a, dim_a]: of the draws.
    a_quantiles: [Q, B, H, dim_a], of each number of a.
    frames: [S, B, H, *image_shape]: draws of normal pixels or numbers; of Bernoulli pixels their
    probabilities.
    frames_mean [B, H, *image_shape]; frames_quantiles [Q, B, H, *image_shape]: of `frames`.
    """

    a: tf.Tensor
    z: tf.Tensor
    a_mean: tf.Tensor
    a_cov: tf.Tensor
    a_quantiles: tf.Tensor
    frames: Any
    frames_mean: Any
    frames_quantiles: Any


class PosteriorSample(NamedTuple):
    """Paths drawn from the posterior of the encoder's means of the observed frames.

    frames: [S, B, T, *image_shape], the decoder's means at a; None with decode=False.
    a: [S, B, T, dim_a], from p(a_t | z_t); z: [S, B, T, dim_z], from p(z_{1:T} | a_{1:T}).
    """

    frames: Any
    a: tf.Tensor
    z: tf.Tensor
