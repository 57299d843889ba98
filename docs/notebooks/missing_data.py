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
# # Missing data and intervals
#
# Series with gaps: fill them, with an interval for each number, and check on hidden numbers whether
# the intervals contain as many of them as they should. NaN is a missing number; no mask is needed.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from kvae import KVAE
from seqvae.baselines import interpolated

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
N, T = 32, 48

# %% [markdown]
# ## Series with two features
#
# A seasonal value and a second one that follows it by some steps. A tenth of the single numbers
# is missing, and every series has a gap of 12 steps.

# %%
time = np.arange(T)
phase = rng.uniform(0, 2 * np.pi, (N, 1))
level = rng.normal(0, 1, (N, 1))
truth = np.stack(
    [np.sin(2 * np.pi * time / 20 + phase - lag) + level for lag in (0.0, 1.0)], -1
) + 0.1 * rng.normal(size=(N, T, 2))

hidden = rng.random(truth.shape) < 0.1
for row, start in zip(hidden, rng.integers(8, T - 18, N), strict=True):
    row[start : start + 12] = True
given = np.where(hidden, np.nan, truth)

# %% [markdown]
# ## Train and fill
#
# `for_series` takes the scale from the data. Its default is a Kalman filter and smoother whose
# matrices and noises are learned, so the loss is minus log p of the observed numbers, exactly.

# %%
model = KVAE.for_series(given, dim_z=6)
model.compile(keras.optimizers.Adam(0.02))
model.fit(given, epochs=100, batch_size=16, verbose=0)
filled = model.impute(given, num_samples=200, quantiles=(0.05, 0.95), seed=0)


def rmse(guess):
    return float(np.sqrt(np.mean((np.asarray(guess) - truth)[hidden] ** 2)))


lines = np.stack(
    [interpolated(np.nan_to_num(given[..., f]), ~np.isnan(given[..., f])) for f in range(2)], -1
)
for name, guess in {
    "smoothed": filled.smoothed,
    "filtered": filled.filtered,
    "linear interpolation": lines,
    "mean": np.full_like(truth, np.nanmean(given)),
}.items():
    print(f"{name:20} {rmse(guess):.3f}")

# %% [markdown]
# ## Intervals
#
# The quantiles are of draws from the posterior of the missing numbers, noise included. Their
# test: the share of the hidden numbers that lie inside.

# %%
low, high = filled.quantiles.numpy()
inside = (low < truth) & (truth < high)
print(f"{inside[hidden].mean():.0%} of the hidden numbers are in the 90 % intervals")

fig, axes = plt.subplots(2, 1, figsize=(7, 4), sharex=True)
for f, axis in enumerate(axes):
    axis.fill_between(time, low[0, :, f], high[0, :, f], alpha=0.3, label="90 % interval")
    axis.plot(time, filled.smoothed[0, :, f], label="smoothed")
    axis.plot(time, given[0, :, f], "k.", label="observed")
    axis.plot(time, np.where(hidden, truth, np.nan)[0, :, f], "rx", label="hidden")
    axis.set_ylabel(f"feature {f}")
axes[0].legend(ncols=4, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.25))
axes[1].set_xlabel("step")
plt.show()

# %% [markdown]
# ## What follows
#
# `forecast` draws what comes after the last step. `score` is the log-likelihood of each
# step given those before: a low value marks a step that does not follow from them.

# %%
future = model.forecast(given[:1], 12, num_samples=200, seed=0)
print("quantiles of 5, 50 and 95 %:", future.frames_quantiles.shape)

odd, step = given.copy(), np.flatnonzero(~np.isnan(given[0]).any(-1))[-5]
odd[0, step] += 3.0
scores = model.score(odd).total.numpy()
print(f"changed: step {step}; lowest score: step {scores[0].argmin()}")

# %% [markdown]
# Next: [your own series](../your_series.md), [missing data in every model](../missing_data.md).
