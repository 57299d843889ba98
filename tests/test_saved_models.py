"""Models from .keras files of anyone's making."""

import keras
import pytest

import worldmodels
from seqvae.saved_models import load_model


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "rnn.keras"
    worldmodels.MDNRNN(z_size=2, action_size=1, rnn_size=2, num_mixtures=1).save(path)
    return path


def test_a_model_comes_back(path):
    assert load_model(path, worldmodels.MDNRNN).z_size == 2


def test_files_that_are_refused(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras: no such file"):
        load_model(tmp_path / "none.keras", worldmodels.MDNRNN)
    with pytest.raises(ValueError, match=r"rnn\.keras: expected a ConvVAE, got a MDNRNN"):
        load_model(path, worldmodels.ConvVAE)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive", whole[:200] + b"x" + whole[201:]):
        (tmp_path / "bad.keras").write_bytes(content)
        with pytest.raises(
            ValueError, match=r"bad\.keras: not a \.keras file that can be read; it may be damaged"
        ):
            load_model(tmp_path / "bad.keras", worldmodels.MDNRNN)


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    """A `Lambda` layer, whose function is Python code of the file."""
    monkeypatch.setenv("MARK", str(tmp_path / "ran"))
    inputs = keras.Input((2,))
    layer = keras.layers.Lambda(
        lambda x: (__import__("pathlib").Path(__import__("os").environ["MARK"]).touch(), x)[1]
    )
    keras.Model(inputs, layer(inputs)).save(tmp_path / "code.keras")
    (tmp_path / "ran").unlink()
    with pytest.raises(ValueError, match=r"code\.keras: not a \.keras file that can be read"):
        load_model(tmp_path / "code.keras", worldmodels.MDNRNN)
    assert not (tmp_path / "ran").exists()
