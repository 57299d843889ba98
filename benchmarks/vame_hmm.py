"""How long the hidden Markov model of codes takes, beside hmmlearn's default: a JSON line each.

    python benchmarks/vame_hmm.py   # 100,000 codes of 10 numbers, 15 states, 10 iterations

All do the same number of iterations of the EM. `log_likelihood` is that of all codes after them;
ours begins with other transitions, see `FastGaussianHMM`.
"""

import time

import numpy as np
from absl import app, flags
from hmmlearn.hmm import GaussianHMM
from timing import show

from vrae.vame.segmenters import FastGaussianHMM

flags.DEFINE_integer("codes", 100_000, "codes")
flags.DEFINE_integer("size", 10, "numbers of a code")
flags.DEFINE_integer("states", 15, "states")
flags.DEFINE_integer("iterations", 10, "iterations of the EM")
flags.DEFINE_integer("seed", 0, "seed of the codes and the initialisation")


def main(argv):
    """Run the command line."""
    del argv
    values = flags.FLAGS
    rng = np.random.default_rng(values.seed)
    means = 1.5 * rng.standard_normal((values.states, values.size))
    course = np.repeat(rng.integers(values.states, size=-(-values.codes // 20)), 20)[: values.codes]
    codes = means[course] + rng.standard_normal((values.codes, values.size))
    options = dict(covariance_type="full", n_iter=values.iterations, tol=-np.inf)
    models = {
        "hmmlearn, default": GaussianHMM(values.states, random_state=values.seed, **options),
        "hmmlearn, scaling": GaussianHMM(
            values.states, random_state=values.seed, implementation="scaling", **options
        ),
        "ours": FastGaussianHMM(
            values.states, random_state=values.seed, implementation="scaling", **options
        ),
    }
    for name, model in models.items():
        began = time.perf_counter()
        model.fit(codes)
        seconds = time.perf_counter() - began
        show(
            operation=name,
            codes=values.codes,
            states=values.states,
            iterations=values.iterations,
            seconds=round(seconds, 2),
            log_likelihood=round(float(model.score(codes)), 1),
        )


if __name__ == "__main__":
    app.run(main)
