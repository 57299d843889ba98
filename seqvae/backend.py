"""Check of the Keras backend: only TensorFlow is supported."""

import keras


def require_tensorflow() -> None:
    """Check that Keras runs on TensorFlow.

    Raises:
        ImportError: Keras was started with another backend.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ImportError(
            f"seqvae needs Keras' TensorFlow backend, Keras was started with {backend!r}. Set the "
            "environment variable KERAS_BACKEND=tensorflow before Python starts, or change "
            "`backend` in ~/.keras/keras.json."
        )
