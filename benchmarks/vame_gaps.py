"""How far a line over a gap is from the simulated positions, by the length of the gap: a JSON line
each.

    python benchmarks/vame_gaps.py

`error`: root mean squared error in the gaps, in standard deviations of the coordinate. The mean of
the coordinate in place of the line has an error of 1.
"""

import numpy as np
from absl import app, flags
from timing import show

from vrae.vame.keypoints import interpolate_gaps
from vrae.vame.simulation import simulate_poses

flags.DEFINE_list("gaps", ["1", "2", "5", "10", "20", "40"], "frames of the gaps")
flags.DEFINE_integer("frames", 20_000, "frames of the session")
flags.DEFINE_integer("seed", 0, "seed of the session")

_FROM_GAP_TO_GAP = 100


def main(argv):
    """Run the command line."""
    del argv
    values = flags.FLAGS
    session = next(iter(simulate_poses(1, values.frames, seed=values.seed).values()))
    deviation = session.clean.std(axis=1, keepdims=True)
    for gap in map(int, values.gaps):
        gone = np.arange(values.frames) % _FROM_GAP_TO_GAP < gap
        holes = np.where(gone, np.nan, session.positions)
        lines = np.concatenate([interpolate_gaps(row[None], gap) for row in holes])
        error = ((lines - session.clean) / deviation)[:, gone]
        show(gap=gap, error=round(float(np.sqrt(np.mean(error**2))), 3))


if __name__ == "__main__":
    app.run(main)
