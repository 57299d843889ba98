"""A stream of frames against the filter over all of them."""

import keras
import numpy as np
import pytest

from kvae import KVAE
from tests.tolerances import FLOAT32

OPTIONS = [
    dict(),
    dict(learn_u=True, dim_u=2),
    dict(alpha_rnn=False, fifo_size=2),
    dict(K=1, noise_transition="learned_diagonal"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=["lstm", "learned u", "fifo", "one K"])
def test_after_each_frame_a_stream_knows_what_the_filter_does(options):
    keras.utils.set_random_seed(0)
    model = KVAE((8, 8), num_filters=(2,), alpha_units=3, init_kf_matrices=0.5, **options)
    rng = np.random.default_rng(0)
    frames = (rng.random((3, 7, 8, 8)) > 0.6).astype(np.float32)
    mask = (rng.random((3, 7)) < 0.6).astype(np.float32)
    mask[:, 0], mask[:, 3] = 1, 0
    frames[mask == 0] = np.nan
    controls = rng.normal(size=(3, 7, model.dim_u)).astype(np.float32)
    whole = model.filter(model.encode(frames, mask).mean(), mask, controls)
    stream = model.stream(batch_size=3)
    for _ in range(2):  # after a reset again
        for t in range(7):
            frame = None if t == 3 else frames[:, t]
            state = stream.step(frame, mask[:, t], controls[:, t])
            for name in ("mean", "cov", "log_likelihood", "alpha"):
                expected = getattr(whole, name)[:, t]
                np.testing.assert_allclose(getattr(state, name), expected, err_msg=name, **FLOAT32)
            code = np.einsum("bij,bj->bi", whole.C[:, t], whole.mean[:, t])
            np.testing.assert_allclose(state.a, code, **FLOAT32)
        stream.reset()


def test_one_sequence_needs_no_batch_axis_and_inputs_are_checked():
    keras.utils.set_random_seed(0)
    model = KVAE((8, 8), num_filters=(2,), alpha_units=3)
    frames = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    stream = model.stream()
    states = [stream.step(frame) for frame in frames]
    whole = model.filter(model.encode(frames[None]).mean())
    np.testing.assert_allclose(states[-1].mean, whole.mean[:, -1], **FLOAT32)
    with pytest.raises(ValueError, match=r"frames: expected the shape"):
        stream.step(frames[0, :4])
    with pytest.raises(ValueError, match=r"controls: expected the shape \[1, 1, 1\]"):
        stream.step(frames[0], controls=np.zeros(3))
    with pytest.raises(ValueError, match="frames: NaN in an observed frame"):
        stream.step(np.full((8, 8), np.nan, np.float32))
    with pytest.raises(ValueError, match="batch_size: expected"):
        model.stream(batch_size=0)
