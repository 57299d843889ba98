"""`Controller` against a plain loop, in NumPy and in a graph, alone and as a population; the
original's files."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.tolerances import SAME_FLOAT32
from worldmodels import Controller

SMALL = dict(z_size=3, rnn_size=5, action_size=3)


def drawn(controller, seed=0, count=None):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, controller.size) if count else controller.size)


def features(count, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((count, size)) for size in (3, 5, 5)]


def plain(vector, z, h):
    """The original's procedure for one step of CarRacing: biases first, then the matrix by rows."""
    inputs = [*z, *h]
    totals = [
        vector[k] + sum(inputs[i] * vector[3 + 3 * i + k] for i in range(len(inputs)))
        for k in range(3)
    ]
    steering, gas, brake = (float(np.tanh(total)) for total in totals)
    return [steering, (gas + 1) / 2, min(max(brake, 0), 1)]


def test_it_has_the_papers_numbers_of_weights():
    assert Controller().size == 867
    assert Controller.take_cover().size == 1088
    assert Controller(inputs="z").size == 32 * 3 + 3
    assert not Controller().vector.any()


def test_it_is_the_originals_loop_for_arrays_and_tensors():
    controller = Controller(**SMALL)
    controller.vector = drawn(controller)
    z, h, _ = features(6)
    expected = [plain(controller.vector, *row) for row in zip(z, h, strict=True)]
    actions = controller(z, h)
    np.testing.assert_allclose(actions, expected, rtol=1e-12, atol=1e-12)
    assert actions[:, 1].min() > 0 and actions[:, 2].min() == 0
    np.testing.assert_allclose(controller(z[0], h[0]), expected[0], rtol=1e-12, atol=1e-12)
    in_graph = tf.function(lambda z, h: controller(z, h), autograph=False)
    found = in_graph(tf.constant(z, tf.float32), tf.constant(h, tf.float32))
    np.testing.assert_allclose(found, expected, **SAME_FLOAT32)
    assert controller(z.astype(np.float32), h.astype(np.float32)).dtype == np.float32


def test_take_covers_map_reads_z_c_h_in_this_order_and_has_no_bias():
    controller = Controller(**SMALL | {"action_size": 1}, inputs="zch", squash="tanh", bias=False)
    controller.vector = drawn(controller)
    z, h, c = features(4)
    expected = np.tanh(np.concatenate([z, c, h], -1) @ controller.vector[:, None])
    np.testing.assert_allclose(controller(z, h, c), expected, rtol=1e-12)
    pressed = Controller.buttons([-0.34, -0.33, 0.0, 0.33, 0.34])
    np.testing.assert_array_equal(pressed, [-1, 0, 0, 0, 1])


@pytest.mark.parametrize("as_tensors", (False, True))
def test_a_population_acts_in_one_call_as_each_member_alone(as_tensors):
    controller, count = Controller(**SMALL), 4
    vectors = drawn(controller, count=count).astype(np.float32)
    inputs = np.random.default_rng(2).standard_normal((count, 7, 8)).astype(np.float32)
    kind = tf.constant if as_tensors else np.asarray
    many = controller.act(kind(inputs), vectors=kind(vectors))
    one = controller.act(kind(inputs[:, 0]), vectors=kind(vectors))
    assert many.shape == (count, 7, 3) and one.shape == (count, 3)
    for member in range(count):
        controller.vector = vectors[member]
        expected = controller.act(inputs[member])
        np.testing.assert_allclose(many[member], expected, **SAME_FLOAT32)
        np.testing.assert_allclose(one[member], expected[0], **SAME_FLOAT32)
        np.testing.assert_allclose(
            controller.act(kind(inputs[0]), vectors=kind(vectors[member])),
            controller.act(inputs[0]),
            **SAME_FLOAT32,
        )


def test_its_files_are_the_originals(tmp_path):
    controller = Controller(**SMALL)
    weights = drawn(controller)
    path = tmp_path / "carracing.best.json"
    with path.open("w") as file:  # as the original's train.py writes
        json.dump(
            [weights.round(4).tolist(), 900.46],
            file,
            sort_keys=True,
            indent=0,
            separators=(",", ": "),
        )
    assert controller.load_json(path) == 900.46
    np.testing.assert_array_equal(controller.vector, weights.round(4))
    controller.vector = weights
    controller.save_json(tmp_path / "again.json", score=900.46)
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    controller.save_json(tmp_path / "alone.json")
    assert controller.load_json(tmp_path / "alone.json") is None


def test_the_vector_is_a_copy():
    controller = Controller(**SMALL)
    vector = drawn(controller)
    controller.vector = vector
    controller.vector[0] = 7.0
    vector[1] = 7.0
    assert 7.0 not in controller.vector


@pytest.mark.parametrize(
    "text, message",
    [
        ("[[1, 2", "not a readable JSON file, it may be truncated"),
        ("{}", "expected a list of arrays"),
        ("[[1, 2], [3, 4]]", r"expected \[weights\] or \[weights, score\]"),
        ('[["a"]]', r"expected \[weights\] or \[weights, score\]"),
        ("[1, 2, 3]", r"expected \[weights\] or \[weights, score\]"),
        ("[[1, 2, 3], 4.5]", r"expected 27 \(3 biases \+ 8 x 3\) weights, got 3 numbers"),
        (f"[[{', '.join(['NaN'] * 27)}]]", "expected finite weights, got NaN"),
    ],
)
def test_files_that_do_not_fit_are_refused_and_nothing_is_changed(tmp_path, text, message):
    controller, path = Controller(**SMALL), tmp_path / "controller.json"
    controller.vector = before = drawn(controller)
    path.write_text(text)
    with pytest.raises(ValueError, match=f"controller.json: {message}"):
        controller.load_json(path)
    np.testing.assert_array_equal(controller.vector, before)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda c: Controller(z_size=0), "z_size: expected an integer of at least 1"),
        (lambda c: Controller(inputs="hz"), "inputs: expected one of z, zh, zch, got 'hz'"),
        (lambda c: Controller(squash="doom"), "squash: expected one of carracing, tanh"),
        (lambda c: Controller(action_size=2), r"action_size: expected 3 \(steering, gas, brake\)"),
        (lambda c: setattr(c, "vector", np.zeros(5)), r"vector: expected 27 .* got 5 numbers"),
        (lambda c: setattr(c, "vector", np.full(27, np.inf)), "vector: expected finite weights"),
        (lambda c: c(np.zeros(3)), r"h: expected floats of the shape \[..., 5\], got none"),
        (lambda c: c(np.zeros(4), np.zeros(5)), r"z: expected floats .* \[..., 3\], got \(4,\)"),
        (lambda c: c.act(np.zeros((2, 9))), r"inputs: expected floats of the shape \[..., 8\]"),
        (
            lambda c: c.act(np.zeros((2, 8)), vectors=np.zeros((3, 27))),
            r"vectors: expected \[27\], or \[P, 27\] .* got \(3, 27\) with \(2, 8\)",
        ),
        (lambda c: c.act(np.zeros((2, 8)), vectors=np.zeros(26)), r"vectors: .* got \(26,\)"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(Controller(**SMALL))


def test_nan_is_named():
    with pytest.raises(FloatingPointError, match="controller: actions is not finite"):
        Controller(**SMALL).act(np.full(8, np.nan))


def test_save_and_load_lose_nothing(tmp_path):
    controller = Controller(z_size=3, rnn_size=4, action_size=2, inputs="zch", squash="tanh")
    controller.vector = np.random.default_rng(0).standard_normal(controller.size)
    controller.save(tmp_path / "c.npz")
    again = Controller.load(tmp_path / "c.npz")
    np.testing.assert_array_equal(again.vector, controller.vector)
    assert (again.inputs, again.squash, again.action_size) == ("zch", "tanh", 2)
    (tmp_path / "other.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"other.npz: expected a controller that Controller.save"):
        Controller.load(tmp_path / "other.npz")
