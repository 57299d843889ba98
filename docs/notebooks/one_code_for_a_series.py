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
# # VRAE: one code for a series
#
# Series of three kinds and different lengths become points in a space of four dimensions, without
# labels. The scikit-learn estimators of `vrae.sklearn` choose the model by the data.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from vrae.sklearn import VRAETransformer

rng = np.random.default_rng(0)


def curves(count):
    """Two features for 30 to 50 steps: a swing, a chirp, or a pulse; and which of them."""
    series, kinds = [], rng.integers(0, 3, count)
    for kind in kinds:
        time = np.linspace(0, 1, rng.integers(30, 51))
        start = rng.uniform(0, 1)
        wave = (
            np.sin(2 * np.pi * (2 * time + start)),
            np.sin(2 * np.pi * (1 + 2 * time) * time + 2 * np.pi * start),
            np.exp(-((time - 0.2 - 0.6 * start) ** 2) / 0.005),
        )[kind]
        pair = np.stack([wave, np.cumsum(wave) / 10], -1)
        series.append(pair + 0.8 * rng.normal(size=pair.shape))
    return series, kinds


train, kinds = curves(300)
test, test_kinds = curves(300)

# %% [markdown]
# ## Train and encode

# %%
transformer = VRAETransformer(z_size=4, steps=400).fit(train)
codes, test_codes = transformer.transform(train), transformer.transform(test)
print("codes", codes.shape)

# %% [markdown]
# ## Is it better than principal components?
#
# Principal components need series of one length, so these are stretched to 40 steps first. The
# accuracy is that of the nearest neighbour among the training series.


# %%
def stretched(series):
    """Series at 40 even steps: [N, 80]."""
    grid = np.linspace(0, 1, 40)
    return np.stack(
        [
            np.concatenate([np.interp(grid, np.linspace(0, 1, len(x)), x[:, f]) for f in range(2)])
            for x in series
        ]
    )


def accuracy(points, others):
    neighbour = KNeighborsClassifier(1).fit(points, kinds)
    return neighbour.score(others, test_kinds)


pca = PCA(4).fit(stretched(train))
print(f"1-NN on codes {accuracy(codes, test_codes):.2f}")
components = accuracy(pca.transform(stretched(train)), pca.transform(stretched(test)))
print(f"1-NN on 4 principal components {components:.2f}")

fig, axis = plt.subplots(figsize=(5, 3.5))
plane = PCA(2).fit(codes)
for kind, name in enumerate(("swing", "chirp", "pulse")):
    axis.scatter(*plane.transform(test_codes[test_kinds == kind]).T, s=12, label=name)
axis.set(xlabel="first component of the codes", ylabel="second")
axis.legend()
plt.show()

# %% [markdown]
# ## Reconstruct
#
# `model_` is the `VRAE` itself, a Keras model.

# %%
model = transformer.model_
fig, axes = plt.subplots(1, 4, figsize=(11, 2.2), sharey=True)
for axis, series, code in zip(axes, test, test_codes, strict=False):
    made = np.asarray(model.decode(code[None].astype("float32"), len(series)))[0]
    axis.plot(series[:, 0], ".", ms=3)
    axis.plot(made[:, 0])
axes[0].set_ylabel("first feature")
plt.show()

# %% [markdown]
# The curves are simulated because no public set of series is in this package. A run on the spoken
# vowels of the set JapaneseVowels is in [many series of your own](../your_table.md), its figures
# beside other sets in [the benchmarks](../benchmarks.md#series-of-the-ucr-and-uea-archives).
#
# Next: [the theory](../theory/vrae.md).
