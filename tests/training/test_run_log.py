"""The log of a run on a full disk, after a kill, and with TensorBoard or without."""

import pytest
import tensorflow as tf

from seqvae.training import RunLog


def test_a_log_that_cannot_be_written_names_its_file(tmp_path, full_disk):
    log = RunLog(tmp_path)
    log.write({"epoch": 0})
    with (
        full_disk(20),
        pytest.raises(OSError, match=r"cannot write .*metrics.jsonl: .*last checkpoint is whole"),
    ):
        log.write({"epoch": 1, "train_loss": 1.0})
    assert log.read() == [{"epoch": 0}]


def test_a_line_cut_short_is_dropped(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0}\n{"epoch": 1}\n{"epo')
    assert RunLog(tmp_path, epoch=5).read() == [{"epoch": 0}, {"epoch": 1}]
    assert RunLog(tmp_path, epoch=1).read() == [{"epoch": 0}]


def test_tensorboard_gets_the_figures_where_it_is_installed(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = RunLog(tmp_path)
    log.write({"epoch": 3, "train_loss": 1.25})
    events = accumulator.EventAccumulator(
        str(tmp_path / "tensorboard"), size_guidance={"tensors": 0}
    ).Reload()
    (event,) = events.Tensors("train_loss")
    assert event.step == 3
    assert tf.make_ndarray(event.tensor_proto) == 1.25


def test_without_tensorboard_the_log_is_written_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    log = RunLog(tmp_path)
    log.write({"epoch": 0, "train_loss": 1.0})
    assert log.read() == [{"epoch": 0, "train_loss": 1.0}]
    assert not (tmp_path / "tensorboard").exists()
