"""How fast the bouncing-ball datasets are made, and how small they are: a JSON line for each world.

python benchmarks/data_generation.py [--sequences=6000] [--workers=2]
"""

import json
import os
import tempfile
import time
from pathlib import Path

from absl import app, flags

from seqvae.physics import WORLDS, write_dataset

flags.DEFINE_integer("sequences", 6000, "sequences of 20 frames")
flags.DEFINE_integer("workers", 2, "processes")

_ORIGINAL = {
    "sequences_per_second": 530,
    "bytes_per_sequence": 82_000,
}  # box, its own scripts, one process


def main(argv):
    """Run the command line."""
    del argv
    count, workers = flags.FLAGS.sequences, flags.FLAGS.workers
    for name, world in WORLDS.items():
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            (path,) = write_dataset(
                world, Path(folder), sequences=count, test_sequences=0, workers=workers
            )
            seconds = time.perf_counter() - began
            size = path.stat().st_size / count
        rate = count / seconds
        line = {
            "world": name,
            "sequences": count,
            "workers": workers,
            "seconds": round(seconds, 2),
            "sequences_per_second": round(rate),
            "sequences_per_second_per_core": round(rate / min(workers, os.cpu_count() or 1)),
            "bytes_per_sequence": round(size),
            "speed_over_original": round(rate / _ORIGINAL["sequences_per_second"], 2),
            "original_size_over_ours": round(_ORIGINAL["bytes_per_sequence"] / size),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    app.run(main)
