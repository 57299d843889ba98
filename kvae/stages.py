"""The stages of training a Kalman VAE."""

from collections.abc import Callable

from kvae.model import KVAE
from seqvae.data.batches import Batches
from seqvae.data.streams import ShardBatches
from seqvae.training import Stage, cosine_decay


def stages(
    model: KVAE,
    *,
    num_epochs: int,
    only_vae_epochs: int,
    kf_update_steps: int,
    dynamics_epochs: int = 0,
    refine_epochs: int = 0,
    learning_rate: float = 0.007,
    codes: Callable[[], Batches | ShardBatches] | None = None,
) -> list[Stage]:
    """The original's stages: the VAE alone, then with A, B, C and a_0, then with the dynamics
    network too; and two of ours.

    "dynamics" trains A, B, C, a_0 and the dynamics network alone, on the codes that the encoder
    gives by then: an epoch costs a twentieth of the others, and the dynamics need more steps than
    the convolutions. "refine" trains everything again, now that the dynamics are good enough to
    straighten the codes; "dynamics" follows it once more.

    Args:
        kf_update_steps: counts epochs, whatever its name says.
        dynamics_epochs, refine_epochs: of our stages, after the `num_epochs` of the others. Their
            rates fall to 0 along a cosine, from `learning_rate` and from half of it.
        codes: makes the batches of "dynamics", see `kvae.data`.
    """
    if num_epochs < 1 or min(only_vae_epochs, kf_update_steps, dynamics_epochs, refine_epochs) < 0:
        raise ValueError(
            f"num_epochs={num_epochs}, only_vae_epochs={only_vae_epochs}, "
            f"kf_update_steps={kf_update_steps}, "
            f"dynamics_epochs={dynamics_epochs}, refine_epochs={refine_epochs}: expected at least "
            "one epoch, and no "
            "negative number of them."
        )
    groups = model.variable_groups

    def stage(name, epochs, *parts, **options):
        return Stage(
            name, epochs, tuple(variable for part in parts for variable in groups[part]), **options
        )

    def falling(rate, epochs):
        return cosine_decay(rate, max(1, epochs))

    vae = min(only_vae_epochs, num_epochs)
    vae_lgssm = min(kf_update_steps, num_epochs - vae)
    alone = dict(
        batches=codes, learning_rate=falling(learning_rate, dynamics_epochs), jit_compile=True
    )
    made = [
        stage("vae", vae, "vae"),
        stage("vae+lgssm", vae_lgssm, "vae", "lgssm"),
        stage("all", num_epochs - vae - vae_lgssm, "vae", "lgssm", "dynamics"),
        stage("dynamics", dynamics_epochs, "lgssm", "dynamics", **alone),
        stage(
            "refine",
            refine_epochs,
            *groups,
            learning_rate=falling(0.5 * learning_rate, refine_epochs),
        ),
        stage(
            "dynamics again", dynamics_epochs if refine_epochs else 0, "lgssm", "dynamics", **alone
        ),
    ]
    return [stage for stage in made if stage.epochs]
