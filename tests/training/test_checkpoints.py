"""Checkpoints: whole, told apart by their signature, the one before a damaged one used."""

import numpy as np
import pytest

from seqvae.training import CheckpointError, Checkpoints
from seqvae.training.checkpoints import gather, restore


def arrays(value):
    return {"model/0000/w": np.full((3, 4), value, np.float32)}


def test_the_newest_comes_back_and_the_oldest_go(tmp_path):
    checkpoints = Checkpoints(tmp_path, {"dim": 4})
    assert checkpoints.load_latest() is None
    for step in range(4):
        checkpoints.save(step, arrays(step), {"epoch": step})
    found, position = checkpoints.load_latest()
    assert position == {"epoch": 3}
    np.testing.assert_array_equal(found["model/0000/w"], arrays(3)["model/0000/w"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "step-000000002.npz",
        "step-000000003.npz",
    ]


@pytest.mark.parametrize(
    "damage",
    [lambda c: c[:100], lambda c: b"", lambda c: b"text", lambda c: c[:-1000] + b"x" * 1000],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, damage):
    checkpoints, warnings = Checkpoints(tmp_path, {}), []
    checkpoints.save(1, arrays(1), {"epoch": 1})
    path = checkpoints.save(2, arrays(2), {"epoch": 2})
    path.write_bytes(damage(path.read_bytes()))
    _, position = checkpoints.load_latest(warnings.append)
    assert position == {"epoch": 1}
    assert str(path) in warnings[0]
    assert "damaged or no checkpoint" in warnings[0]


def test_an_altered_name_in_it_is_noticed(tmp_path):
    """What the file's own sums do not cover: two arrays of one shape would change places."""
    checkpoints, warnings = Checkpoints(tmp_path, {}), []
    path = checkpoints.save(1, {"model/0000/a": np.zeros(3), "model/0001/b": np.ones(3)}, {})
    path.write_bytes(path.read_bytes().replace(b"model/0000/a", b"model/0002/a"))
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints"):
        checkpoints.load_latest(warnings.append)
    assert "its checksum differs from the stored one" in warnings[0]


def test_all_damaged(tmp_path):
    (tmp_path / "step-000000001.npz").write_text("nothing")
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints can be read"):
        Checkpoints(tmp_path, {}).load_latest(lambda text: None)


def test_another_configuration_is_refused(tmp_path):
    Checkpoints(tmp_path, {"dim_z": 4, "K": 3}).save(1, arrays(1), {})
    with pytest.raises(
        CheckpointError, match=r"another configuration \(dim_z: 4 there, 5 here\).*run_name"
    ):
        Checkpoints(tmp_path, {"dim_z": 5, "K": 3}).load_latest()


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, full_disk):
    checkpoints = Checkpoints(tmp_path, {})
    checkpoints.save(1, arrays(1), {"epoch": 1})
    with full_disk(300), pytest.raises(OSError, match=r"cannot write .*step-000000002.npz"):
        checkpoints.save(2, arrays(2), {"epoch": 2})
    assert checkpoints.load_latest()[1] == {"epoch": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_arrays_of_another_model_are_refused():
    import keras

    one, other = keras.Variable(np.ones(3), name="w"), keras.Variable(np.zeros((2, 2)), name="w")
    saved = gather([one], "model")
    restore([one], "model", saved)
    with pytest.raises(
        CheckpointError, match="model: the checkpoint's 1 arrays do not fit the 1 variables here"
    ):
        restore([other], "model", saved)
    np.testing.assert_array_equal(other.numpy(), 0)
