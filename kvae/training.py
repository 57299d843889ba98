"""How the Kalman VAE is trained: its stages, and named settings of the flags."""

from kvae.model import KVAE
from seqvae.training import Stage

PRESETS: dict[str, dict] = {
    "": {},
    "paper": {"bound": "sampled"},
    "demo": {
        "num_epochs": 11,
        "only_dynamics_epochs": 4,
        "num_filters": "16,16,16",
        "kf_update_steps": 1,
        "decay_rate": 0.6,
        "decay_steps": 2,
        "generate_step": 100,
    },
}
"""Flags by preset. "" is the original's flags with the bound of our choice, "paper" the original throughout."""


def stages(
    model: KVAE, *, num_epochs: int, only_vae_epochs: int, kf_update_steps: int, only_dynamics_epochs: int = 0
) -> list[Stage]:
    """The original's stages: the VAE alone, then with A, B, C and a_0, then with the dynamics network too.

    `kf_update_steps` counts epochs, whatever its name says. `only_dynamics_epochs`, ours: that many of the epochs, the
    last ones, train A, B, C, a_0 and the dynamics network alone, the learning rate starting anew: the codes stand
    still, the dynamics catch up.
    """
    counts = dict(
        num_epochs=num_epochs,
        only_vae_epochs=only_vae_epochs,
        kf_update_steps=kf_update_steps,
        only_dynamics_epochs=only_dynamics_epochs,
    )
    if num_epochs < 1 or min(counts.values()) < 0 or only_dynamics_epochs > num_epochs:
        given = ", ".join(f"{name}={value}" for name, value in counts.items())
        raise ValueError(
            f"{given}: expected at least one epoch, no negative number of them, and no more than num_epochs for the "
            "dynamics alone."
        )
    joint = num_epochs - only_dynamics_epochs
    vae = min(only_vae_epochs, joint)
    vae_lgssm = min(kf_update_steps, joint - vae)
    parts = (
        ("vae", vae, ("vae",)),
        ("vae+lgssm", vae_lgssm, ("vae", "lgssm")),
        ("all", joint - vae - vae_lgssm, ("vae", "lgssm", "dynamics")),
        ("dynamics", only_dynamics_epochs, ("lgssm", "dynamics")),
    )
    groups = model.variable_groups
    return [
        Stage(name, epochs, tuple(v for part in members for v in groups[part]), restart_decay=name == "dynamics")
        for name, epochs, members in parts
        if epochs
    ]
