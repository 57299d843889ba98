"""The wheel holds the packages and nothing else, and works from an empty folder."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import kvae
import seqvae
import vrae
import worldmodels

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy: building must not leave build/ in the tree.
    tracked = [
        p
        for name in ("seqvae", "kvae", "worldmodels", "vrae", "tests", "datasets")
        for p in [*(ROOT / name).rglob("*.py"), *(ROOT / name).glob("py.typed")]
    ]
    for path in [*tracked, *(ROOT / name for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"))]:
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        source,
    ]
    done = subprocess.run(build, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob(f"seqvae-{seqvae.__version__}-*.whl")
    return made


def test_the_wheel_holds_every_module_of_the_packages(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"seqvae", "kvae", "worldmodels", "vrae"}
    assert {p.relative_to(ROOT).as_posix() for name in tops for p in (ROOT / name).rglob("*.py")} <= set(names)
    assert {f"{name}/py.typed" for name in tops} <= set(names)  # type checkers then read the annotations


@pytest.mark.slow
def test_the_wheel_imports_from_an_empty_folder(wheel, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import kvae, vrae, worldmodels; "
        "import seqvae.plotting, seqvae.physics, seqvae.training; "
        "assert '.whl' in kvae.__file__, kvae.__file__; "
        "model = kvae.KVAE((8, 8), num_filters=(2,)); print(model.count_params() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, wheel], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "True", done.stderr


def test_every_package_has_the_version_of_the_wheel():
    assert {package.__version__ for package in (kvae, worldmodels, vrae)} == {seqvae.__version__}
