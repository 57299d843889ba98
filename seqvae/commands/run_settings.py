"""The settings that every training command has."""

from seqvae.commands.settings import Affects, Settings, group, setting


@group("The run")
class RunSettings(Settings):
    preset: str = setting("", "named settings; flags given beside it win")
    run_name: str = setting("", "name of the run; default: the time")
    log_dir: str = setting("logs", "folder of the run folders")
    display_step: int = setting(1, "epochs between two printed lines")
    seed: int = setting(0, "of weights, order, noise and masks", affects=Affects.TRAINING)
    deterministic: bool = setting(
        False,
        "the same numbers, bit for bit, on the same machine; slower",
        affects=Affects.TRAINING,
    )


@group("Devices")
class DeviceSettings(Settings):
    gpu: str = setting("", "GPUs to use, with commas between; -1: none")
    strategy: str = setting(
        "one",
        "one device; mirrored: every GPU of this machine; multiworker: the processes of TF_CONFIG "
        "or of a SLURM step",
        choices=("one", "mirrored", "multiworker"),
    )
    replicas: int | None = setting(
        None, "how many GPUs (mirrored; default: all), or logical CPU devices where there is no GPU"
    )
