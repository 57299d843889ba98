# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A Kalman filter and smoother for TFP
#
# `kvae.lgssm.MixedLGSSM` is a `tfd.LinearGaussianStateSpaceModel` whose matrices may change at
# every step. It needs no VAE and no training. Here it tracks an object in the plane from noisy
# positions, with steps at which nothing was measured.

# %%
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from kvae.lgssm import MixedLGSSM

rng = np.random.default_rng(0)
T, dt = 60, 0.5

# %% [markdown]
# ## The model
#
# The state is the position and the velocity in the plane. The velocity changes by noise, the
# position is measured with noise:
#
# $$z_t = A z_{t-1} + \mathcal N(0, Q), \qquad a_t = C z_t + \mathcal N(0, R).$$

# %%
one, none = np.eye(2), np.zeros((2, 2))
A = np.block([[one, dt * one], [none, one]])
C = np.block([one, none])
transition, emission = np.array([1e-4, 1e-4, 0.05, 0.05]), 0.5

z = np.zeros((T, 4))
z[0] = [0, 0, 1, 0.5]
for t in range(1, T):
    z[t] = A @ z[t - 1] + np.sqrt(transition) * rng.normal(size=4)
positions = z @ C.T + np.sqrt(emission) * rng.normal(size=(T, 2))


def model(noise_emission=emission, mask=None):
    return MixedLGSSM(
        np.tile(A, (T, 1, 1)),
        np.tile(C, (T, 1, 1)),
        noise_transition=transition,
        noise_emission=noise_emission,
        init_cov=np.array([1.0, 1.0, 4.0, 4.0]),
        mask=mask,
    )


# %% [markdown]
# ## The same numbers as TFP's class

# %%
theirs = tfd.LinearGaussianStateSpaceModel(
    num_timesteps=T,
    transition_matrix=tf.linalg.LinearOperatorFullMatrix(A),
    transition_noise=tfd.MultivariateNormalDiag(np.zeros(4), np.sqrt(transition)),
    observation_matrix=tf.linalg.LinearOperatorFullMatrix(C),
    observation_noise=tfd.MultivariateNormalDiag(np.zeros(2), np.sqrt(emission) * np.ones(2)),
    initial_state_prior=tfd.MultivariateNormalDiag(np.zeros(4), [1.0, 1.0, 2.0, 2.0]),
)
log_prob = tf.function(theirs.log_prob)(positions)
print(f"log p: ours {model().log_prob(positions):.6f}, TFP {log_prob:.6f}")

# %% [markdown]
# ## Missing measurements
#
# A mask here is TFP's: **True means missing**. (The Kalman VAE and Keras use the opposite.) The
# smoother's covariance grows in the gap.

# %%
missing = np.zeros(T, bool)
missing[20:35] = True
mean, cov = model(mask=missing).posterior_marginals(positions)
where, spread = mean.numpy()[:, :2], np.sqrt(np.diagonal(cov.numpy(), axis1=1, axis2=2))[:, :2]

fig, axis = plt.subplots(figsize=(6, 3))
axis.plot(z[:, 0], "k", label="true")
axis.plot(np.where(missing, np.nan, positions[:, 0]), ".", label="measured")
axis.plot(where[:, 0], label="smoothed")
axis.fill_between(
    np.arange(T), where[:, 0] - 1.645 * spread[:, 0], where[:, 0] + 1.645 * spread[:, 0], alpha=0.3
)
axis.set(xlabel="step", ylabel="x")
axis.legend()
plt.show()

error = np.sqrt(np.mean((where - z[:, :2])[missing] ** 2))
gap = np.flatnonzero(missing)
straight = np.stack(
    [np.interp(gap, np.flatnonzero(~missing), positions[~missing, i]) for i in range(2)], -1
)
baseline = np.sqrt(np.mean((straight - z[gap, :2]) ** 2))
print(f"error in the gap: smoothed {error:.2f}, linear interpolation {baseline:.2f}")

# %% [markdown]
# ## Learn a noise
#
# Every method has gradients, in eager mode too. Here gradient ascent on log p finds the variance
# of the measurements, which was 0.5.

# %%
raw = tf.Variable(0.0, dtype=tf.float64)
optimizer = tf.keras.optimizers.Adam(0.1)


@tf.function
def step():
    with tf.GradientTape() as tape:
        loss = -model(tf.exp(raw), missing).log_prob(positions)
    optimizer.apply_gradients([(tape.gradient(loss, raw), raw)])
    return loss


for _ in range(100):
    step()
print(f"variance of the measurements: {np.exp(raw.numpy()):.2f}")

# %% [markdown]
# Next: [speed, XLA and statsmodels](../kalman_filter_for_tfp.md).
