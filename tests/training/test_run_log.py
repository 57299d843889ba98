"""The log of a run on a full disk, and after a kill."""

import pytest

from seqvae.training import RunLog


def test_a_log_that_cannot_be_written_names_its_file(tmp_path, full_disk):
    log = RunLog(tmp_path)
    log.write({"epoch": 0})
    with full_disk(20), pytest.raises(OSError, match=r"cannot write .*metrics.jsonl: .*last checkpoint is whole"):
        log.write({"epoch": 1, "train_loss": 1.0})
    assert log.read() == [{"epoch": 0}]


def test_a_line_cut_short_is_dropped(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 0}\n{"epoch": 1}\n{"epo')
    assert RunLog(tmp_path, epoch=5).read() == [{"epoch": 0}, {"epoch": 1}]
    assert RunLog(tmp_path, epoch=1).read() == [{"epoch": 0}]
