"""What the commands share: one process a run, and the flags of a run that was left."""

import subprocess
import sys

import pytest
import tensorflow as tf

from kvae.config import KVAESettings
from seqvae.commands import run as runs
from seqvae.replicas import Placement
from worldmodels.config import ConvVAESettings

HOLD = """
import sys, time
from pathlib import Path
from seqvae.commands import run as runs
from seqvae.replicas import Placement
from worldmodels.config import ConvVAESettings
runs.lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_process_in_the_same_run_is_refused_until_the_first_ends_or_is_killed(tmp_path):
    folder = tmp_path / "logs" / "mine_kvae"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "held\n"
        with pytest.raises(
            ValueError,
            match=r"mine_kvae: another process is training this run. Wait for it, or choose",
        ):
            runs.lock(folder)
        runs.lock(folder.with_name("other_kvae"))
        first.kill()
    runs.lock(folder)
    with pytest.raises(ValueError, match="another process is training this run"):
        runs.lock(folder)
    runs._LOCKS.clear()


def test_a_read_only_folder_for_the_runs_is_named(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(runs, "open", refuse, raising=False)
    with pytest.raises(
        OSError, match=r"--log_dir: cannot write .*\.mine_kvae\.lock \(Read-only file system\)"
    ):
        runs.lock(tmp_path / "mine_kvae")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "[" * 100_000, '{"a": 1'])
def test_a_damaged_config_of_a_run_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json: damaged \(.*start a new run"):
        runs.saved_config(tmp_path / "config.json")


def test_a_run_computes_float32_in_full_precision_on_a_gpu(tmp_path):
    precision = tf.config.experimental
    before = precision.tensor_float_32_execution_enabled()
    precision.enable_tensor_float_32_execution(True)
    try:
        runs.Run(tmp_path, KVAESettings()).prepare()
        assert not precision.tensor_float_32_execution_enabled()
    finally:
        precision.enable_tensor_float_32_execution(before)


@pytest.mark.parametrize(
    ("flags", "said"), [("flags : fpu avx512f", True), ("flags : fpu avx512_bf16", False)]
)
def test_mixed_precision_says_where_the_processor_has_none(
    tmp_path, monkeypatch, capsys, flags, said
):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    monkeypatch.setattr(runs, "_CPUINFO", tmp_path / "cpuinfo")
    for asked in (True, False):
        runs.Run(tmp_path / "run", KVAESettings(mixed_precision=asked)).prepare()
        assert ("no bfloat16 instructions" in capsys.readouterr().out) is (said and asked)
    monkeypatch.setattr(runs, "_CPUINFO", tmp_path / "none")  # not Linux: nothing is known
    runs.Run(tmp_path / "run", KVAESettings(mixed_precision=True)).prepare()
    assert capsys.readouterr().out == ""


def test_a_run_of_the_same_name_is_refused_or_replaced(tmp_path):
    (tmp_path / "mine_kvae").mkdir()
    (tmp_path / "mine_kvae" / "config.json").write_text("{}")
    for overwrite in (False, True):
        run = runs.Run(tmp_path / "mine_kvae", KVAESettings(), overwrite=overwrite)
        run.placement = Placement()
        if overwrite:
            run.claim()
        else:
            with pytest.raises(ValueError, match=r"a run of this name is there\. Add --resume or"):
                run.claim()
        runs._LOCKS.clear()
    assert not (tmp_path / "mine_kvae" / "config.json").exists()


def test_a_loaded_model_determines_its_sizes_and_the_run_says_so(tmp_path, capsys):
    run = runs.Run(tmp_path, ConvVAESettings(z_size=5, filters="", kl_tolerance=0.5))
    run.placement = Placement()
    s = run.adopt({"z_size": 3, "filters": (2, 4), "kl_tolerance": 0.5, "image_shape": (8, 8, 1)})
    assert (s.z_size, s.filters, run.settings) == (3, "2,4", s)
    assert capsys.readouterr().out == (
        "--reload_model: the model determines z_size=3 (setting: 5).\n"
    )
    run.adopt({"z_size": 3, "filters": (2, 4)})
    assert not capsys.readouterr().out
