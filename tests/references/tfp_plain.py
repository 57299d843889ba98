"""A plain `tfd.LinearGaussianStateSpaceModel` of the arguments of `kvae.lgssm.MixedLGSSM`, full
covariances everywhere."""

import tensorflow as tf
from tensorflow_probability import distributions as tfd


def plain(
    A, C, control_input, offset, noise_transition, noise_emission, init_cov, init_mean, mask=None
):
    """A [B, T or T + 1, z, z], C [B, T, a, z], control_input as A, offset [T, a], Q [T, z, z], R
    [T, a], P_1 [z, z], mean [B, z]."""

    def at(value, t, axis):
        return tf.gather(
            value, tf.minimum(t, tf.shape(value)[axis] - 1), axis=value.shape.rank + axis
        )

    full = tf.linalg.LinearOperatorFullMatrix
    return tfd.LinearGaussianStateSpaceModel(
        C.shape[-3],
        lambda t: full(at(A, t + 1, -3)),
        lambda t: tfd.MultivariateNormalTriL(
            at(control_input, t + 1, -2), tf.linalg.cholesky(at(noise_transition, t + 1, -3))
        ),
        lambda t: full(at(C, t, -3)),
        lambda t: tfd.MultivariateNormalDiag(at(offset, t, -2), tf.sqrt(at(noise_emission, t, -2))),
        tfd.MultivariateNormalTriL(init_mean, tf.linalg.cholesky(init_cov)),
        mask=mask,
    )
