"""Settings and presets of the commands that train the ConvVAE and the MDN-RNN."""

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

# --- the ConvVAE ---


@group("Data and weights")
class EpisodeSettings(Settings):
    """Settings of the ConvVAE's data."""

    dataset: str = setting(
        "balls", "balls (made if missing), or a folder of episodes (.npz with `frames`)"
    )
    data_dir: str = setting("datasets", "folder of the datasets")
    episodes: int = setting(1000, "number of episodes of balls that are made and used")
    steps: int = setting(100, "frames of an episode of balls")
    test_fraction: float = setting(0.1, "share of the test episodes", affects=Affects.TRAINING)
    reload_model: str = setting(
        "", "start from these weights: a model.keras, or the original's vae.json"
    )


@group("The model", Affects.MODEL)
class ConvVAENetworkSettings(Settings):
    """Settings of the ConvVAE."""

    architecture: str = setting(
        "worldmodels",
        "the TensorFlow form, or the course's Keras form",
        choices=("worldmodels", "course"),
    )
    z_size: int = setting(32, "size of the code z")
    kl_tolerance: float = setting(
        0.5, "floor of a frame's KL, nats per dimension of z (worldmodels)"
    )
    filters: str = setting("", "filters of each encoder layer; default: the architecture's")
    kernel_sizes: str = setting("4,4,4,4", "kernel sizes of each encoder layer")
    decoder_filters: str = setting(
        "", "filters of each decoder layer but the last; default: the architecture's"
    )
    decoder_kernel_sizes: str = setting(
        "5,5,6,6", "kernel sizes of each decoder layer; they determine the size of the frames"
    )


@group("Training", Affects.TRAINING)
class ConvVAETrainingSettings(Settings):
    """Settings of the ConvVAE's training."""

    num_epochs: int = setting(10, "number of epochs", affects=Affects.NOTHING)
    batch_size: int = setting(100, "frames in a batch")
    learning_rate: float = setting(1e-4, "learning rate of Adam or of the course's RMSprop")
    shuffle: bool = setting(True, "a new order of the frames every epoch")
    mixed_precision: bool = setting(
        False, "convolutions in bfloat16: faster on processors that have it"
    )


@group("Pictures")
class PictureSettings(Settings):
    """Settings of the ConvVAE's pictures."""

    picture_step: int = setting(
        5, "epochs between two sets of pictures; also after the first and the last"
    )


@command_settings
class ConvVAESettings(
    EpisodeSettings,
    ConvVAENetworkSettings,
    ConvVAETrainingSettings,
    RunSettings,
    DeviceSettings,
    PictureSettings,
):
    """Settings of the command convvae, with the original's defaults."""


CONVVAE_PRESETS: dict[str, dict] = {
    "": {},
    "course": {"architecture": "course", "batch_size": 32, "learning_rate": 1e-3, "num_epochs": 1},
    "demo": {
        "episodes": 400,
        "steps": 100,
        "batch_size": 32,
        "learning_rate": 3e-4,
        "num_epochs": 3,
    },
}
""""": the original's settings; "course": the course text's; "demo": minutes on a laptop, for the
bouncing balls.
"""

CONVVAE = Command(
    name="convvae",
    settings=ConvVAESettings,
    presets=CONVVAE_PRESETS,
    module="worldmodels.train_convvae",
    description="""Trains the ConvVAE of World Models on frames of episodes.

    COMMAND                                     # bouncing balls that are pushed, made where missing
    COMMAND --dataset=datasets/carracing        # a folder of episodes, see datasets/README.md
    COMMAND --preset=course                     # the course text's form of the model
    COMMAND --run_name=mine --resume            # resumes a stopped run

A run writes logs/<run>_convvae/: config.json, metrics.jsonl, checkpoints/, model.keras, vae.json
(the original's format), reconstructions, samples, a latent traversal, curves, evaluation.json.
Next: the MDN-RNN.""",
)

# --- the MDN-RNN ---


@group("Data and weights")
class LatentSettings(Settings):
    """Settings of the MDN-RNN's data."""

    vae: str = setting(
        "",
        "the folder of a ConvVAE's run, or a model.keras; default: the newest run of a ConvVAE in "
        "log_dir",
    )
    dataset: str = setting(
        "", "folder of episodes (.npz with `frames` and `actions`); default: the ConvVAE's"
    )
    test_fraction: float = setting(
        0.1,
        "share of the test episodes; with a ConvVAE's run, its test episodes are used",
        affects=Affects.TRAINING,
    )
    reload_model: str = setting(
        "", "start from these weights: a model.keras, or the original's rnn.json"
    )


@group("The model", Affects.MODEL)
class MDNRNNNetworkSettings(Settings):
    """Settings of the MDN-RNN."""

    rnn_size: int = setting(256, "units of the LSTM")
    num_mixture: int = setting(5, "Gaussians in the mixture of each number of z")
    predict_done: bool = setting(False, "a head for the episode's end (the dataset needs `done`)")
    predict_reward: bool = setting(False, "a head for the reward (the dataset needs `rewards`)")


@group("Training", Affects.TRAINING)
class MDNRNNTrainingSettings(Settings):
    """Settings of the MDN-RNN's training."""

    num_epochs: int = setting(40, "number of epochs", affects=Affects.NOTHING)
    batch_size: int = setting(100, "sequences in a batch")
    seq_len: int = setting(999, "maximal number of steps in a sequence")
    learning_rate: float = setting(0.001, "initial learning rate")
    decay_rate: float = setting(
        1.0, "factor per epoch on the learning rate's excess over min_learning_rate"
    )
    min_learning_rate: float = setting(0.00001, "lower limit of the learning rate")
    grad_clip: float = setting(1.0, "each number of the gradients is clipped to plus or minus this")
    shuffle: bool = setting(True, "a new order of the sequences every epoch")
    mixed_precision: bool = setting(
        False, "LSTM in bfloat16, loss in float32: faster on processors that have it"
    )
    jit_compile: bool = setting(False, "compile the training step by XLA", affects=Affects.NOTHING)


@group("Dreams")
class DreamSettings(Settings):
    """Settings of the dreams in the report."""

    temperature: float = setting(0.5, "temperature of the dreams in the pictures")
    seen_steps: int = setting(20, "steps of a real episode before the dream starts")
    dream_steps: int = setting(60, "steps of a dream")
    picture_step: int = setting(20, "epochs between two dreams; also after the last")


@command_settings
class MDNRNNSettings(
    LatentSettings,
    MDNRNNNetworkSettings,
    MDNRNNTrainingSettings,
    RunSettings,
    DeviceSettings,
    DreamSettings,
):
    """Settings of the command mdnrnn, with the original's defaults."""


MDNRNN_PRESETS: dict[str, dict] = {
    "": {},
    "demo": {
        "batch_size": 20,
        "num_epochs": 60,
        "learning_rate": 3e-3,
        "decay_rate": 0.95,
        "dream_steps": 40,
    },
}
""""": the original's settings; "demo": minutes on a laptop, for the bouncing balls."""

MDNRNN = Command(
    name="mdnrnn",
    settings=MDNRNNSettings,
    presets=MDNRNN_PRESETS,
    module="worldmodels.train_mdnrnn",
    description="""Trains the MDN-RNN of World Models on a trained ConvVAE's codes of episodes.

    COMMAND                                      # on the newest run of a ConvVAE in logs/
    COMMAND --vae=logs/mine_convvae              # on that run, its dataset and its test episodes
    COMMAND --vae=mine.keras --dataset=datasets/carracing
    COMMAND --run_name=mine --resume             # resumes a stopped run

A run writes logs/<run>_mdnrnn/: config.json, metrics.jsonl, checkpoints/, latents/, model.keras,
rnn.json (the original's format), a dream beside the real episode, curves, evaluation.json.""",
)

# --- recording, ConvVAE (V), MDN-RNN (M), controller (C), evaluation ---


@group("The environment")
class WorldSettings(Settings):
    """The environment."""

    env: str = setting("seqvae/Dodge-v0", "the environment's id, as gymnasium.make takes it")
    size: str = setting("64,64", "height and width of a frame, pixels")
    render: bool = setting(False, "use the environment's rendered pictures as frames")
    max_steps: int = setting(
        1000, "maximal number of steps in an episode, in the world and in the dream"
    )
    workers: int = setting(0, "processes that step the environment; 0: as many as cores")


@group("The parts: a stage whose file is given is skipped")
class PartSettings(Settings):
    """Recording and training of the parts; a stage whose file is given is skipped."""

    dataset: str = setting("", "folder of episodes; default: record them")
    vae: str = setting("", "a ConvVAE: a model.keras or the folder of its run")
    rnn: str = setting("", "an MDN-RNN: a model.keras or the folder of its run; needs vae")
    controller: str = setting("", "a controller.npz; needs vae and rnn")
    episodes: int = setting(200, "episodes to record in each iteration")
    policy: str = setting("hold", "policy of the first recording", choices=("hold", "random"))
    iterations: int = setting(
        1, "2 or more: record with the agent, train V and M on all episodes again, evolve again"
    )
    noise: float = setting(
        0.3, "noise of the controller's weights in recordings by the agent, relative to their size"
    )
    vae_flags: str = setting(
        "", "flags of `seqvae convvae`, such as '--z_size=16 --num_epochs=3', beside the preset's"
    )
    rnn_flags: str = setting("--predict_done", "flags of `seqvae mdnrnn`, beside the preset's")


@group("The controller")
class EvolutionSettings(Settings):
    """The controller and its evolution."""

    inputs: str = setting("zh", "inputs of the controller", choices=("z", "zh", "zch"))
    train_in: str = setting("dream", "where the controller is evolved", choices=("dream", "world"))
    temperature: float = setting(1.15, "temperature of the dream")
    population: int = setting(64, "members of a generation")
    rollouts: int = setting(16, "rollouts per member")
    generations: int = setting(100, "number of generations")
    sigma: float = setting(0.1, "initial standard deviation of a weight")
    check_in: str = setting(
        "world", "where the best of all generations is chosen", choices=("dream", "world")
    )
    check_every: int = setting(10, "generations between two checks")
    check_rollouts: int = setting(16, "rollouts per check")
    z_only: bool = setting(True, "also evolve a controller on z alone, to compare")


@group("The evaluation")
class EvaluationSettings(Settings):
    """The evaluation of the agent."""

    test_episodes: int = setting(100, "episodes of each score at the end")
    video_steps: int = setting(300, "maximal number of steps in the video")


@command_settings
class WorldModelSettings(
    WorldSettings, PartSettings, EvolutionSettings, EvaluationSettings, RunSettings, DeviceSettings
):
    """Settings of the command that makes an agent: recording, ConvVAE, MDN-RNN and controller."""


WORLDMODEL_PRESETS: dict[str, dict] = {
    "": {},
    "demo": {
        "size": "32,32",
        "episodes": 300,
        "max_steps": 600,
        "vae_flags": "--filters=16,32,64 --kernel_sizes=4,4,4 --decoder_filters=32,16 "
        "--decoder_kernel_sizes=5,6,6 --z_size=16 --kl_tolerance=3 --batch_size=64 "
        "--learning_rate=1e-3 --num_epochs=8",
        "rnn_flags": "--rnn_size=128 --seq_len=100 --batch_size=20 --num_epochs=25 "
        "--learning_rate=3e-3 --decay_rate=0.93 --predict_done",
        "population": 32,
        "rollouts": 8,
        "generations": 60,
    },
}
""""demo": minutes on a laptop, for Dodge in frames of 32x32 pixels. The balls are small: with a
floor of the KL below 48 nats (`kl_tolerance`) the codes leave them out."""

WORLDMODEL = Command(
    name="worldmodel",
    settings=WorldModelSettings,
    presets=WORLDMODEL_PRESETS,
    module="worldmodels.train_worldmodel",
    description="""From frames to an agent: records an environment, trains the ConvVAE and the
MDN-RNN, evolves a controller in the dream, and scores it in the world.

    COMMAND --preset=demo                       # seqvae/Dodge-v0, minutes
    COMMAND --env=Pendulum-v1 --render          # any environment of pixels or with pictures
    COMMAND --iterations=2                      # records with the agent and trains again
    COMMAND --vae=logs/mine_convvae --rnn=logs/mine_mdnrnn      # the controller alone
    COMMAND --run_name=mine --resume            # resumes a stopped run

A run writes logs/<run>_worldmodel/: config.json, episodes/, the runs of the two models and of the
controller in each iteration, vae.keras, rnn.keras, controller.npz, evaluation.json, curves, and a
video of the agent in the world beside its dream. Finished stages are not repeated.""",
)
