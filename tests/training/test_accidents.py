"""What befalls a run from outside."""

import json
import os
import shutil

import numpy as np
import pytest

from tests.training.test_loop import run_until_killed, trainer, weights, without_time


def lines(folder):
    return without_time(
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    )


@pytest.mark.slow
def test_a_run_folder_that_is_removed_in_the_middle_is_made_again_and_the_log_is_whole(tmp_path):
    whole = trainer(tmp_path / "whole")
    whole.run()

    def remove(epoch, log):
        if epoch == 1:
            shutil.rmtree(tmp_path / "run")

    run = trainer(tmp_path / "run", after_epoch=remove)
    run.run()
    assert all(np.array_equal(a, b) for a, b in zip(weights(run), weights(whole), strict=True))
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")
    assert trainer(tmp_path / "run").resume()


def test_a_clock_set_back_does_not_make_an_older_checkpoint_the_newest(tmp_path):
    trainer(tmp_path).run()
    newest = max((tmp_path / "checkpoints").iterdir())
    os.utime(newest, (0, 0))
    again = trainer(tmp_path)
    again.resume()
    assert len(again.run().read()) == again.epochs  # nothing is left to do


@pytest.mark.parametrize("steps", (8, 1, 4, 16))
@pytest.mark.slow
def test_a_run_killed_in_a_long_epoch_resumes_in_the_middle_of_it(tmp_path, steps):
    """Epochs are long where a step is longer than the time between two checkpoints."""
    whole = trainer(tmp_path / "whole")
    whole.run()
    run_until_killed(trainer(tmp_path / "run", save_seconds=0.0), steps)
    again = trainer(tmp_path / "run")
    assert again.resume()
    counted, run_step = [], again._run_step
    again._run_step = lambda batch, bar: counted.append(1) or run_step(batch, bar)
    again.run()
    assert len(counted) == 19 - steps  # nothing is done twice: 5 epochs of three steps, 2 of two
    assert all(np.array_equal(a, b) for a, b in zip(weights(again), weights(whole), strict=True))
    assert lines(tmp_path / "run") == lines(tmp_path / "whole")
