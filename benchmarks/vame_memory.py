"""Memory of VAME's training on sessions that are mapped from files: a JSON line for each length.

    python benchmarks/vame_memory.py --frames=1000000,8000000

`own_mb` is what the process holds itself at the end, without pages of the mapped files, which the
system takes back at will.
"""

import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
from absl import app, flags
from timing import machine, memory, show

flags.DEFINE_list("frames", ["1000000", "4000000"], "frames of the session")
flags.DEFINE_integer("features", 12, "features of a frame")
flags.DEFINE_integer("steps", 20, "training steps, with 256 windows of 60 frames each")
flags.DEFINE_integer("seed", 0, "seed of the session")

_PART = 100_000


def measure(frames: int, options: dict, results) -> None:
    """Write, split and train on a session, and measure memory. It runs in its own process.

    Args:
        frames: frames of the session.
        options: options of the measurement.
        results: queue for the results.
    """
    from vrae import vame

    with tempfile.TemporaryDirectory() as folder:
        session = np.lib.format.open_memmap(
            f"{folder}/session.npy", "w+", np.float64, (options["features"], frames)
        )
        for first in range(0, frames, _PART):
            part = session[:, first : first + _PART]
            rng = np.random.default_rng([options["seed"], first])
            part[:] = 0.01 * np.cumsum(rng.standard_normal(part.shape), axis=1)
        session.flush()
        config = Path(folder) / "config.yaml"
        vame.write_config(
            config,
            vame.Config(
                project_path=folder,
                max_epochs=1,
                steps_per_epoch=options["steps"],
                zdims=4,
                kmeans_loss=4,
                hidden_size_layer_1=16,
                hidden_size_rec=16,
                hidden_size_pred=16,
                test_fraction=0.001,
            ),
        )
        before = memory("RssAnon")
        vame.create_training(config, {"session": np.load(f"{folder}/session.npy", mmap_mode="r")})
        split = memory("RssAnon")
        vame.rnn_vae.train_model(str(config), save_logs=True)
        results.put(
            dict(
                frames=frames,
                features=options["features"],
                file_mb=frames * options["features"] * 8 / 1e6,
                own_mb_before=before,
                own_mb_after_split=split,
                own_mb=memory("RssAnon"),
            )
        )


def main(argv):
    """Run the command line."""
    del argv
    options = {name: flags.FLAGS[name].value for name in ("features", "steps", "seed")}
    context = multiprocessing.get_context("spawn")
    for frames in map(int, flags.FLAGS.frames):
        results = context.SimpleQueue()
        process = context.Process(target=measure, args=(frames, options, results))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit("the measurement failed")
        show(**results.get(), machine=machine())


if __name__ == "__main__":
    app.run(main)
