"""Episodes of an environment, recorded by an agent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seqvae.physics.env_episodes import episode_path, write_rows
from seqvae.physics.pixel_world import PixelWorld
from worldmodels import arguments
from worldmodels.controller import Controller
from worldmodels.conv_vae import ConvVAE
from worldmodels.mdn_rnn import MDNRNN
from worldmodels.world_rollouts import Job, WorldRollouts


def record_agent(
    world: PixelWorld,
    vae: ConvVAE,
    rnn: MDNRNN | None,
    controller: Controller,
    out: str | Path,
    numbers: range,
    *,
    seed: int = 0,
    noise: float = 0.0,
    progress: Callable[[], object] = lambda: None,
    **options: Any,
) -> None:
    """Record episodes of an agent in an environment, except those that have a file.

    An episode depends only on the seed and its index. The files are those of
    `seqvae.physics.env_episodes.write_rows`.

    Args:
        world: the environment.
        vae: the ConvVAE.
        rnn: the MDN-RNN, or None.
        controller: the controller.
        out: folder of the recording.
        numbers: indices of the episodes.
        seed: seed of the recording.
        noise: in each episode, noise of the weights: to each weight is added a normal number times
            `noise` times the root mean square of the weights. The agent then visits states that it
            would not reach otherwise (parameter space noise, Plappert et al. 2018,
            arXiv:1706.01905).
        progress: called after each episode.
        **options: other arguments of `WorldRollouts`.
    """
    arguments.check_at_least(0, noise=noise)
    missing = [i for i in numbers if not episode_path(out, i).exists()]
    if not missing:
        return
    weights = controller.vector
    scale = noise * np.sqrt(np.mean(weights**2))
    rngs = (np.random.default_rng([seed, i, 4]) for i in missing)
    vectors = np.stack([weights + scale * rng.standard_normal(len(weights)) for rng in rngs])
    jobs = [Job(member, i) for member, i in enumerate(missing)]
    with WorldRollouts(world, vae, rnn, controller, **options) as rollouts:
        for job, rows in rollouts.episodes(vectors, jobs, seed):
            write_rows(episode_path(out, job.rollout), rows)
            progress()
