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
    """Records the episodes `numbers` that are not there yet into a folder, as
    `seqvae.physics.env_episodes.write_rows` writes them. Episode i depends on the seed and i alone.

    Args:
        noise: of the controller's weights in an episode: a normal number times this times the
            weights' root mean square is added to each (parameter space noise, Plappert et al. 2018,
            arXiv:1706.01905), so that the agent meets what it does not do otherwise.
        progress: called after each episode.
        options: those of `WorldRollouts`.
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
