"""Settings and presets of the command that trains a variational recurrent auto-encoder."""

from seqvae.commands import (
    Affects,
    Command,
    DeviceSettings,
    RunSettings,
    Settings,
    TableSettings,
    Tool,
    command_settings,
    group,
    setting,
)


@group("Series of an archive")
class ArchiveSettings(Settings):
    """Settings of series of the UCR and UEA archives."""

    ts: str = setting(
        "", "a .ts file, or the name of a set of the UCR and UEA archives in an installed aeon"
    )


@group("Generated data, and the test set")
class SeriesSettings(Settings):
    """Settings of the data and of the test set."""

    sequences: int = setting(4000, "paths of balls that are generated if no file is given")
    test_fraction: float = setting(
        0.1, "share of the series kept for the test", affects=Affects.TRAINING
    )
    split: str = setting(
        "series",
        "test data: whole series, or the end of every series (time)",
        choices=("series", "time"),
        affects=Affects.TRAINING,
    )


@group("The model", Affects.MODEL)
class NetworkSettings(Settings):
    """Settings of the model."""

    z_size: int = setting(20, "size of the code")
    rnn: str = setting("lstm", "kind of RNN", choices=("lstm", "gru"))
    rnn_size: int = setting(128, "units of a layer")
    num_layers: int = setting(1, "layers of the encoder and the decoder")
    bidirectional: bool = setting(True, "run the encoder in both directions")
    attention: bool = setting(
        False,
        "compute the code from all outputs of the encoder, weighted, not from its last states",
    )
    decoder: str = setting(
        "autoregressive",
        "decoder with (autoregressive) or without (latent) the last value as an input",
        choices=("autoregressive", "latent"),
    )
    segment_steps: int | None = setting(
        None, "a decoder of two levels, with segments of this number of steps"
    )
    likelihood: str = setting(
        "gaussian",
        "distribution of a value, given the decoder's output",
        choices=("gaussian", "student_t", "bernoulli"),
    )
    noise_var: float = setting(0.05, "variance of a value, in standardised units")
    noise: str = setting(
        "fixed",
        "the variance: fixed, learned for each feature, or an output for each step",
        choices=("fixed", "feature", "step"),
    )
    noise_floor: float = setting(0.001, "smallest learned variance")
    missing: bool = setting(
        False, "numbers may be missing; set automatically if the data have missing numbers"
    )
    hidden: float = setting(
        0.0, "share of the observed numbers that is hidden from the encoder in training"
    )
    patch: int = setting(1, "consecutive steps that are one input and one output of the RNNs")
    positions: int = setting(0, "number of cosines of the relative time among the inputs; 0: none")
    pooling: str = setting(
        "last",
        "the code is computed from the last states, their mean, or sums weighted by position",
        choices=("last", "mean", "position"),
    )
    cosines: int = setting(
        0, "coefficients of the linear path by the cosine transform; 0: no such path"
    )
    logvar_start: float = setting(0.0, "initial log-variance of the code")
    mixing: float = setting(0.0, "probability that a training series is a mixture of others")
    warp: float = setting(0.0, "standard deviation of the random change of speed in training")
    kl_weight: float = setting(1.0, "final weight of the KL")
    free_bits: float = setting(
        0.0, "nats of KL per dimension of the code that are not in the objective"
    )


@group("Training", Affects.TRAINING)
class TrainingSettings(Settings):
    """Settings of the training."""

    num_epochs: int = setting(
        100, "number of epochs", affects=Affects.NOTHING, replaces="num_steps"
    )
    num_steps: int = setting(
        0,
        "training steps, for any number of series; they are divided into num_epochs blocks, each "
        "with a line of the log; 0: num_epochs epochs",
    )
    batch_size: int = setting(64, "series in a batch")
    learning_rate: float = setting(0.002, "learning rate of Adam")
    schedule: str = setting(
        "constant",
        "schedule of the learning rate; cosine: a short warm-up, then a cosine that ends at 2 %",
        choices=("constant", "cosine"),
    )
    max_grad_norm: float = setting(
        5.0, "maximal global norm of the gradients, which are clipped to it"
    )
    teacher_forcing: float = setting(
        1.0,
        "share of true values among the decoder's inputs in the last epoch; it falls linearly from "
        "1",
    )
    annealing: str = setting(
        "linear",
        "how the weight of the KL grows; auto: linearly in the first fifth of the epochs, with "
        "free_bits of log N / z_size for N training series unless they are given",
        choices=("none", "linear", "sigmoid", "cyclical", "auto"),
    )
    annealing_epochs: int = setting(20, "epochs in which the weight of the KL grows (not for auto)")


@group("Pictures")
class PictureSettings(Settings):
    """Settings of the pictures."""

    picture_step: int = setting(
        20, "epochs between two sets of pictures; also after the first and the last"
    )


@command_settings
class VRAESettings(
    TableSettings,
    ArchiveSettings,
    SeriesSettings,
    NetworkSettings,
    TrainingSettings,
    RunSettings,
    DeviceSettings,
    PictureSettings,
):
    """Settings of the command vrae."""


_STEPS = {"num_steps": 3000, "num_epochs": 50, "batch_size": 32, "annealing_epochs": 10}

PRESETS: dict[str, dict] = {
    "": {},
    "demo": _STEPS | {"rnn_size": 64, "decoder": "latent", "noise_var": 0.02},
    "series": _STEPS
    | {
        "z_size": 8,
        "rnn": "gru",
        "rnn_size": 64,
        "decoder": "latent",
        "patch": 0,
        "positions": 8,
        "pooling": "position",
        "cosines": -1,
        "noise": "feature",
        "noise_var": 1.0,
        "logvar_start": -2.0,
        "kl_weight": 0.1,
        "mixing": 0.5,
        "warp": 0.05,
        "schedule": "cosine",
    },
}
""""": the defaults; "demo": minutes on a laptop, for the balls' paths; "series": the recipe for
series of which nothing else is known (`vrae.recipe`), whose patch (0) and cosines (-1) come from
the series' lengths."""

VRAE = Command(
    name="vrae",
    settings=VRAESettings,
    presets=PRESETS,
    module="vrae.train",
    description="""Trains a variational recurrent auto-encoder on series.

    COMMAND                                    # paths of bouncing balls, of different lengths
    COMMAND --preset=series --csv=series.csv   # features, and `sequence`: which rows are one series
    COMMAND --npz=series.npz --window=50       # `sequences` [N, T, features], cut into windows
    COMMAND --run_name=mine --resume           # resumes a stopped run

A run writes logs/<run>_vrae/: config.json, metrics.jsonl, checkpoints/, model.keras, series.json,
codes.csv, reconstructions, samples, an interpolation, the space of codes, curves, evaluation.json.
`seqvae vrae-apply` encodes, imputes or scores new files with it.""",
)


@group("What to write")
class ApplySettings(Settings):
    """Settings of the output of vrae-apply."""

    task: str = setting(
        "encode",
        "codes.csv, imputed.csv or scores.csv",
        choices=("encode", "impute", "score"),
    )
    out: str = setting(".", "folder of the file")
    num_samples: int = setting(
        50, "draws for the intervals of imputed numbers and for the log-likelihood"
    )
    seed: int = setting(0, "seed of the random draws")


@command_settings
class VRAEApplySettings(ApplySettings, TableSettings, ArchiveSettings):
    """Settings of the command vrae-apply."""


VRAE_APPLY = Tool(
    settings=VRAEApplySettings,
    module="vrae.apply",
    argument="folder of a run of `vrae`",
    description="""Encodes, imputes or scores series by a run of `vrae`.

    COMMAND logs/mine_vrae --csv=new.csv                # codes.csv: id, label, z_0, z_1, ...
    COMMAND logs/mine_vrae --csv=new.csv --task=impute  # imputed.csv: missing numbers, intervals
    COMMAND logs/mine_vrae --csv=new.csv --task=score   # scores.csv: log-likelihoods and errors

The columns are found by the names that the run was trained on, in any order.
""",
)
