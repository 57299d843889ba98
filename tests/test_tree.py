"""What `tests.tree` counts as left in the tree; the suite itself runs inside of `unchanged`
(tests/conftest.py)."""

import pytest

from tests.tree import unchanged


def test_a_file_that_is_left_is_named(tmp_path):
    with (
        pytest.raises(
            AssertionError,
            match=r"a test left files in the tree: logs.run.txt\. Write them under tmp_path",
        ),
        unchanged(tmp_path),
    ):
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs" / "run.txt").touch()


def test_caches_and_virtual_environments_are_not_counted(tmp_path):
    with unchanged(tmp_path):
        for name in (
            ".cache/a",
            "kvae/__pycache__/a.pyc",
            "env/pyvenv.cfg",
            "env/lib/a.py",
            ".coverage",
        ):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
