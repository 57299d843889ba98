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
# # Find the frames that do not fit
#
# `KVAE.score` gives two numbers for each frame: `log_px` is low for a frame that looks like none of
# the training frames, `log_pa` for one that does not continue the motion before it. Here a model of
# a bouncing ball, which is in the package, finds a ball that jumps and a frame of noise.

# %%
import matplotlib.pyplot as plt
import numpy as np

from kvae import KVAE
from seqvae.physics import WORLDS, Split, record

model = KVAE.from_preset("box")
frames = record(WORLDS["box"], sequences=24, steps=20, split=Split.TEST)["images"]

# %% [markdown]
# ## Spoil two frames of each video
#
# Frame 8 gets the ball of another video, frame 14 becomes noise.

# %%
JUMP, NOISE = 8, 14
rng = np.random.default_rng(0)
spoilt = frames.copy()
spoilt[:, JUMP] = np.roll(frames[:, JUMP], 12, axis=0)
spoilt[:, NOISE] = np.where(rng.random(frames[:, NOISE].shape) < 0.1, 255, 0)

# %% [markdown]
# ## Score them
#
# Videos without such frames give the thresholds: the lowest score that they have, for each of
# the two numbers.

# %%
usual, scores = model.score(frames), model.score(spoilt)
strange = scores.log_px.numpy() < np.min(usual.log_px)
jumped = ~strange & (scores.log_pa.numpy() < np.min(usual.log_pa))

print(f"noise: found in {strange[:, NOISE].mean():.0%} of the videos")
print(f"jump: found in {jumped[:, JUMP].mean():.0%} of the videos")
before = np.arange(20) < JUMP
print(f"false alarms before the jump: {(strange | jumped)[:, before].sum()} of {before.sum() * 24}")

# %% [markdown]
# An odd frame moves the filter to a wrong state, so the frames after it have low scores too.

# %%
figure, axes = plt.subplots(2, 1, figsize=(8, 4), sharex=True, layout="constrained")
for axis, name in zip(axes, ("log_px", "log_pa"), strict=True):
    values = getattr(scores, name).numpy()
    axis.plot(values[:6].T, color="#0072B2", lw=1)
    axis.axhline(np.min(getattr(usual, name)), color="#D55E00", ls="--", label="threshold")
    axis.set_ylabel(f"{name}, nats")
    axis.set_yscale("symlog", linthresh=10)
axes[0].legend(loc="lower left")
axes[1].set_xlabel("frame: 8 jumps, 14 is noise")
plt.show()
