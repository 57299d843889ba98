"""How the Kalman VAE is trained: its stages, and named settings of the flags."""

from kvae.model import KVAE
from seqvae.training import Stage

PRESETS: dict[str, dict] = {
    "": {},
    "paper": {"bound": "sampled", "shuffle": False},
    "demo": {
        "num_epochs": 10,
        "num_filters": "16,16,16",
        "kf_update_steps": 1,
        "decay_rate": 0.5,
        "decay_steps": 3,
        "generate_step": 100,
    },
}
"""Flags by preset. "" is the original's flags with the bound of our choice, "paper" the original's bound and fixed order."""


def stages(model: KVAE, *, num_epochs: int, only_vae_epochs: int, kf_update_steps: int) -> list[Stage]:
    """The original's stages: the VAE alone, then with A, B, C and a_0, then with the dynamics network too.

    `kf_update_steps` counts epochs, whatever its name says.
    """
    if num_epochs < 1 or only_vae_epochs < 0 or kf_update_steps < 0:
        raise ValueError(
            f"num_epochs={num_epochs}, only_vae_epochs={only_vae_epochs}, kf_update_steps={kf_update_steps}: expected at "
            "least one epoch, and no negative number of them."
        )
    vae = min(only_vae_epochs, num_epochs)
    vae_lgssm = min(kf_update_steps, num_epochs - vae)
    parts = (
        ("vae", vae, ("vae",)),
        ("vae+lgssm", vae_lgssm, ("vae", "lgssm")),
        ("all", num_epochs - vae - vae_lgssm, ("vae", "lgssm", "dynamics")),
    )
    groups = model.variable_groups
    return [
        Stage(name, epochs, tuple(variable for part in members for variable in groups[part]))
        for name, epochs, members in parts
        if epochs
    ]
