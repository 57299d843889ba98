"""The products of small matrices are those of `tf.linalg`."""

import numpy as np
import tensorflow as tf

from kvae.dynamics import mix
from kvae.lgssm import products
from kvae.lgssm.closed_loop import StateSpace
from tests.tolerances import SAME_FLOAT32


def draw(*shape):
    return tf.random.stateless_normal(shape, [0, len(shape)])


def test_products():
    left, right, vector = draw(5, 1, 2, 3), draw(4, 3, 2), draw(4, 3)
    np.testing.assert_allclose(products.matmul(left, right), left @ right, **SAME_FLOAT32)
    expected = tf.linalg.matvec(left, vector)
    np.testing.assert_allclose(products.matvec(left, vector), expected, **SAME_FLOAT32)
    expected = left @ draw(3, 3) @ tf.linalg.matrix_transpose(left)
    np.testing.assert_allclose(products.sandwich(left, draw(3, 3)), expected, **SAME_FLOAT32)


def test_a_mixture_has_the_type_of_its_matrices():
    alpha, matrices = draw(5, 4, 3), draw(3, 2, 2)
    expected = tf.einsum("btk,knm->btnm", alpha, matrices)
    np.testing.assert_allclose(mix(alpha, matrices), expected, **SAME_FLOAT32)
    assert mix(alpha, matrices).dtype == tf.float32


def test_on_a_gpu_training_compiles_sequences_of_any_length(monkeypatch):
    given = (None, None, None)
    assert not StateSpace(*given).compiles(20)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["a GPU"])
    assert StateSpace(*given).compiles(20)  # pyright: ignore[reportArgumentType]
    assert not StateSpace(*given, jit_compile=False).compiles(20)  # pyright: ignore[reportArgumentType]
