"""`seqvae play`: its command line, which view shows a folder, and messages of the page."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from seqvae import cli
from seqvae.play import serve
from seqvae.play.messages import number, picture, rounded, whole
from seqvae.play.views import NoModelError, open_views


class Small:
    """A family whose runs are folders with a certain file."""

    def __init__(self, file, reads=False, ships=True):
        self.READS_DATA, self._file, self._ships = reads, file, ships

    def recognises(self, folder):
        return (folder / self._file).exists()

    def open_view(self, folder, data, seed):
        if folder is None and not self._ships:
            raise NoModelError(f"no {self._file}")
        return folder, data, seed


FAMILIES = {"a": Small("a.txt", reads=True), "b": Small("b.txt", ships=False)}


def test_without_a_folder_the_models_that_ship_are_shown():
    views, first = open_views(FAMILIES, "", "", 3)
    assert (views, first) == ({"a": (None, "", 3), "b": "no b.txt"}, "a")
    assert open_views(FAMILIES, "", "v.npz", 3)[0]["a"] == (None, "v.npz", 3)


def test_a_folder_is_shown_by_its_family_and_first(tmp_path):
    (tmp_path / "b.txt").touch()
    views, first = open_views(FAMILIES, str(tmp_path), "", 0)
    assert (views, first) == ({"a": (None, "", 0), "b": (tmp_path, "", 0)}, "b")


def test_folders_and_data_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match="run folder: no folder nowhere"):
        open_views(FAMILIES, "nowhere", "", 0)
    with pytest.raises(ValueError, match=r"run folder: expected a run of `seqvae kvae`, .* none"):
        open_views(FAMILIES, str(tmp_path), "", 0)
    (tmp_path / "b.txt").touch()
    with pytest.raises(ValueError, match=r"--data: expected none with .*, got 'v\.npz'"):
        open_views(FAMILIES, str(tmp_path), "v.npz", 0)


def test_the_views_of_the_command_exist():
    found = cli.command("play")
    assert list(found.options["families"]) == ["kvae", "dream", "motifs"]


# --- the command line ---


def ended(*argv, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["seqvae", "play", *argv])
    assert end.value.code == 2
    return capsys.readouterr().err


def test_without_the_extra_its_name_is_said(monkeypatch, capsys):
    monkeypatch.setattr(serve, "_NEEDED", ("starlette", "no_such_server"))
    monkeypatch.setitem(sys.modules, "starlette", pytest)
    monkeypatch.setattr(serve.importlib.util, "find_spec", lambda n: None if n[0] == "n" else 1)
    err = ended(capsys=capsys)
    assert err == 'seqvae play: needs no_such_server. Install: pip install ".[play]".\n'


def test_mistakes_are_named_before_models_are_loaded(monkeypatch, capsys):
    monkeypatch.setattr(serve, "check_extra", lambda: None)
    monkeypatch.setattr(serve, "open_views", None)
    assert "expected one run folder, got ['a', 'b']" in ended("a", "b", capsys=capsys)
    assert "--port: expected 0 to 65535, got -1." in ended("--port=-1", capsys=capsys)
    assert "--seed: expected at least 0, got -1." in ended("--seed=-1", capsys=capsys)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        err = ended(f"--port={port}", capsys=capsys)
    assert f"--port: cannot use {port} (Address already in use). Choose another" in err


def test_the_socket_is_of_this_machine_alone():
    with serve.bind(0) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_help_does_not_wait_for_tensorflow():
    code = (
        "import sys; from seqvae.cli import main; main(['seqvae', 'play', '--help']);"
        "sys.exit('tensorflow' in sys.modules or 'starlette' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "--port=8765" in done.stdout


@pytest.mark.slow
def test_the_command_serves_until_ctrl_c(tmp_path):
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: the extra `play`")
    import signal
    import urllib.request

    started = subprocess.Popen(
        [sys.executable, "-m", "seqvae", "play", "--port=0"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert started.stdout.readline() == "loading models ...\n"
    line = started.stdout.readline()
    address = line.split()[1]
    assert line == f"open {address} (Ctrl-C ends it)\n"
    with urllib.request.urlopen(f"{address}about") as answer:
        about = json.load(answer)
    assert about["first"] == "kvae" and about["views"]["kvae"]["name"] == "the preset box"
    started.send_signal(signal.SIGINT)
    assert started.communicate(timeout=30)[0] == "\nended.\n" and started.returncode == 0


# --- messages ---


@pytest.mark.parametrize("value", (None, "1", 1.0, True, -1, 5, [1]))
def test_whole_numbers_are_checked(value):
    assert whole({"i": 4}, "i", 5) == 4
    with pytest.raises(ValueError, match="i: expected a whole number from 0 to 4, got"):
        whole({"i": value}, "i", 5)


@pytest.mark.parametrize("value", (None, "1", True, 2.5, float("nan"), float("inf")))
def test_numbers_are_checked(value):
    assert number({"t": 1}, "t", 0.1, 2) == 1.0
    with pytest.raises(ValueError, match=r"t: expected a number from 0\.1 to 2, got"):
        number({"t": value}, "t", 0.1, 2)


def test_arrays_as_json():
    import base64

    pixels = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    found = picture(pixels)
    assert found["shape"] == [2, 3, 2]
    assert base64.b64decode(found["data"]) == pixels.tobytes()
    assert rounded(np.array([[123.456, np.nan], [0.001234, np.inf]])) == [
        [123.5, None],
        [0.0, None],
    ]
    assert rounded(np.array([0.0012345])) == [0.001234] and rounded(np.zeros(1)) == [0.0]
