"""Settings that every training command has."""

from seqvae.commands.settings import Affects, Settings, group, setting


@group("The run")
class RunSettings(Settings):
    """Settings of a run: its name, its folder, its seed."""

    preset: str = setting("", "named settings; flags override them")
    run_name: str = setting("", "name of the run; default: the time")
    log_dir: str = setting("logs", "folder of the run folders")
    display_step: int = setting(1, "epochs between two printed lines")
    seed: int = setting(
        0,
        "seed of the weights, the order, the random draws and the masks",
        affects=Affects.TRAINING,
    )
    deterministic: bool = setting(
        False,
        "reproducible bit for bit on the same machine; slower",
        affects=Affects.TRAINING,
    )


@group("Devices")
class DeviceSettings(Settings):
    """Settings of the devices that a run uses."""

    gpu: str = setting("", "GPUs to use, separated by commas; -1: none")
    strategy: str = setting(
        "one",
        "one device; mirrored: every GPU of this machine; multiworker: the processes of TF_CONFIG "
        "or of a SLURM step",
        choices=("one", "mirrored", "multiworker"),
    )
    replicas: int | None = setting(
        None, "number of GPUs (mirrored; default: all), or of logical CPU devices without a GPU"
    )
