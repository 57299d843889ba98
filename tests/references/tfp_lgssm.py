"""The same state-space model as TensorFlow Probability's, the oracle of ours."""

import tensorflow as tf
import tensorflow_probability as tfp

from kvae.lgssm.inference import System

tfd = tfp.distributions


def ours(mixed, noise):
    """The model of `kvae.results.Mixed` as ours."""
    return System(mixed.A, tf.linalg.matvec(mixed.B, mixed.u), mixed.C, None, noise)


def lgssm(mixed, noise):
    """tfd.LinearGaussianStateSpaceModel for `kvae.results.Mixed`; TFP's transition_matrix(t)
    carries z_t to z_{t+1}.

    Its masks say True for missing.
    """
    A_next = tf.concat([mixed.A[:, 1:], mixed.A[:, -1:]], 1)
    control_input = tf.linalg.matvec(mixed.B, mixed.u)
    control_input_next = tf.concat([control_input[:, 1:], control_input[:, -1:]], 1)
    dim_a, dim_z = mixed.C.shape[-2:]

    def scale(variance, size):
        return tf.fill([size], tf.convert_to_tensor(variance, mixed.A.dtype) ** 0.5)

    return tfd.LinearGaussianStateSpaceModel(
        num_timesteps=tf.shape(mixed.A)[1],
        transition_matrix=lambda t: tf.linalg.LinearOperatorFullMatrix(
            tf.gather(A_next, t, axis=1)
        ),
        transition_noise=lambda t: tfd.MultivariateNormalDiag(
            tf.gather(control_input_next, t, axis=1), scale(noise.transition, dim_z)
        ),
        observation_matrix=lambda t: tf.linalg.LinearOperatorFullMatrix(
            tf.gather(mixed.C, t, axis=1)
        ),
        observation_noise=tfd.MultivariateNormalDiag(scale_diag=scale(noise.emission, dim_a)),
        initial_state_prior=tfd.MultivariateNormalDiag(scale_diag=scale(noise.initial, dim_z)),
    )


def filter_and_smooth(a, mask, mixed, noise):
    """TFP's log-likelihoods, filtered and predicted moments, and smoothed moments, as a dict."""
    model = lgssm(mixed, noise)
    missing = None if mask is None else mask < 0.5
    log_likelihood, mean, cov, next_mean, next_cov, _, _ = model.forward_filter(a, mask=missing)
    smoothed_mean, smoothed_cov = model.backward_smoothing_pass(mean, cov, next_mean, next_cov)
    return dict(
        log_likelihood=log_likelihood,
        mean=mean,
        cov=cov,
        predicted_mean=next_mean[:, :-1],
        predicted_cov=next_cov[:, :-1],
        smoothed_mean=smoothed_mean,
        smoothed_cov=smoothed_cov,
    )
