"""What keeps the Kalman VAE from collapsing in its first steps: five data sets, several cures, five
seeds.

    python benchmarks/kvae_collapse.py --out=benchmarks/results/kvae_collapse.jsonl
    python benchmarks/kvae_collapse.py --cures=none,he --data=pendulum --seeds=0

Each run takes 90 steps of the stage "vae+lgssm" with the original's learning rate, on frames of
24x24 or 32x32 pixels and 16 filters, and prints a JSON line: the error of the reconstruction over
that of the mean frame (root mean squared, on 60 test sequences), the share of dead units in the
encoder's last convolution, the standard deviation of the codes. A run that is in the file is not
run again. The last lines are a table: the median and the worst run of each cure.
"""

import json
import tempfile
from pathlib import Path

import keras
import numpy as np
from absl import app, flags
from PIL import Image, ImageDraw
from scipy.ndimage import zoom
from sklearn.datasets import load_digits, load_sample_images

from kvae import KVAE
from seqvae.data import Sequences, unit_pixels
from seqvae.data.batches import Batches
from seqvae.physics import WORLDS, Split, record
from seqvae.training import Checkpoints, Stage, Trainer

flags.DEFINE_list("data", ["pendulum", "bar", "digits", "box", "photo"], "data sets")
flags.DEFINE_list(
    "cures",
    ["none", "bias", "he", "warmup", "bias+he", "bias+he+warmup"],
    "cures, with + between those that are taken together",
)
flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "seeds")
flags.DEFINE_string("out", "", "file of JSON lines that results are added to")

TRAIN, TEST, STEPS, EPOCHS, BATCH = 320, 60, 20, 9, 32
WARMUP, RATE, CLIP = 50, 0.007, 150.0


def frames_of(name: str, split: Split) -> np.ndarray:
    """Make sequences of frames.

    Args:
        name: a world, or "bar", "digits" or "photo".
        split: training or test data.

    Returns:
        [N, STEPS, H, W] or [N, STEPS, H, W, 3].
    """
    count = TRAIN if split is Split.TRAIN else TEST
    if name in WORLDS:
        return record(WORLDS[name], sequences=count, steps=STEPS, split=split)["images"]
    play = {"bar": _bar, "digits": _digits, "photo": _photo}[name]
    return np.stack([play(np.random.default_rng([7, split, i])) for i in range(count)])


def _bar(rng: np.random.Generator) -> np.ndarray:
    """A bar that turns about its middle at a constant speed, 32x32."""
    angles = rng.uniform(0, np.pi) + rng.uniform(-0.4, 0.4) * np.arange(STEPS)
    return np.stack([_drawn_bar(angle) for angle in angles])


def _drawn_bar(angle: float) -> np.ndarray:
    canvas = Image.new("L", (128, 128), 0)
    x, y = 52 * np.cos(angle), 52 * np.sin(angle)
    ImageDraw.Draw(canvas).line([(64 - x, 64 - y), (64 + x, 64 + y)], fill=255, width=14)
    return np.asarray(canvas.resize((32, 32), Image.Resampling.LANCZOS))


def _bounce(rng: np.random.Generator, room: float) -> np.ndarray:
    """Whole positions [STEPS, 2] of a point that moves evenly and bounces in [0, room]."""
    way = rng.uniform(0, room, 2) + rng.uniform(-2.5, 2.5, 2) * np.arange(STEPS)[:, None]
    return np.rint(room - np.abs(way % (2 * room) - room)).astype(int)


def _digits(rng: np.random.Generator) -> np.ndarray:
    """Two handwritten digits that bounce in 32x32."""
    frames = np.zeros((STEPS, 32, 32), np.float32)
    for digit in rng.choice(load_digits().images, 2):
        drawn = np.clip(zoom(digit / 16.0, 1.5, order=1), 0, 1)
        for frame, (y, x) in zip(frames, _bounce(rng, 20), strict=True):
            part = frame[y : y + 12, x : x + 12]
            np.maximum(part, drawn, out=part)
    return frames


def _photo(rng: np.random.Generator) -> np.ndarray:
    """A window that moves over a colour photograph, 24x24."""
    photo = load_sample_images().images[rng.integers(2)][::8, ::8]
    path = _bounce(rng, min(photo.shape[:2]) - 24)
    return np.stack([photo[y : y + 24, x : x + 24] for y, x in path])


def run(name: str, cure: str, seed: int) -> dict:
    """Train a model and measure it.

    Args:
        name: name of the data, as for `frames_of`.
        cure: names of cures, joined by +.
        seed: seed of the run.

    Returns:
        The figures.
    """
    train, test = Sequences(frames_of(name, Split.TRAIN)), Sequences(frames_of(name, Split.TEST))
    keras.utils.set_random_seed(seed)
    cures = cure.split("+")
    model = KVAE(
        train.image_shape,
        num_filters=(16, 16, 16),
        out_distr="gaussian" if name == "photo" else "bernoulli",
        kernel_initializer="he_normal" if "he" in cures else "glorot_uniform",
    )
    if "bias" in cures:
        model.adapt(train.frames)
    groups = model.variable_groups
    with tempfile.TemporaryDirectory() as folder:
        log = Trainer(
            model,
            Batches(train, BATCH, seed=seed, shuffle=True),
            [Stage("vae+lgssm", EPOCHS, (*groups["vae"], *groups["lgssm"]))],
            checkpoints=Checkpoints(Path(folder) / "checkpoints", {}),
            log_folder=folder,
            learning_rate=lambda epoch: RATE,
            clip_norm=CLIP,
            warmup_steps=WARMUP if "warmup" in cures else 0,
            seed=seed,
            quiet=True,
        ).run()
        assert log is not None
        lines = log.read()
    return (
        {"data": name, "cure": cure, "seed": seed}
        | _figures(model, train, test)
        | {
            "train_elbo": round(lines[-1]["train_elbo"], 2),
            "seconds": round(sum(line["seconds"] for line in lines), 1),
        }
    )


def _figures(model: KVAE, train: Sequences, test: Sequences) -> dict:
    truth = unit_pixels(test.frames)
    codes = model.encode(test.frames).mean().numpy()
    error = _rmse(model.decode(codes).mean().numpy() - truth)
    baseline = _rmse(train.mean_frame() - truth)
    encoder = model.frame_vae.encoder
    last = [layer for layer in encoder.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    units = keras.Model(encoder.inputs[0], last.output)(
        truth.reshape(-1, *encoder.inputs[0].shape[1:])
    )
    dead = ~(units.numpy() > 0).any(axis=(0, 1, 2))
    return {
        "error_over_mean_frame": round(error / baseline, 3),
        "dead_units": round(float(dead.mean()), 3),
        "codes_std": round(float(codes.std((0, 1)).min()), 4),
    }


def _rmse(difference: np.ndarray) -> float:
    return float(np.sqrt((difference**2).mean()))


def table(runs: list[dict]) -> str:
    """Format the error, relative to that of the mean frame: median and worst.

    Args:
        runs: the figures of the runs.

    Returns:
        A Markdown table, cures in rows, data in columns.
    """
    names = list(dict.fromkeys(run["data"] for run in runs))
    rows = ["| cure | " + " | ".join(names) + " | worst |", "|---" * (len(names) + 2) + "|"]
    for cure in dict.fromkeys(run["cure"] for run in runs):
        cells, all_errors = [], []
        for name in names:
            errors = [
                run["error_over_mean_frame"]
                for run in runs
                if (run["cure"], run["data"]) == (cure, name)
            ]
            all_errors += errors
            cells.append(f"{np.median(errors):.2f} ({max(errors):.2f})" if errors else "")
        rows.append(f"| {cure} | " + " | ".join(cells) + f" | {max(all_errors):.2f} |")
    return "\n".join(rows)


def main(argv):
    """Run the command line."""
    del argv
    options = flags.FLAGS
    path = Path(options.out) if options.out else None
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
    runs = [json.loads(line) for line in lines]
    done = {(run["data"], run["cure"], run["seed"]) for run in runs}
    for seed in map(int, options.seeds):
        for name in options.data:
            for cure in options.cures:
                if (name, cure, seed) in done:
                    continue
                runs.append(run(name, cure, seed))
                keras.backend.clear_session()
                print(json.dumps(runs[-1]), flush=True)
                if path:
                    with path.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(runs[-1]) + "\n")
    print(table(runs))


if __name__ == "__main__":
    app.run(main)
