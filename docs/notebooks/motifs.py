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
# # From tracking to motifs
#
# VAME on simulated keypoints whose motifs are known: read tracking files, train, embed, segment,
# and compare with something simpler.

# %%
import csv

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score

from vrae import vame
from vrae.vame.motifs import segment, transitions
from vrae.vame.simulation import simulate_poses

simulated = simulate_poses(2, 1500, n_motifs=3, keypoints=4, seed=0)

# %% [markdown]
# ## Tracking files
#
# These files are like those that DeepLabCut writes: x, y and likelihood of each keypoint.

# %%
names = ["nose", "neck", "hip", "tail"]
header = [
    ["scorer", *["simulated"] * 12],
    ["bodyparts", *np.repeat(names, 3)],
    ["coords", *["x", "y", "likelihood"] * 4],
]
for name, session in simulated.items():
    rows = np.insert(session.positions.T, [2, 4, 6, 8], 1.0, axis=1)  # every likelihood is 1
    with open(f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*header, *([frame, *row] for frame, row in enumerate(rows))])

# %% [markdown]
# The reader recognises the kind of file and smooths the positions ([missing keypoints and
# preprocessing](../vame_keypoints.md)). The simulated animal always faces the same way; for
# tracked animals, name two keypoints by which to align them.

# %%
loaded = vame.load_sessions(
    {name: f"{name}.csv" for name in simulated}, vame.Preprocessing(egocentric_data=True)
)
sessions = {name: session.values for name, session in loaded.items()}
print(loaded["session_0"].features)
print({name: values.shape for name, values in sessions.items()})

# %% [markdown]
# ## Train
#
# `vame.Config` has VAME's keys and defaults. These sizes are tiny.

# %%
window = 12
vame.write_config(
    "config.yaml",
    vame.Config(
        num_features=8,
        time_window=window,
        prediction_steps=6,
        zdims=6,
        kmeans_loss=6,
        hidden_size_layer_1=16,
        hidden_size_rec=16,
        hidden_size_pred=16,
        learning_rate=4e-3,
        batch_size=64,
        max_epochs=6,
        steps_per_epoch=60,
    ),
)
vame.create_training("config.yaml", sessions)
vame.rnn_vae.train_model("config.yaml")
model, statistics, settings = vame.load_best("config.yaml")
codes = {name: vame.embed(model, statistics, settings, data) for name, data in sessions.items()}

# %% [markdown]
# ## Segment
#
# A code is that of the window that begins at its frame. The middle of the window is compared with
# the true motif there.

# %%
truth = np.concatenate(
    [s.motifs[window // 2 :][: len(codes[name])] for name, s in simulated.items()]
)
windows = {
    name: np.stack([data[:, t : t + window].ravel() for t in range(len(codes[name]))])
    for name, data in sessions.items()
}
pca = PCA(6).fit(np.concatenate(list(windows.values())))
components = {name: pca.transform(each) for name, each in windows.items()}

for name, points, algorithm in (
    ("VAME, hidden Markov model", codes, "hmm"),
    ("VAME, k-means", codes, "kmeans"),
    ("principal components, hidden Markov model", components, "hmm"),
    ("principal components, k-means", components, "kmeans"),
):
    segmenter, motifs = segment(points, 3, algorithm=algorithm)
    score = normalized_mutual_info_score(truth, np.concatenate(list(motifs.values())))
    print(f"{name:45} {score:.2f}")

# %% [markdown]
# Simulated poses are simple: principal components with a hidden Markov model do well on them.
# Make the same comparison on your data.
#
# ## Look at the motifs
#
# Motifs are numbered by how often they occur, so the colours of the two rows need not agree.

# %%
segmenter, motifs = segment(codes, 3, algorithm="hmm")
first = next(iter(motifs))
fig, axes = plt.subplots(2, 1, figsize=(9, 1.8), sharex=True)
for axis, labels, name in zip(
    axes, (motifs[first], simulated[first].motifs), ("found", "true"), strict=True
):
    axis.imshow(labels[None, :600], aspect="auto", cmap="viridis", interpolation="nearest")
    axis.set(yticks=[], ylabel=name)
axes[1].set_xlabel("frame")
plt.show()
print(transitions(motifs.values(), 3).round(2))

# %% [markdown]
# `segmenter.save` keeps the segmentation, and `segmenter.apply` gives the motifs of new sessions.
#
# Next: [groups of sessions](../vame_groups.md), [the theory](../theory/vame.md).
