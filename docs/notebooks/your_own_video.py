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
# # Your own video
#
# From video files to filled gaps: convert, train, compare with trivial baselines. The videos here
# are made by the first cell. Put your own files into the folder `clips` instead, and leave that
# cell out. [The guide](../your_videos.md) does the same with commands.

# %%
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

from kvae import KVAE
from seqvae.baselines import interpolated
from seqvae.cli import main
from seqvae.data import load
from seqvae.plotting import save_video

keras.utils.set_random_seed(0)
Path("clips").mkdir(exist_ok=True)
for number in range(4):
    t = np.arange(1400)[:, None]
    rng = np.random.default_rng(number)
    phase = rng.uniform(0, 2 * np.pi, (2, 2))
    place = 31.5 + 8 * (np.sin(0.5 * t + phase[0]) + np.sin(0.53 * t + phase[1]))  # [frames, 2]
    bump = np.exp(-((np.arange(64) - place[..., None]) ** 2) / 48)
    save_video(f"clips/{number}.mp4", np.uint8(255 * bump[:, 1, :, None] * bump[:, 0, None]), 25)

# %% [markdown]
# ## Convert
#
# This is the command `seqvae from-videos clips --size=16,16 --steps=20`. It cuts the videos into
# sequences of 20 frames, reduces the frames to 16 x 16 pixels, and keeps a part for the test.

# %%
main(["seqvae", "from-videos", "clips", "--size=16,16", "--steps=20"])
train, test = load("clips.npz").frames, load("clips_test.npz").frames
print(train.shape, test.shape)

# %% [markdown]
# Look at the frames before you train: is what moves still visible, and does it move by a pixel or
# so from frame to frame?

# %%
fig, axes = plt.subplots(1, 10, figsize=(12, 1.5))
for axis, frame in zip(axes, test[0], strict=False):
    axis.imshow(frame, cmap="gray", vmin=0, vmax=255)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Train

# %%
model = KVAE(
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
model.fit(train, batch_size=32, epochs=40, verbose=0)

# %% [markdown]
# ## Judge
#
# Hide eight frames of each test sequence, and compare with what needs no training. A model that is
# worse than linear interpolation has not learned the motion.

# %%
mask = np.ones(test.shape[:2])
mask[:, 6:14] = 0
filled = model.impute(test, mask)
truth = test / 255


def rmse(frames):
    return float(np.sqrt(np.mean((np.asarray(frames)[:, 6:14] - truth[:, 6:14]) ** 2)))


for name, frames in {
    "smoothed": filled.smoothed,
    "filtered": filled.filtered,
    "linear interpolation": interpolated(truth, mask == 1),
    "mean frame": np.broadcast_to(train.mean((0, 1)) / 255, truth.shape),
}.items():
    print(f"{name:20} {rmse(frames):.3f}")

# %% [markdown]
# Forty epochs are few: the smoothed frames are better than linear interpolation, but only a little
# better than the mean frame. Train longer on your own videos, for example with the presets of the
# command.

# %%
fig, axes = plt.subplots(2, 20, figsize=(12, 1.6))
for row, name, frames in zip(
    axes, ("truth", "smoothed"), (truth[0], np.asarray(filled.smoothed[0])), strict=True
):
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for step, (axis, frame) in enumerate(zip(row, frames, strict=True)):
        axis.imshow(frame, cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        for edge in axis.spines.values():
            edge.set(color="black" if mask[0, step] else "purple", linewidth=2)
plt.show()

# %% [markdown]
# A purple border marks a missing frame. Next: [the guide](../your_videos.md) explains the settings
# and what to do if the result is bad.
