"""The irregular pendulum of Becker et al. 2019, Schirmer et al. 2022 and Zeng et al. 2023: frames
that are missing between irregular ones.

    python benchmarks/kvae_pendulum.py                       # five seeds, hours
    python benchmarks/kvae_pendulum.py --settings="best --ll_keep_prob=0.3" --seeds=0
    python benchmarks/kvae_pendulum.py --sequences=64,32 --settings="demo --num_steps=40" --seeds=0

Data: sequences of 100 frames of the world `pendulum`, 2,000 for training and 1,000 for the test,
simulated from the published parameters. Of the 100, 50 drawn at random are kept. In the test half
of those, drawn at random but none of the first five of the 100, are missing; the error is that at
the missing ones. The model sees the even grid of 100 steps, with a mask. Kill it whenever you like:
the same command resumes where it stopped. Each run prints a JSON line and adds it to --out: mean
squared errors of a pixel in [0, 1],

    smoothed, filtered       of the frame that is decoded from the mean of a_t
    smoothed_mean            of the mean over frames decoded from draws of a_t
    reconstructed            of the encoder's own a_t, which sees the frame
    mean_frame, linear       of the two baselines
"""

import json
from pathlib import Path

import numpy as np
from absl import app, flags
from kvae_runs import train
from timing import machine

from kvae import KVAE
from seqvae.baselines import interpolated
from seqvae.data import Sequences, load, unit_pixels
from seqvae.files import atomic_write
from seqvae.physics import WORLDS, Split, record
from seqvae.saved_models import load_model

_ROOT = Path(__file__).resolve().parent.parent

flags.DEFINE_list("sequences", ["2000", "1000"], "training and test sequences")
flags.DEFINE_string(
    "settings",
    "best --ll_keep_prob=0.3",
    "settings with semicolons between: a preset's name and flags of run_kvae.py",
)
flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "seeds")
flags.DEFINE_string("runs", str(_ROOT / "logs" / "pendulum"), "folder of the data and the runs")
flags.DEFINE_string(
    "out",
    str(_ROOT / "benchmarks" / "results" / "kvae_pendulum.jsonl"),
    "file of JSON lines that results are added to",
)

STEPS, KEPT, ALWAYS_SEEN, MISSING = 100, 50, 5, 0.5
_DRAWS, _AT_ONCE = 20, 8


def irregular(count: int, split: Split) -> tuple[Sequences, np.ndarray]:
    """Make sequences whose mask keeps 50 of 100 frames.

    Args:
        count: number of sequences.
        split: training or test data.

    Returns:
        The sequences; and [N, T] bool, the kept frames that the test hides.
    """
    images = record(WORLDS["pendulum"], sequences=count, steps=STEPS, split=split, workers=2)[
        "images"
    ]
    rng = np.random.default_rng([11, split])
    kept = np.argsort(rng.random((count, STEPS)), axis=1).argsort(axis=1) < KEPT
    hidden = kept & (rng.random((count, STEPS)) < MISSING) & (np.arange(STEPS) >= ALWAYS_SEEN)
    return Sequences(images, kept.astype(np.float32)), hidden


def write_data(folder: Path, train_count: int, test_count: int) -> Path:
    """Write the training sequences, and beside them the test sequences without the hidden frames.

    Args:
        folder: the folder.
        train_count: number of training sequences.
        test_count: number of test sequences.

    Returns:
        The file of the training sequences.
    """
    path = folder / f"irregular_{train_count}_{test_count}.npz"
    for file, count, split in (
        (path, train_count, Split.TRAIN),
        (path.with_name(f"{path.stem}_test.npz"), test_count, Split.TEST),
    ):
        if file.exists():
            continue
        data, hidden = irregular(count, split)
        shown = data if split is Split.TRAIN else data.with_mask(~hidden)
        with atomic_write(file) as part:
            np.savez_compressed(part, images=shown.frames, mask=shown.mask, hidden=hidden)
    return path


def errors(model: KVAE, test: Sequences, hidden: np.ndarray, mean_frame: np.ndarray) -> dict:
    """Compute mean squared errors at the hidden frames.

    Args:
        model: the model.
        test: the test sequences, whose mask leaves the hidden frames out.
        hidden: [N, T] bool.
        mean_frame: mean of the training frames.

    Returns:
        The errors by method.
    """
    sums: dict[str, float] = {}
    for i in range(0, len(test), _AT_ONCE):
        part, where = test.take(slice(i, i + _AT_ONCE)), hidden[i : i + _AT_ONCE]
        if not where.any():
            continue
        truth, seen = unit_pixels(part.frames), part.observed
        imputed = model.impute(part.frames, part.mask)
        drawn = model.posterior_sample(part.frames, part.mask, num_samples=_DRAWS, seed=[5, i])
        guesses = {
            "smoothed": imputed.smoothed,
            "filtered": imputed.filtered,
            "smoothed_mean": drawn.frames.numpy().mean(axis=0),
            "reconstructed": model.decode(model.encode(part.frames).mean()).mean(),
            "mean_frame": np.broadcast_to(mean_frame, truth.shape),
            "linear": interpolated(truth, seen),
        }
        for name, guess in guesses.items():
            difference = np.asarray(guess)[where] - truth[where]
            sums[name] = sums.get(name, 0.0) + float((difference.astype(np.float64) ** 2).sum())
    pixels = hidden.sum() * np.prod(test.image_shape)
    return {name: round(total / float(pixels), 6) for name, total in sums.items()}


def figures(folder: Path, path: Path) -> dict:
    """Measure a finished run.

    Args:
        folder: the run's folder.
        path: the file of its training data.

    Returns:
        The figures.
    """
    beside = path.with_name(f"{path.stem}_test.npz")
    with np.load(beside) as arrays:
        hidden = arrays["hidden"]
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    epochs = [json.loads(line) for line in lines]
    mean_frame = load(path).mean_frame()
    return errors(load_model(folder / "model.keras", KVAE), load(beside), hidden, mean_frame) | {
        "epochs": len(epochs),
        "seconds": round(sum(line["seconds"] for line in epochs)),
    }


def main(argv):
    """Run the command line."""
    del argv
    options = flags.FLAGS
    train_count, test_count = map(int, options.sequences)
    runs, out = Path(options.runs), Path(options.out)
    runs.mkdir(parents=True, exist_ok=True)
    path = write_data(runs, train_count, test_count)
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    names = ("sequences", "setting", "seed")
    done = {tuple(json.loads(line)[name] for name in names) for line in lines}
    for setting in (each.strip() for each in options.settings.split(";")):
        for seed in options.seeds:
            if (train_count, setting, int(seed)) in done:
                continue
            words = "".join(c if c.isalnum() else "_" for c in setting)
            folder = runs / f"{train_count}_{words}_{seed}_kvae"
            train(folder, str(path), setting, seed)
            line = dict(zip(names, (train_count, setting, int(seed)), strict=True))
            line |= figures(folder, path) | {"machine": machine()}
            print(json.dumps(line), flush=True)
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    app.run(main)
