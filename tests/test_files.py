"""Files are written whole or not at all."""

import json

import numpy as np
import pytest

from seqvae.files import NPZ_ERRORS, atomic_write, reason, write_json


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(RuntimeError), atomic_write(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert json.loads(path.read_text()) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing(tmp_path, full_disk):
    path = tmp_path / "big.npy"
    message = r"cannot write .*big.npy: .*free some space"
    with (
        full_disk(1000),
        pytest.raises(OSError, match=message),
        atomic_write(path) as part,
        open(part, "wb") as file,
    ):
        np.save(file, np.zeros(1000))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file/a.json: .*writable folder"):
        write_json(tmp_path / "file" / "a.json", {})


def test_reasons_do_not_repeat_numpys_advice_to_unpickle(tmp_path):
    objects = np.empty(1, object)
    np.savez(tmp_path / "objects.npz", a=objects)
    (tmp_path / "text.npz").write_text("not an array")
    for name, expected in (
        ("objects", "an array holds Python objects"),
        ("text", "not a NumPy file"),
    ):
        with pytest.raises(ValueError) as caught:
            np.load(tmp_path / f"{name}.npz", allow_pickle=False)["a"]
        assert expected in reason(caught.value)
    assert reason(OSError("gone")) == "gone"


@pytest.mark.parametrize("place", range(40, 400, 9))
def test_an_npz_with_an_altered_byte_is_read_or_raises_one_of_the_named_errors(tmp_path, place):
    np.savez_compressed(tmp_path / "a.npz", values=np.arange(200.0), more=np.arange(9))
    altered = bytearray((tmp_path / "a.npz").read_bytes())
    altered[place % len(altered)] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(altered)
    try:
        with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
            assert [file[name] for name in ("values", "more")]
    except NPZ_ERRORS:
        pass
