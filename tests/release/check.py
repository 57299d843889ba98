"""Whether this tree can be released: `make release-check`. Not a part of CI: it downloads and
installs some gigabytes for each interpreter.

Builds the sdist and, from it, the wheel; checks both; installs the wheel into an empty environment
of each Python, bare and with extras; runs every command there. Files are in a temporary folder.
"""

import argparse
import email
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

from seqvae.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13")
NOT_INSTALLED = ("gpu", "benchmark")
"""Extras that are resolved, not installed: they are large, and need a GPU or PyTorch."""
DEVELOPMENT = ("test", "dev", "docs", "release")
METADATA = ("Author", "License-Expression", "License-File", "Project-URL", "Requires-Python")
"""What an index shows beside the README."""


def run(*words: object, cwd: Path | None = None) -> str:
    """Run a command.

    Returns:
        Its standard output.

    Raises:
        SystemExit: it failed; with the command and the end of its output.
    """
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        sys.exit(
            f"release-check: {' '.join(map(str, words))}\n{(done.stdout + done.stderr)[-3000:]}"
        )
    return done.stdout


def starts(program: str) -> bool:
    """Whether a program is there and runs: a version manager's shim may be there and not run."""
    try:
        return not subprocess.run([program, "--version"], capture_output=True).returncode
    except FileNotFoundError:
        return False


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist from the files that git tracks, and the wheel from the sdist.

    Returns:
        The paths of the sdist and the wheel.
    """
    source = folder / "source"
    for name in run("git", "ls-files", "--cached", cwd=ROOT).splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", source)
    (sdist,), (wheel,) = (list((folder / "dist").glob(f"*{end}")) for end in (".tar.gz", ".whl"))
    return sdist, wheel


def check_files(sdist: Path, wheel: Path) -> None:
    """Check metadata and contents of both files.

    Raises:
        SystemExit: with what is wrong.
    """
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    message = email.message_from_bytes(archive.read(metadata))
    lacking = [name for name in METADATA if not message[name]]
    if lacking:
        sys.exit(f"release-check: metadata of the wheel: expected {METADATA}, lacking {lacking}")
    text = str(message.get_payload())
    relative = re.findall(r"\]\((?!https?:)[^)]*\)", text)
    if relative:
        sys.exit(f"release-check: README of the wheel: expected no relative links, got {relative}")
    version = f"## {message['Version']} - "
    if version not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        sys.exit(f"release-check: CHANGELOG.md: expected a section '{version}DATE', got none")
    with tarfile.open(sdist) as tar:
        tests = [name for name in tar.getnames() if "/tests" in name]
    if tests:
        sys.exit(f"release-check: sdist: expected no tests (they need the whole tree), got {tests}")
    for path in (sdist, wheel):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, checked")


def check_installed(python: str, wheel: Path, extras: str, folder: Path) -> None:
    """Install the wheel into an empty environment and run each command in an empty folder."""
    place = folder / f"{python}{'-extras' if extras else ''}"
    run(f"python{python}", "-m", "venv", place / "venv")
    own = place / "venv" / "bin" / "python"
    run(own, "-m", "pip", "install", "--quiet", f"{wheel}{extras}")
    (place / "empty").mkdir()
    for name in COMMANDS:
        run(own.parent / "seqvae", name, "--help", cwd=place / "empty")
    made = ("make-data", "box", "--sequences=4", "--test_sequences=2", "--workers=1")
    run(own.parent / "seqvae", *made, cwd=place / "empty")
    run(own, "-c", "import kvae, worldmodels, vrae.vame", cwd=place / "empty")
    size = sum(path.lstat().st_size for path in (place / "venv").rglob("*") if path.is_file())
    print(f"Python {python} wheel{extras}: {len(COMMANDS)} commands, {size / 1e9:.2f} GB")
    shutil.rmtree(place)


def main() -> None:
    """Check, and name what was not checked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", default=",".join(PYTHONS), help="interpreters to install on")
    parser.add_argument(
        "--only_files", action="store_true", help="build and check, install nothing"
    )
    given = parser.parse_args()
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = [
        name
        for name in pyproject["project"]["optional-dependencies"]
        if name not in (*NOT_INSTALLED, *DEVELOPMENT)
    ]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        sdist, wheel = build(folder)
        check_files(sdist, wheel)
        if given.only_files:
            return
        pythons = [python for python in given.pythons.split(",") if starts(f"python{python}")]
        for wanted in ("", f"[{','.join(extras)}]"):
            for python in pythons:
                check_installed(python, wheel, wanted, folder)
        for name in NOT_INSTALLED:
            run(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", f"{wheel}[{name}]")
            print(f"extra {name}: resolved, not installed")
    missing = sorted(set(given.pythons.split(",")) - set(pythons))
    if missing:
        sys.exit(f"release-check: not checked, no interpreter: python{', python'.join(missing)}")


if __name__ == "__main__":
    main()
