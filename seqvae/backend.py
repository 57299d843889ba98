"""The one Keras backend this code runs on."""

import keras


def require_tensorflow() -> None:
    """Raises ImportError unless Keras computes with TensorFlow."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ImportError(
            f"seqvae needs Keras' TensorFlow backend, Keras was started with {backend!r}. Set the "
            "environment variable "
            "KERAS_BACKEND=tensorflow before Python starts, or change `backend` in "
            "~/.keras/keras.json."
        )
