"""Settings and presets of the command that goes from poses to motifs.

Settings of the model and its training are keys of VAME's config.yaml (`vrae.vame.config`), with
VAME's defaults.
"""

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
class SessionSettings(Settings):
    """Settings of the sessions."""

    dataset: str = setting(
        "simulated",
        "simulated, or a folder of sessions: DeepLabCut's .csv or .h5, SLEAP's analysis .h5, "
        "movement's .nc, or .npz with `positions`",
    )
    individual: str | None = setting(None, "name of the animal, in files with several animals")
    fps: float | None = setting(None, "frames per second, if the files do not state it")
    skeleton: str = setting(
        "", "keypoints that pictures join by lines, as in nose-neck,neck-tail; default: the files'"
    )
    sessions: int = setting(4, "number of sessions (simulated)")
    frames: int = setting(9000, "frames in a session (simulated)")
    missing: float = setting(0.0, "share of frames at which a keypoint is missing (simulated)")
    longest_missing: int = setting(10, "frames of the longest gap of a keypoint (simulated)")
    missing_values: bool = setting(
        False,
        "NaN in positions is a missing value, not an error; always true for tracking files",
        affects=Affects.TRAINING,
    )


@group("Preprocessing of tracking files")
class PreprocessingSettings(Settings):
    """Settings of the preprocessing of tracking files."""

    pose_confidence: float = setting(
        0.9, "likelihood below which a keypoint has low confidence", earlier="confidence"
    )
    low_confidence: str = setting(
        "missing",
        "keypoints of low confidence: missing values, or linear interpolation over short gaps",
        choices=("missing", "interpolate"),
    )
    longest_gap: int = setting(
        30, "frames of the longest gap that is interpolated; gaps of reference keypoints always are"
    )
    centered_reference_keypoint: str | None = setting(
        None, "keypoint that is moved to 0", earlier="centre"
    )
    orientation_reference_keypoint: str | None = setting(
        None, "keypoint that is rotated onto the negative y axis", earlier="ahead"
    )
    egocentric_data: bool = setting(False, "positions are aligned already")
    exclude: str = setting("", "keypoints that are left out, with commas between")
    robust: bool = setting(True, "outliers among aligned positions have low confidence")
    iqr_factor: float = setting(
        4.0, "distance from the mean, in interquartile ranges, beyond which a value is an outlier"
    )
    savgol_filter: bool = setting(True, "smooth positions by a Savitzky-Golay filter")
    savgol_length: int = setting(5, "frames in the window of the Savitzky-Golay filter")
    savgol_order: int = setting(2, "order of the Savitzky-Golay filter's polynomial")
    scale_by_body_size: bool = setting(
        False, "positions are divided by the distance of the reference keypoints"
    )
    extra_features: str = setting(
        "",
        "features besides positions, with commas between: speed:KEYPOINT, "
        "distance:KEYPOINT-KEYPOINT, angular_velocity, or a row of the .npz files",
    )


@group("The model", Affects.MODEL)
class NetworkSettings(Settings):
    """Settings of the model."""

    time_window: int = setting(30, "frames of a window")
    zdims: int = setting(30, "size of the code")
    prediction_steps: int = setting(15, "frames after the window that are predicted")
    hidden_size_layer_1: int = setting(256, "units of the encoder, each direction")
    hidden_size_rec: int = setting(256, "units of the decoder")
    hidden_size_pred: int = setting(256, "units of the decoder of the frames after the window")
    dropout_encoder: float = setting(0.0, "dropout rate after the encoder's first layer")


@group("Training", Affects.TRAINING)
class TrainingSettings(Settings):
    """Settings of the training."""

    batch_size: int = setting(256, "windows in a batch")
    max_epochs: int = setting(500, "maximal number of epochs")
    learning_rate: float = setting(5e-4, "initial learning rate")
    beta: float = setting(1.0, "weight of the KL")
    kl_start: int = setting(2, "epochs without the KL")
    annealtime: int = setting(4, "epochs in which the weight of the KL rises to 1")
    kmeans_loss: int = setting(30, "singular values in the cluster term")
    kmeans_lambda: float = setting(0.1, "weight of the cluster term")
    steps_per_epoch: int | None = setting(
        None, "batches in an epoch; default: as many windows as frames"
    )
    mixed_precision: bool = setting(False, "bfloat16 in the recurrent layers")
    model_convergence: int = setting(50, "epochs without a better model after which training stops")


@group("Motifs")
class MotifSettings(Settings):
    """Settings of the segmentation into motifs."""

    n_clusters: int = setting(15, "number of motifs")
    segmentation: str = setting(
        "kmeans", "how motifs are found in the codes", choices=("kmeans", "hmm")
    )
    min_observed: float = setting(
        0.5,
        "share of observed values below which a window has no motif (motif -1)",
    )
    n_init_kmeans: int = setting(15, "runs of k-means from random initial centres")
    hmm_n_iter: int = setting(100, "maximal number of iterations of the hidden Markov model")
    hmm_min_duration: int = setting(
        3, "minimal frames of a motif of the hidden Markov model; 1: no limit"
    )
    n_communities: int | None = setting(
        None, "number of behaviours, which join motifs that often follow each other"
    )


@group("Description of motifs")
class CardSettings(Settings):
    """Settings of the description of motifs."""

    movies: bool = setting(True, "movies of bouts as moving skeletons: .mp4 and .gif of each motif")
    videos: str = setting(
        "", "a folder of the tracked videos: the bouts of the movies are cut from them too"
    )
    latent_map: str = setting(
        "pca",
        "projection of the codes to two dimensions; umap needs the extra `umap`",
        choices=("pca", "umap"),
    )
    session_groups: str = setting(
        "", "a .csv with the columns session and group, to test whether the groups differ"
    )


@command_settings
class VAMESettings(
    SessionSettings,
    PreprocessingSettings,
    NetworkSettings,
    TrainingSettings,
    MotifSettings,
    CardSettings,
    RunSettings,
    DeviceSettings,
):
    """Settings of the command vame, with VAME's defaults."""


PRESETS: dict[str, dict] = {
    "": {},
    "demo": {
        "time_window": 12,
        "prediction_steps": 6,
        "zdims": 10,
        "kmeans_loss": 10,
        "hidden_size_layer_1": 64,
        "hidden_size_rec": 64,
        "hidden_size_pred": 64,
        "learning_rate": 2e-3,
        "max_epochs": 25,
        "steps_per_epoch": 100,
        "n_clusters": 5,
        "segmentation": "hmm",
    },
}
""""": VAME's defaults; "demo": minutes on a laptop, for the simulated poses."""

VAME = Command(
    name="vame",
    settings=VAMESettings,
    presets=PRESETS,
    module="vrae.vame.workflow",
    description="""VAME from poses to motifs: trains the RNN-VAE, embeds sessions, segments codes.

    COMMAND                                     # simulated poses with known motifs
    COMMAND --dataset=FOLDER --centered_reference_keypoint=nose \\
        --orientation_reference_keypoint=tail   # tracking files
    COMMAND --dataset=FOLDER                    # .npz files with `positions` [features, frames]
    COMMAND --run_name=mine --resume            # resumes a stopped run

A run writes logs/<run>_vame/, a project as VAME has it: config.yaml, data/, model/, results/
(codes, motifs, behaviours, segmenter; tables of frames, bouts, sessions and groups), pictures,
movies/, report.html with a card of each motif, and evaluation.json where the files hold the true
`motifs`.""",
)
