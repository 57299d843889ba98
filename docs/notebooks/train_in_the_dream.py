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
# # Train in the dream
#
# The MDN-RNN is trained on episodes of random actions. An evolution strategy trains a controller in
# the MDN-RNN's dream. The controller then acts in the world for the first time. Here the world is
# small, a puck in the plane that is to be brought to the middle, and its state takes the place of
# a ConvVAE's code.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from worldmodels import MDNRNN, Controller, DreamRollouts, Evolution

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)


def begin(count):
    """Places and velocities [count, 4] of pucks at rest."""
    return np.concatenate([rng.uniform(-2, 2, (count, 2)), np.zeros((count, 2))], -1)


def step(state, action):
    """The next state of each puck, and its reward: minus the distance from the middle."""
    velocity = 0.9 * state[:, 2:] + 0.2 * action + 0.02 * rng.normal(size=action.shape)
    place = state[:, :2] + velocity
    return np.concatenate([place, velocity], -1), -np.linalg.norm(place, axis=-1)


def episodes(count, act, steps=30):
    """States z [count, steps, 4], actions [count, steps, 2] and rewards [count, steps]."""
    state, reward = begin(count), np.zeros(count)
    rows = []
    for _ in range(steps):
        action = act(state)
        rows.append((state, action, reward))
        state, reward = step(state, action)
    return [np.stack(part, 1).astype("float32") for part in zip(*rows, strict=True)]


# %% [markdown]
# ## A model of the world
#
# From 200 episodes of random actions. `predict_reward` adds a head for the reward that the next
# step brings.

# %%
z, actions, rewards = episodes(200, lambda state: rng.uniform(-1, 1, (len(state), 2)))
rnn = MDNRNN(z_size=4, action_size=2, rnn_size=32, num_mixtures=3, predict_reward=True)
rnn.compile(keras.optimizers.Adam(0.01, clipvalue=1.0))
batch = {"z": z, "actions": actions, "rewards": rewards}
history = rnn.fit(batch, batch_size=20, epochs=60, verbose=0)
print({name: round(values[-1], 3) for name, values in history.history.items()})

# %% [markdown]
# ## Evolution in the dream
#
# `Evolution` is CMA-ES, as in the paper. All members and rollouts of a generation are dreamt as
# one batch. A temperature above 1 makes the dream less certain, so that its errors are harder to
# exploit.

# %%
controller = Controller(z_size=4, action_size=2, inputs="z", squash="tanh")
dreams = DreamRollouts(rnn, z[:, 0], controller, temperature=1.1, max_steps=30)
search = Evolution(
    controller,
    dreams,
    "evolution",
    population=16,
    num_rollouts=16,
    sigma=0.5,
    check_every=10,
    check_rollouts=64,
)
lines = []
search.run(30, after=lines.append)

fig, axis = plt.subplots(figsize=(6, 2.5))
axis.plot([line["best"] for line in lines], label="best of the population")
axis.plot([line["mean"] for line in lines], label="mean")
axis.set(xlabel="generation", ylabel="reward in the dream")
axis.legend()
plt.show()

# %% [markdown]
# ## In the world
#
# The same controller in the real dynamics, beside no action and random actions.


# %%
def score(act):
    """The mean sum of rewards of 200 episodes."""
    return float(episodes(200, act)[2].sum(1).mean())


print(f"trained in the dream {score(controller.act):.1f}")
print(f"no action            {score(lambda state: np.zeros((len(state), 2))):.1f}")
print(f"random actions       {score(lambda state: rng.uniform(-1, 1, (len(state), 2))):.1f}")

# %% [markdown]
# With frames in place of states a `ConvVAE` makes the codes, and `Agent` joins the three parts.
# `worldmodels.DreamEnv` is the dream as a `gymnasium` environment for other learners.
#
# Next: [ConvVAE and MDN-RNN](world_models.py), [the theory](../theory/worldmodels.md).
