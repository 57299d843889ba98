"""How the Kalman VAE is trained: its stages, and named settings of the flags."""

from collections.abc import Callable

import numpy as np

from kvae.model import KVAE
from seqvae.data import Sequences
from seqvae.data.batches import Batches
from seqvae.training import Stage, cosine_decay

PRESETS: dict[str, dict] = {
    "": {},
    "paper": {"bound": "sampled", "shuffle": False},
    "demo": {
        "num_epochs": 10,
        "num_filters": "16,16,16",
        "K": 7,
        "alpha_units": 128,
        "kf_update_steps": 4,
        "dynamics_epochs": 10,
        "decay_rate": 0.5,
        "decay_steps": 3,
        "generate_step": 100,
        "mixed_precision": True,
    },
}
"""Flags by preset. "" is the original's flags with the bound of our choice, "paper" the original's bound and fixed order."""


def stages(
    model: KVAE,
    *,
    num_epochs: int,
    only_vae_epochs: int,
    kf_update_steps: int,
    dynamics_epochs: int = 0,
    learning_rate: float = 0.007,
    codes: Callable[[], Batches] | None = None,
) -> list[Stage]:
    """The original's stages: the VAE alone, then with A, B, C and a_0, then with the dynamics network too; and one of ours.

    Ours trains A, B, C, a_0 and the dynamics network alone, on the codes that the encoder gives by then. It costs a
    hundredth of the other epochs, and the dynamics need more steps than the convolutions do.

    Args:
        kf_update_steps: counts epochs, whatever its name says.
        dynamics_epochs: of our stage, after the `num_epochs` of the others; its rate falls from `learning_rate` along a
            cosine.
        codes: makes the batches of our stage, see `encoded`.
    """
    if num_epochs < 1 or min(only_vae_epochs, kf_update_steps, dynamics_epochs) < 0:
        raise ValueError(
            f"num_epochs={num_epochs}, only_vae_epochs={only_vae_epochs}, kf_update_steps={kf_update_steps}, "
            f"dynamics_epochs={dynamics_epochs}: expected at least one epoch, and no negative number of them."
        )
    vae = min(only_vae_epochs, num_epochs)
    vae_lgssm = min(kf_update_steps, num_epochs - vae)
    parts = (
        ("vae", vae, ("vae",)),
        ("vae+lgssm", vae_lgssm, ("vae", "lgssm")),
        ("all", num_epochs - vae - vae_lgssm, ("vae", "lgssm", "dynamics")),
        ("dynamics", dynamics_epochs, ("lgssm", "dynamics")),
    )
    groups = model.variable_groups
    made = []
    for name, epochs, members in parts:
        own = {}
        if name == "dynamics" and epochs:
            own = dict(batches=codes, learning_rate=cosine_decay(learning_rate, epochs), jit_compile=True)
        if epochs:
            made.append(Stage(name, epochs, tuple(v for part in members for v in groups[part]), **own))
    return made


def encoded(model: KVAE, sequences: Sequences, batch_size: int = 256) -> dict[str, np.ndarray]:
    """The sequences as the encoder sees them, for training without it: `codes` and `variance` [N, T, dim_a], and their
    `mask` and `controls` where they have them."""
    parts = []
    for i in range(0, len(sequences), batch_size):
        images = sequences.images[i : i + batch_size]
        q = model.encode(np.nan_to_num(images) if images.dtype.kind == "f" else images)
        parts.append((q.mean().numpy(), q.variance().numpy()))
    codes, variance = (np.concatenate(each) for each in zip(*parts, strict=True))
    beside = {name: value for name, value in sequences.arrays().items() if name in ("mask", "controls")}
    return {"codes": codes, "variance": variance} | beside
