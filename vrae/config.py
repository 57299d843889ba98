"""The settings of the command that trains a variational recurrent auto-encoder, and named presets
of them."""

from seqvae.commands import (
    Affects,
    Command,
    DeviceSettings,
    RunSettings,
    Settings,
    command_settings,
    group,
    setting,
)


@group("Data")
class SeriesSettings(Settings):
    csv: str = setting(
        "", "a CSV: features, and where there are any the columns `sequence` and `label`"
    )
    npz: str = setting("", "an .npz: `sequences` [N, T, features], `mask` [N, T], `labels` [N]")
    window: int = setting(
        0,
        "cut every series into windows of this number of steps; 0: whole series",
        affects=Affects.TRAINING,
    )
    sequences: int = setting(4000, "paths of balls that are made, without --csv and --npz")
    test_fraction: float = setting(
        0.1, "share of the series kept for the test", affects=Affects.TRAINING
    )


@group("The model", Affects.MODEL)
class NetworkSettings(Settings):
    z_size: int = setting(20, "size of the code")
    rnn: str = setting("lstm", "kind of RNN", choices=("lstm", "gru"))
    rnn_size: int = setting(128, "units of a layer")
    num_layers: int = setting(1, "layers of the encoder and the decoder")
    bidirectional: bool = setting(True, "the encoder reads both ways")
    attention: bool = setting(False, "the encoder reads all its outputs, not the last alone")
    decoder: str = setting(
        "autoregressive",
        "whether the last value is an input of the decoder",
        choices=("autoregressive", "latent"),
    )
    segment_steps: int | None = setting(
        None, "a decoder of two levels, with segments of this number of steps"
    )
    noise_var: float = setting(0.05, "variance of a value, in standardised units")
    free_bits: float = setting(0.0, "nats of KL a dimension that cost nothing")


@group("Training", Affects.TRAINING)
class TrainingSettings(Settings):
    num_epochs: int = setting(100, "epochs", affects=Affects.NOTHING)
    batch_size: int = setting(64, "series in a batch")
    learning_rate: float = setting(0.002, "of Adam")
    max_grad_norm: float = setting(5.0, "the gradients' global norm is clipped to it")
    teacher_forcing: float = setting(
        1.0,
        "share of true values among the decoder's inputs in the last epoch; it falls linearly from "
        "1",
    )
    annealing: str = setting(
        "linear",
        "how the weight of the KL grows",
        choices=("none", "linear", "sigmoid", "cyclical"),
    )
    annealing_epochs: int = setting(20, "in this number of epochs")


@group("Pictures")
class PictureSettings(Settings):
    picture_step: int = setting(
        20, "epochs between two sets of pictures; also after the first and the last"
    )


@command_settings
class VRAESettings(
    SeriesSettings, NetworkSettings, TrainingSettings, RunSettings, DeviceSettings, PictureSettings
):
    """Our defaults."""


PRESETS: dict[str, dict] = {
    "": {},
    "demo": {
        "num_epochs": 40,
        "rnn_size": 64,
        "annealing_epochs": 10,
        "decoder": "latent",
        "noise_var": 0.02,
    },
}
""""": the defaults; "demo": minutes on a laptop, for the balls' paths."""

VRAE = Command(
    name="vrae",
    settings=VRAESettings,
    presets=PRESETS,
    module="vrae.train",
    description="""Trains a variational recurrent auto-encoder on series.

    COMMAND                                    # paths of bouncing balls, of different lengths
    COMMAND --csv=series.csv                   # features, and `sequence`: which rows are one series
    COMMAND --npz=series.npz --window=50       # `sequences` [N, T, features], cut into windows
    COMMAND --run_name=mine --resume           # resumes a stopped run

A run writes logs/<run>_vrae/: config.json, metrics.jsonl, checkpoints/, model.keras,
reconstructions, samples, an interpolation, the space of codes, curves, evaluation.json.""",
)
