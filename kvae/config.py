"""Settings of the command that trains a Kalman VAE, and its presets."""

from seqvae.commands import (
    Affects,
    Command,
    DeviceSettings,
    RunSettings,
    Settings,
    TableSettings,
    command_settings,
    group,
    setting,
)

_LEARNED = ("learned", "learned_diagonal")
"""Values of a variance setting that make it a trained weight: one for all numbers, or one each."""


@group("The encoder and decoder", Affects.MODEL)
class NetworkSettings(Settings):
    """The encoder and decoder."""

    out_distr: str = setting(
        "bernoulli",
        "distribution of the pixels; auto: gaussian if many are grey",
        choices=("bernoulli", "gaussian", "auto"),
    )
    conv: bool = setting(True, "convolutional encoder and decoder; --noconv: dense layers")
    activation: str = setting(
        "relu", "activation of the encoder and decoder: relu, tanh, elu, linear"
    )
    kernel_initializer: str = setting(
        "he_normal", "initializer of the encoder's and decoder's weights"
    )
    filter_size: int = setting(3, "width of the filters")
    num_filters: str = setting("32,32,32", "filters of each conv layer")
    vae_num_units: int = setting(25, "units of each dense layer (--noconv)")
    num_layers: int = setting(2, "dense layers (--noconv)")
    noise_pixel_var: float | str = setting(
        0.1, "variance of a pixel (with gaussian)", choices=_LEARNED
    )
    ll_keep_prob: float = setting(
        1.0, "share of the frames that a training step decodes; steps are faster below 1"
    )
    use_vae: bool = setting(True, "a variational auto-encoder; --nouse_vae: a plain one")
    scale_reconstruction: float = setting(0.3, "weight of log p(x|a) in the objective")


@group("The state-space model", Affects.MODEL)
class StateSpaceSettings(Settings):
    """The linear Gaussian state-space model of the codes."""

    dim_a: int | str = setting(
        2, "size of the code a; auto: estimated from the frames", choices=("auto",)
    )
    dim_z: int | str = setting(4, "size of the state z; auto: twice dim_a", choices=("auto",))
    dim_u: int = setting(1, "size of the controls u; taken from the dataset if it has controls")
    K: int = setting(3, "number of matrices that are mixed")
    noise_emission: float | str = setting(0.03, "variance R of a code given z", choices=_LEARNED)
    noise_transition: float | str = setting(0.08, "variance Q of a step of z", choices=_LEARNED)
    init_cov: float | str = setting(20.0, "variance of the first z", choices=_LEARNED)
    init_kf_matrices: float = setting(0.05, "standard deviation of the initial B and C")
    sample_z: bool = setting(False, "decode the smoothed states' codes instead of the encoder's")
    bound: str = setting(
        "marginal",
        "the LGSSM's part of the objective; sampled: the original's",
        choices=("marginal", "sampled"),
    )
    jit_compile: bool | None = setting(
        None, "compile the state-space model by XLA; default: on a GPU, or for at least 64 steps"
    )


@group("The dynamics network", Affects.MODEL)
class DynamicsSettings(Settings):
    """The network that computes the mixture weights of the K matrices."""

    alpha_rnn: bool = setting(
        True, "an LSTM; --noalpha_rnn: dense layers on the last fifo_size codes"
    )
    alpha_units: int = setting(50, "units of the dynamics network")
    alpha_layers: int = setting(2, "dense layers of the dynamics network (--noalpha_rnn)")
    alpha_activation: str = setting("relu", "activation of the dense layers (--noalpha_rnn)")
    fifo_size: int = setting(
        1, "number of last codes that are the dense layers' input (--noalpha_rnn)"
    )
    learn_u: bool = setting(False, "the dynamics network also predicts the controls")


@group("Training", Affects.TRAINING)
class TrainingSettings(Settings):
    """Stages, steps and optimiser of the training."""

    num_epochs: int = setting(
        80,
        "epochs of the first three stages",
        affects=Affects.NOTHING,
        replaces="num_steps",
    )
    num_steps: int = setting(
        0,
        "training steps of all stages together: their epochs are multiplied by one factor; 0: the "
        "epochs as they are",
    )
    batch_size: int = setting(32, "sequences in a batch")
    init_lr: float = setting(0.007, "initial learning rate")
    decay_rate: float = setting(0.85, "factor of the learning rate's decay")
    decay_steps: int = setting(20, "epochs between two multiplications by decay_rate")
    max_grad_norm: float = setting(
        150.0, "maximal global norm of the gradients, which are clipped to it"
    )
    warmup_steps: int = setting(
        50, "first steps of each stage, over which the learning rate rises to its value"
    )
    first_bias: str = setting(
        "mean",
        "initial bias of the decoder's last layer: so that it outputs the mean pixel, or zero",
        choices=("mean", "zero"),
    )
    on_collapse: str = setting(
        "retry",
        "if the codes collapse: stop; retry: restart at half the learning rate; ignore: only warn",
        choices=("stop", "retry", "ignore"),
        affects=Affects.NOTHING,
    )
    only_vae_epochs: int = setting(
        0, "epochs that train the encoder and decoder alone", replaces="num_steps"
    )
    kf_update_steps: int = setting(
        10, "epochs after only_vae_epochs that also train A, B, C and a_0", replaces="num_steps"
    )
    dynamics_epochs: int = setting(
        0,
        "epochs after num_epochs that train only A, B, C and the dynamics network: fast",
        replaces="num_steps",
    )
    refine_epochs: int = setting(
        0,
        "epochs after dynamics_epochs that train everything, followed by dynamics_epochs again",
        replaces="num_steps",
    )
    train_miss_prob: float = setting(
        0.0, "probability that a training frame is missing, the same in every epoch"
    )
    t_init_train_miss: int = setting(3, "frames at the start that are always observed")
    shuffle: bool = setting(True, "a new order of the sequences every epoch")
    mixed_precision: bool = setting(
        False,
        "convolutions in bfloat16, the rest in float32: faster on processors that have bfloat16",
    )


@group("Data and weights")
class DataSettings(Settings):
    """The frames of a run and the weights that it starts from."""

    dataset: str = setting(
        "box",
        "box, box_gravity, polygon, pong, box_push, pendulum, pendulum_swing_up (made if the file "
        "is missing), or an .npz",
    )
    data_dir: str = setting("datasets", "folder of the datasets")
    reload_model: str = setting(
        "", "start from these weights: a model.keras of ours, or the original's .../model.ckpt"
    )


@group("Series in place of frames, from --csv or --npz", Affects.TRAINING)
class SeriesSettings(Settings):
    """Settings of a run on series of numbers in place of frames."""

    series_encoder: str = setting(
        "identity",
        "identity: the numbers themselves are the codes; dense: an auto-encoder of dense layers, "
        "for many features that depend on few causes",
        choices=("identity", "dense"),
    )
    dt: float = setting(
        0.0,
        "step of the even grid that uneven --time are put on, in its unit, of dates in seconds; 0: "
        "the least step, if all times fit it, or calendar months",
    )
    test_fraction: float = setting(
        0.2, "share of the series, or of the windows of a single one, in the test set"
    )


@group("Pictures and figures")
class ReportSettings(Settings):
    """When a run writes pictures, and what they show."""

    generate_step: int = setting(
        20, "epochs between two sets of pictures; also after the first and the last"
    )
    n_steps_gen: int = setting(80, "frames of a generated video, or steps of a forecast of series")
    t_init_mask: int = setting(4, "observed frames or steps before the gap that is imputed")
    t_steps_mask: int = setting(12, "missing frames or steps in that gap")


@command_settings
class KVAESettings(
    DataSettings,
    TableSettings,
    SeriesSettings,
    NetworkSettings,
    StateSpaceSettings,
    DynamicsSettings,
    TrainingSettings,
    RunSettings,
    DeviceSettings,
    ReportSettings,
):
    """Flags of the original program with its defaults, and flags of ours."""


_LARGER_DYNAMICS = {"K": 7, "alpha_units": 128}
"""Seven matrices, because a ball meets a wall early or late in a step, and units to mix them."""

PRESETS: dict[str, dict] = {
    "": {},
    "paper": {
        "bound": "sampled",
        "shuffle": False,
        "kernel_initializer": "glorot_uniform",
        "first_bias": "zero",
        "warmup_steps": 0,
        "on_collapse": "ignore",
    },
    "demo": _LARGER_DYNAMICS
    | {
        "num_filters": "16,16,16",
        "num_steps": 3000,
        "num_epochs": 4,
        "kf_update_steps": 2,
        "decay_rate": 0.5,
        "decay_steps": 3,
        "dynamics_epochs": 5,
        "refine_epochs": 5,
        "generate_step": 100,
    },
    "best": _LARGER_DYNAMICS
    | {
        "num_filters": "16,16,16",
        "num_steps": 9750,
        "num_epochs": 12,
        "kf_update_steps": 4,
        "decay_rate": 0.5,
        "decay_steps": 4,
        "dynamics_epochs": 15,
        "refine_epochs": 20,
        "generate_step": 100,
    },
    "series": {
        "out_distr": "gaussian",
        "conv": False,
        "scale_reconstruction": 1.0,
        "noise_pixel_var": "learned_diagonal",
        "dim_a": "auto",
        "dim_z": "auto",
        "K": 1,
        "noise_emission": "learned_diagonal",
        "noise_transition": "learned_diagonal",
        "init_cov": "learned_diagonal",
        "init_kf_matrices": 0.5,
        "num_steps": 1000,
        "num_epochs": 5,
        "kf_update_steps": 0,
        "init_lr": 0.02,
        "decay_rate": 0.5,
        "decay_steps": 1,
        "generate_step": 100,
        "t_steps_mask": 8,
        "n_steps_gen": 24,
    },
}
"""Settings by the preset's name.

"" holds the original's settings with the bound that we chose; "paper" has the original's bound,
fixed order of sequences and initial weights. "demo" takes minutes; "best" gave the best imputation
of those tried. The epochs of these two are meant for 5000 sequences; with their `num_steps` they
fit other data too. "series", the preset of --csv and --npz, has the arguments of `KVAE.for_series`
and a training that suits it.
"""

KVAE = Command(
    name="kvae",
    settings=KVAESettings,
    presets=PRESETS,
    preset_of={"csv": "series", "npz": "series"},
    module="kvae.train",
    description="""Trains a Kalman variational auto-encoder, with the flags of the original program.

    COMMAND                                  # bouncing balls, with the original's flags
    COMMAND --preset=demo                    # minutes, not hours
    COMMAND --dataset=videos.npz             # images [N, T, H, W] or [N, T, H, W, C], or its shards
    COMMAND --csv=table.csv                  # series of numbers: gaps filled, and a forecast
    COMMAND --run_name=mine --resume         # resumes a stopped run

A run writes logs/<run>_kvae/: config.json, metrics.jsonl, checkpoints/, model.keras, videos, plots,
imputation.json; of series imputed.csv and forecast.csv too.""",
)
