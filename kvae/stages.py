"""The stages of training a Kalman VAE, and their numbers of epochs."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from kvae.model import KVAE
from seqvae.data.batches import Batches
from seqvae.data.streams import ShardBatches
from seqvae.training import Stage, cosine_decay

LEAST_STEPS, LEAST_SEQUENCES = 1500, 100
"""With fewer training steps or sequences, a poor model is likely."""


@dataclass(frozen=True)
class Schedule:
    """Epochs of the original's three stages and of our two; see `stages`.

    Args:
        num_epochs: epochs of the original's three stages together.
        only_vae_epochs: epochs of the first stage.
        kf_update_steps: epochs of the second stage; the original's name says steps.
        dynamics_epochs: epochs of our stage "dynamics", after the `num_epochs`.
        refine_epochs: epochs of our stage "refine"; "dynamics" is then repeated.

    Raises:
        ValueError: a number is negative, or no epoch is left for a necessary stage.
    """

    num_epochs: int
    only_vae_epochs: int
    kf_update_steps: int
    dynamics_epochs: int = 0
    refine_epochs: int = 0

    def __post_init__(self):
        given = ", ".join(f"{name}={value}" for name, value in vars(self).items())
        if self.num_epochs < 1 or min(vars(self).values()) < 0:
            raise ValueError(
                f"{given}: expected at least one epoch, and no negative number of them."
            )
        if self._all < 0:
            raise ValueError(
                f"{given}: the stages of only_vae_epochs and kf_update_steps need "
                f"{self.only_vae_epochs + self.kf_update_steps} epochs. Use a num_epochs above "
                "that, or smaller ones of them."
            )
        if not (self._all or self.dynamics_epochs or self.refine_epochs):
            raise ValueError(
                f"{given}: no epoch is left for the stage 'all', which trains the dynamics "
                "network. Use a larger num_epochs, or a smaller only_vae_epochs or kf_update_steps."
            )

    @property
    def _all(self) -> int:
        return self.num_epochs - self.only_vae_epochs - self.kf_update_steps

    @property
    def epochs(self) -> int:
        """Epochs of all stages together."""
        dynamics_again = self.dynamics_epochs if self.refine_epochs else 0
        return self.num_epochs + self.dynamics_epochs + self.refine_epochs + dynamics_again

    def times(self, factor: float) -> "Schedule":
        """Scale the length of all stages; each keeps at least one epoch.

        Args:
            factor: the factor.

        Returns:
            The scaled schedule.
        """

        def scaled(epochs: int) -> int:
            return max(1, round(factor * epochs)) if epochs else 0

        parts = {name: scaled(value) for name, value in vars(self).items()}
        parts["num_epochs"] = (
            parts["only_vae_epochs"] + parts["kf_update_steps"] + scaled(self._all)
        )
        return replace(self, **parts)


def stages(
    model: KVAE,
    schedule: Schedule,
    *,
    learning_rate: float = 0.007,
    codes: Callable[[], Batches | ShardBatches] | None = None,
) -> list[Stage]:
    """Make the stages of training: the original's three and our two.

    The original trains the VAE alone, then with A, B, C and a_0, then also with the dynamics
    network. Our stage "dynamics" trains only A, B, C, a_0 and the dynamics network, on the codes of
    the current encoder: an epoch costs a twentieth of the others, and the dynamics need more steps
    than the convolutions. "refine" trains everything again, now with dynamics that are good enough
    to improve the codes, and is followed by "dynamics" again.

    Args:
        model: the model.
        schedule: the numbers of epochs.
        learning_rate: initial rate of "dynamics"; "refine" starts at half of it. Both fall to 0
            along a cosine.
        codes: makes the batches of "dynamics", see `kvae.data`.

    Returns:
        The stages that have epochs.
    """
    groups, s = model.variable_groups, schedule

    def stage(name, epochs, *parts, **options):
        return Stage(
            name, epochs, tuple(variable for part in parts for variable in groups[part]), **options
        )

    def falling(rate, epochs):
        return cosine_decay(rate, max(1, epochs))

    on_codes = dict(
        batches=codes, learning_rate=falling(learning_rate, s.dynamics_epochs), jit_compile=True
    )
    planned = [
        stage("vae", s.only_vae_epochs, "vae"),
        stage("vae+lgssm", s.kf_update_steps, "vae", "lgssm"),
        stage("all", s._all, "vae", "lgssm", "dynamics"),
        stage("dynamics", s.dynamics_epochs, "lgssm", "dynamics", **on_codes),
        stage(
            "refine",
            s.refine_epochs,
            *groups,
            learning_rate=falling(0.5 * learning_rate, s.refine_epochs),
        ),
        stage(
            "dynamics again",
            s.dynamics_epochs if s.refine_epochs else 0,
            "lgssm",
            "dynamics",
            **on_codes,
        ),
    ]
    return [stage for stage in planned if stage.epochs]


def describe_stages(planned: list[Stage], steps_of_epoch: int, sequences: int) -> list[str]:
    """Describe the stages, and warn of too little training or data.

    Args:
        planned: the stages.
        steps_of_epoch: steps of an epoch.
        sequences: number of training sequences.

    Returns:
        Lines for the start of a run.
    """
    parts = [f"{stage.name} {stage.epochs} ({stage.epochs * steps_of_epoch})" for stage in planned]
    lines = [f"epochs (steps) of the stages: {', '.join(parts)}"]
    steps = steps_of_epoch * sum(stage.epochs for stage in planned)
    if steps < LEAST_STEPS:
        lines.append(
            f"likely TOO FEW STEPS: {steps}. Use --num_steps=3000, as many as --preset=demo takes"
        )
    if sequences < LEAST_SEQUENCES:
        lines.append(
            f"likely TOO FEW SEQUENCES: {sequences}. The model may memorise them. Use hundreds"
        )
    return lines
