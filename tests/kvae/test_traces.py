"""Frames and masks of other types, batches and lengths use the graphs that are there."""

import numpy as np
import pytest

from kvae import KVAE


def traces(model):
    return sum(graph.experimental_get_tracing_count() for graph in model._compiled.values())


@pytest.mark.slow
def test_another_type_or_length_makes_no_new_trace():
    model = KVAE((8, 8), num_filters=(2,), alpha_units=3)

    def call(frames, mask):
        model.impute(frames, mask)
        model.elbo(frames, mask, seed=0)

    def data(count, steps):
        return np.full((count, steps, 8, 8), 255, np.uint8), np.ones((count, steps), np.float32)

    call(*data(2, 5))
    call(*data(3, 6))  # TensorFlow relaxes the sizes of the first trace
    frames, mask = data(4, 9)
    before = traces(model)
    call(*data(1, 7))
    for kind in (bool, np.float32, np.float64):
        call((frames // 255).astype(kind), mask)
    for kind in (bool, np.int32, np.float64):
        call(frames, mask.astype(kind))
    assert traces(model) == before
