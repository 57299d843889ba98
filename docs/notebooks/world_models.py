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
# # ConvVAE and MDN-RNN
#
# A world model of a disc that is pushed about. The ConvVAE maps each frame to a code of four
# numbers; the MDN-RNN predicts the next code from codes and pushes. Then the model runs on its
# own predictions: it dreams.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from worldmodels import MDNRNN, ConvVAE

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def episodes(count, steps=40, size=16):
    """Frames [count, steps, 16, 16, 3] of a disc in a box, and the pushes [count, steps, 2]."""
    pushes = rng.normal(0, 0.3, (count, steps, 2)).astype("float32")
    place, velocity = rng.uniform(4, 12, (count, 2)), np.zeros((count, 2))
    frames = np.zeros((count, steps, size, size, 3), "float32")
    rows, columns = np.mgrid[:size, :size]
    for t in range(steps):
        distance = np.hypot(
            rows - place[:, 1, None, None], columns - place[:, 0, None, None]
        )  # [count, size, size]
        frames[:, t, ..., 0] = np.clip(3.0 - distance, 0, 1)
        frames[:, t, ..., 1] = 0.5 * frames[:, t, ..., 0]
        velocity += pushes[:, t]
        velocity = np.where((place + velocity < 2) | (place + velocity > 13), -velocity, velocity)
        place = np.clip(place + velocity, 2, 13)
    return frames, pushes


frames, pushes = episodes(64)
test_frames, test_pushes = episodes(16)

# %% [markdown]
# ## The ConvVAE
#
# The default layers are those of the paper, for frames of 64 x 64 pixels. Here are two small ones
# for 16 x 16.

# %%
vae = ConvVAE(
    z_size=4,
    image_shape=(16, 16, 3),
    filters=(8, 16),
    kernel_sizes=(4, 4),
    decoder_filters=(16,),
    decoder_kernel_sizes=(6, 6),
    dense_units=64,
)
vae.compile(keras.optimizers.Adam(2e-3))
vae.fit(frames.reshape(-1, 16, 16, 3), batch_size=64, epochs=20, verbose=0)

reconstructed = np.asarray(vae.reconstruct(test_frames))
error = np.mean((reconstructed - test_frames) ** 2)
baseline = np.mean((frames.mean((0, 1)) - test_frames) ** 2)
print(f"mean squared error {error:.4f}, of the mean frame {baseline:.4f}")

# %% [markdown]
# ## The MDN-RNN
#
# `generate_rnn_data` encodes the episodes. The loss is in nats per number of z and step. Its
# baselines: one normal distribution for all codes, and the last code with normal noise.

# %%
data = vae.generate_rnn_data(list(frames), list(pushes), sample=False)
test = vae.generate_rnn_data(list(test_frames), list(test_pushes), sample=False)
rnn = MDNRNN(z_size=4, action_size=2, rnn_size=64)
rnn.compile(keras.optimizers.Adam(3e-3, clipvalue=1.0))
rnn.fit(data._asdict(), batch_size=16, epochs=60, verbose=0)
loss = rnn.evaluate(test._asdict(), verbose=0, return_dict=True)["z"]


def gaussian(values):
    """Mean negative log-likelihood under a normal distribution for each number of z."""
    return float(np.mean(0.5 * np.log(2 * np.pi * values.var((0, 1))) + 0.5))


z = np.asarray(test.mean)
z = z + np.exp(0.5 * np.asarray(test.logvar)) * rng.normal(size=z.shape)
print(f"MDN-RNN {loss:.2f}")
print(f"one normal distribution {gaussian(z):.2f}")
print(f"the last code with noise {gaussian(np.diff(z, axis=1)):.2f}")

# %% [markdown]
# ## A dream
#
# The first ten steps are real codes. After them the inputs are only the pushes.

# %%
seen = 10
before = np.concatenate([np.asarray(test.mean)[:, :seen], test_pushes[:, :seen]], -1)
state = rnn(before[:, :-1].astype("float32")).state
dream = rnn.dream(
    np.asarray(test.mean)[:, seen - 1],
    actions=test_pushes[:, seen - 1 : -1],
    state=state,
    temperature=0.3,
    vae=vae,
    seed=0,
)
dreamt = np.asarray(dream.frames)

fig, axes = plt.subplots(2, 12, figsize=(12, 2.2))
for i, t in enumerate(range(0, 24, 2)):
    axes[0, i].imshow(test_frames[0, seen - 1 + t])
    axes[1, i].imshow(dreamt[0, t])
    axes[0, i].set_title(f"{t}", fontsize=8)
for axis, name in zip(axes[:, 0], ("real", "dream"), strict=True):
    axis.set_ylabel(name)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# Next: [how to read these losses](../reading_world_model_losses.md), [the
# theory](../theory/worldmodels.md).
