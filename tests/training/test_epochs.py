"""`EpochLoop`: a training with an epoch of its own, that ends early and is killed and resumed."""

import keras
import numpy as np
import pytest

from seqvae.replicas import Placement
from seqvae.training import CheckpointError, Checkpoints, EpochLoop


class Kill(Exception):
    pass


class Counting(EpochLoop):
    """Adds 1 to its weight in each epoch; a count in its position ends it after five."""

    def __init__(self, folder, epochs=9, placement=None):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
        model.set_weights([np.zeros((1, 1))])
        super().__init__(
            model,
            checkpoints=Checkpoints(folder / "checkpoints", {}),
            log_folder=folder,
            epochs=epochs,
            placement=placement,
            quiet=True,
        )
        self.optimizer = keras.optimizers.SGD()
        self.optimizer.build(model.trainable_variables)
        self.position |= {"waited": 0}
        self.announced, self.kill_before, self.kill_after = [], None, None

    @property
    def weight(self):
        return float(self.model.get_weights()[0][0, 0])

    def finished(self):
        return super().finished() or self.position["waited"] >= 3

    def run_epoch(self, bar):
        epoch = self.position["epoch"]
        self.model.set_weights([np.full((1, 1), self.weight + 1.0)])
        self.position |= {"epoch": epoch + 1, "waited": 0 if epoch < 2 else epoch - 1}
        return {"epoch": epoch, "weight": self.weight}

    def before_checkpoint(self, log):
        if self.position["epoch"] == self.kill_before:
            raise Kill

    def after_checkpoint(self, log):
        self.announced.append(log.read()[-1]["epoch"])
        if self.position["epoch"] == self.kill_after:
            raise Kill


def test_it_ends_early_and_nothing_is_left_to_do(tmp_path):
    log = Counting(tmp_path).run()
    assert [line["weight"] for line in log.read()] == [1.0, 2.0, 3.0, 4.0, 5.0]
    again = Counting(tmp_path)
    assert again.resume() and again.finished() and again.weight == 5.0
    assert again.run().read() == log.read()


@pytest.mark.parametrize("moment, repeated", [("kill_before", [2, 3, 4]), ("kill_after", [3, 4])])
def test_an_epoch_is_repeated_if_its_checkpoint_is_missing(tmp_path, moment, repeated):
    killed = Counting(tmp_path)
    setattr(killed, moment, 3)
    with pytest.raises(Kill):
        killed.run()
    again = Counting(tmp_path)
    assert again.resume()
    lines = again.run().read()
    assert again.announced == repeated
    assert [(line["epoch"], line["weight"]) for line in lines] == [
        (epoch, epoch + 1.0) for epoch in range(5)
    ]


def test_a_worker_that_found_another_checkpoint_is_refused(tmp_path):
    class Other(Placement):
        def of_chief(self, values):
            return [value + 1.0 for value in values]

    with pytest.raises(CheckpointError, match="worker 0 found another checkpoint there"):
        Counting(tmp_path, placement=Other()).run()
