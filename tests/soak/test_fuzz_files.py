"""A short form of fuzz_files.py: mutated files of every kind load or raise an error that names the
file."""

import random
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("fuzz_files.py")
KINDS = (
    "dataset",
    "episodes",
    "checkpoint",
    "series",
    "segmenter",
    "state dict",
    "npy",
    "json",
    "yaml",
    "csv",
    "deeplabcut",
    "deeplabcut's table",
    "sleap",
    "movement",
    "session",
    "index",
    "run",
    "keras",
)


@pytest.fixture(scope="module")
def script(load_script):
    return load_script(SCRIPT)


def test_all_kinds_are_listed(script):
    assert tuple(kind for kind in script.kinds() if kind != "torch") == KINDS  # torch is an extra


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_mutated_file_loads_or_is_refused_by_name(script, name):
    count = 100 if name == "keras" else 200  # every file builds a model
    found = script.run(name, script.kinds()[name], count, seed=1)
    assert found["failed"] == 0, found
    assert found["loaded"] + found["refused"] == count
    if name == "index":
        assert found["loaded"] == count  # a damaged index is rebuilt
    else:
        assert found["refused"] > count / 2


def test_other_errors_are_failures(script, tmp_path):
    def read(path):
        if path.read_bytes() != b"whole":
            raise KeyError("x")

    kind = script.Kind(".txt", lambda path: path.write_bytes(b"whole"), read)
    found = script.run("text", kind, 20, 0, str(tmp_path / "kept"))
    assert found["failed"] > 10 and "KeyError" in found["first"][0][1]
    assert len(list((tmp_path / "kept").iterdir())) == found["failed"]
    nameless = script.Kind(".txt", lambda path: path, lambda path: int("no number"))
    assert script.trial(nameless, tmp_path / "some.txt").startswith("unnamed")


def test_mutations_depend_on_their_seed_and_change_the_content(script):
    content = bytes(range(256))
    made = [script.mutated(content, random.Random(i)) for i in range(50)]
    assert made == [script.mutated(content, random.Random(i)) for i in range(50)]
    assert sum(one != content for one in made) > 40
