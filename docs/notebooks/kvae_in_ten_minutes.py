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
# # The Kalman VAE in ten minutes
#
# An encoder maps each frame of a video to a small code `a`; a Kalman filter computes a state `z`
# for each frame. Here the model learns the motion of a spot on a spring from 256 videos of 16
# x 16 pixels, and fills in frames that it is not given.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

import kvae
from seqvae.baselines import interpolated

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def videos(count, steps=20, size=16):
    """Spots that swing about the middle in x and y: [count, steps, size, size], in [0, 1]."""
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 2))
    amplitude = rng.uniform(3, 5, (count, 1, 2))
    place = 7.5 + amplitude * np.sin(0.5 * np.arange(steps)[:, None] + phase)
    bump = np.exp(-((np.arange(size) - place[..., None]) ** 2) / 3)
    return (bump[:, :, 1, :, None] * bump[:, :, 0, None, :]).astype("float32")


train, test = videos(256), videos(64)

# %% [markdown]
# ## Train
#
# A code of two numbers can hold the position of the spot. A state of four can hold position and
# velocity, and one linear motion (`K=1`) is enough for a spring. `K=3`, the default, mixes three
# matrices, for motions that change. Learned noises make the intervals below fit the data; by
# default they are fixed, as in the original program.

# %%
model = kvae.KVAE(
    (16, 16),
    num_filters=(8, 8),
    dim_a=2,
    dim_z=4,
    K=1,
    noise_transition="learned_diagonal",
    noise_emission="learned_diagonal",
)
model.adapt(train)  # the decoder begins at the mean pixel
model.compile(keras.optimizers.Adam(0.01))
history = model.fit(train, batch_size=32, epochs=40, verbose=0)

fig, axis = plt.subplots(figsize=(6, 2.5))
axis.plot(history.history["elbo"])
axis.set(xlabel="epoch", ylabel="ELBO, nats a frame")
plt.show()

# %% [markdown]
# ## Fill in missing frames
#
# A mask is 1 where a frame is observed and 0 where it is missing. `smoothed` uses the frames on
# both sides of the gap, `filtered` only those before it. A baseline belongs beside each error: a
# model that is worse than the mean frame has learned nothing.

# %%
mask = np.ones((len(test), 20))
mask[:, 6:14] = 0
filled = model.impute(test, mask)


def rmse(frames):
    return float(np.sqrt(np.mean((np.asarray(frames)[:, 6:14] - test[:, 6:14]) ** 2)))


guesses = {
    "smoothed": filled.smoothed,
    "filtered": filled.filtered,
    "linear interpolation": interpolated(test, mask == 1),
    "mean frame": np.broadcast_to(train.mean((0, 1)), test.shape),
}
for name, frames in guesses.items():
    print(f"{name:20} {rmse(frames):.3f}")

# %%
fig, axes = plt.subplots(3, 20, figsize=(12, 2.2))
rows = {
    "truth": test[0],
    "smoothed": np.asarray(filled.smoothed[0]),
    "filtered": np.asarray(filled.filtered[0]),
}
for row, (name, frames) in zip(axes, rows.items(), strict=True):
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for t, (axis, frame) in enumerate(zip(row, frames, strict=True)):
        axis.imshow(frame, cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        for edge in axis.spines.values():
            edge.set(color="black" if mask[0, t] else "purple", linewidth=2)
plt.show()

# %% [markdown]
# A purple border marks a missing frame.
#
# ## How sure is it?
#
# `a_smoothed_cov` is the model's covariance of the code at every step. Inside the gap it is
# larger. If the model is calibrated, nine tenths of the codes, drawn from q(a given x) of the true
# frames as in training, lie in its 90 % intervals.

# %%
codes = model.encode(test).sample(seed=0).numpy()
mean = filled.a_smoothed.numpy()
deviation = np.sqrt(np.diagonal(filled.a_smoothed_cov.numpy(), axis1=-2, axis2=-1))
inside = np.abs(codes - mean) < 1.645 * deviation
print(f"{inside[:, 6:14].mean():.0%} of the codes in the gap are in the 90 % intervals")

fig, axis = plt.subplots(figsize=(6, 2.5))
steps = np.arange(20)
axis.plot(steps, codes[0, :, 0], "k.", label="drawn from q(a given x)")
axis.plot(steps, mean[0, :, 0], label="smoothed")
low, high = (mean + side * 1.645 * deviation for side in (-1, 1))
axis.fill_between(steps, low[0, :, 0], high[0, :, 0], alpha=0.3, label="90 % interval")
axis.set(xlabel="frame", ylabel="first number of the code")
axis.legend()
plt.show()

# %% [markdown]
# ## Generate and save
#
# `generate` continues from given states; `forecast` draws many futures.

# %%
future = model.generate(40, states=filled.z_smoothed, stochastic=True, seed=0)
print("frames", future.frames.shape)

model.save("spots.keras")
again = keras.models.load_model("spots.keras")  # after `import kvae`
print(np.allclose(again.impute(test, mask).smoothed, filled.smoothed, atol=1e-5))

# %% [markdown]
# Next: [your own videos](../your_videos.md), [the theory](../theory/kvae.md).
