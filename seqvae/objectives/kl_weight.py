"""The weight of the KL in an objective, which `KLAnnealing` changes between epochs."""

import keras


class KLWeight:
    """A scalar variable of value 1, float32. A model holds this object, not the variable: it is
    part of a training, and neither trained, counted nor saved with the model."""

    def __init__(self):
        self.variable = keras.Variable(1.0, trainable=False, dtype="float32", name="kl_weight")
