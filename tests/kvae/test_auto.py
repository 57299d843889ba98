"""Settings chosen from the data: the estimate on manifolds of a known dimension, the rules on
videos whose degrees of freedom are known."""

import dataclasses

import numpy as np
import pytest

from kvae.auto import chosen, intrinsic_dimension
from seqvae.data import Sequences
from seqvae.physics import BALL_WORLDS, PENDULUMS, record

AUTO = {"dim_a": "auto", "dim_z": "auto", "out_distr": "auto"}


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_the_dimension_of_a_curved_manifold(dimension):
    rng = np.random.default_rng(0)
    points = np.tanh(rng.uniform(-1, 1, (1500, dimension)) @ rng.normal(size=(dimension, 20)))
    assert intrinsic_dimension(points) == pytest.approx(dimension, rel=0.2)


@pytest.mark.slow
def test_a_ball_a_rod_and_two_balls():
    box = BALL_WORLDS["box"]
    two = dataclasses.replace(box, balls=2)
    sizes = {}
    for name, world in (("ball", box), ("rod", PENDULUMS["pendulum"]), ("two", two)):
        images = record(world, sequences=120, steps=20)["images"]
        values, reasons = chosen(AUTO, Sequences(images), 0)
        sizes[name] = values["dim_a"]
        assert values["dim_z"] == 2 * values["dim_a"] and values["out_distr"] == "bernoulli"
        assert len(reasons) == 3 and reasons[1].startswith(f"dim_a={sizes[name]}: the frames vary")
    assert (sizes["ball"], sizes["rod"]) == (2, 2) and sizes["two"] in (3, 4)


def test_grey_frames_are_gaussian_and_given_values_stay():
    images = np.random.default_rng(0).random((3, 5, 8, 8)).astype(np.float32)
    mask = np.ones((3, 5), np.float32)
    mask[:, 2] = 0
    images[:, 2] = np.nan
    values, reasons = chosen(AUTO | {"dim_z": 3}, Sequences(images, mask=mask), 0)
    assert values == {"dim_a": 2, "dim_z": 3, "out_distr": "gaussian"}
    assert reasons[0].startswith("out_distr=gaussian: 81% of the pixels lie between 0.1 and 0.9")
    assert reasons[1] == "dim_a=2: the minimum, because there are only 12 distinct frames"
