"""The weight of the KL in an objective; `KLAnnealing` changes it between epochs."""

import keras


class KLWeight:
    """A scalar float32 variable of value 1.

    A model stores this object instead of the variable: the weight belongs to the training, so it is
    not trained or counted, and it is saved only with a compiled model.

    Attributes:
        variable: the variable.
    """

    def __init__(self):
        self.variable = keras.Variable(1.0, trainable=False, dtype="float32", name="kl_weight")
