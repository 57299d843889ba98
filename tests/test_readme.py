"""The README says only what works."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from seqvae.cli import COMMANDS, command, main
from seqvae.physics import WORLDS, record
from seqvae.plotting import save_video
from tests.commands import run_here
from vrae.data import pad

ROOT = Path(__file__).parents[1]
MAKE_TARGETS = {"demo", "demo-worldmodels", "demo-dream", "demo-vrae", "demo-vame", "docs"}
MAKE_TARGETS |= {"test", "test-all", "soak", "lint", "release-check"}
_SRUN = {"ntasks", "distribution"}  # flags of SLURM's own command
README = (ROOT / "README.md").read_text(encoding="utf-8")
ONE_SCREEN = 70  # lines: of a large monitor


# VAME's default sizes take half a minute of arithmetic.
SMALLER = {
    "kalman_vae": {"sequences=100": "sequences=8", "epochs=10": "epochs=1"},
    "world_models": {"steps=100": "steps=7", "epochs=5": "epochs=1"},
    "vrae": {},
    "vame": {
        "randn(12, 2000)": "randn(12, 600)",
        "steps_per_epoch=5": "steps_per_epoch=1, batch_size=8, hidden_size_layer_1=8, "
        "hidden_size_layer_2=8, hidden_size_rec=8, hidden_size_pred=8",
    },
}
"""By page of a family: what the fast test replaces."""


def _run(path: Path, changes: dict[str, str] | None = None) -> dict:
    """The names that the Python blocks of a page define, run one after the other."""
    text = path.read_text(encoding="utf-8")
    for printed, smaller in (changes or {}).items():
        assert printed in text, printed
        text = text.replace(printed, smaller)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(compile(code, path.name, "exec"), names)
    return names


@pytest.mark.parametrize(
    "fast", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["smaller", "as printed"]
)
@pytest.mark.parametrize("page", SMALLER)
def test_the_pages_of_the_families_run_as_printed(page, fast, tmp_path, monkeypatch):
    """In an empty folder. The fast test trains fewer epochs and a smaller VAME, on less data."""
    monkeypatch.chdir(tmp_path)
    names = _run(ROOT / "docs" / f"{page}.md", SMALLER[page] if fast else {})
    if page == "kalman_vae":
        assert (tmp_path / "box.keras").exists()
    elif page == "world_models":
        assert names["dream"].frames.shape == (1, 8 if fast else 101, 64, 64, 3)
        assert names["observations"].shape == (16, 288) and names["actions"].shape == (16, 2)
        assert names["frame"].shape == (64, 64, 3)
    elif page == "vrae":
        assert names["new"].shape == (5, 50, 3)
    else:
        assert len(names["motifs"]["mouse_1"]) == len(names["codes"]["mouse_1"])


def test_the_example_of_the_readme_fills_missing_frames_in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = _run(ROOT / "README.md")
    assert names["future"].frames.shape == (2, 60, 32, 32)
    frames, filled = names["frames"] / 255, names["imputed"].smoothed.numpy()
    off = np.sqrt(np.mean(np.square(filled - frames)[:, 4:16]))
    mean = np.sqrt(np.mean(np.square(frames.mean(axis=(0, 1)) - frames)[:, 4:16]))
    assert off < 0.8 * mean, (off, mean)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_page_on_keras_runs_as_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = _run(ROOT / "docs" / "keras.md")
    assert names["filled"].shape == (8, 6, 16, 16)
    for ours, theirs in zip(names["again"].get_weights(), names["own"].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_the_page_on_your_own_videos_runs_as_printed(tmp_path, monkeypatch):
    """Its commands on two small videos, with fewer and smaller steps; then its Python. The last
    command is the one before it with other values."""
    page = (ROOT / "docs" / "your_videos.md").read_text("utf-8")
    frames = record(WORLDS["box"], sequences=24, steps=20)["images"]
    (tmp_path / "clips").mkdir()
    for name, part in (("a", frames[:12]), ("b", frames[12:])):
        save_video(tmp_path / "clips" / f"{name}.mp4", part.reshape(-1, 32, 32), fps=10)
    small = "--num_epochs=1 --kf_update_steps=0 --dynamics_epochs=0 --refine_epochs=0 --K=2"
    small = [*small.split(), "--num_filters=2,2,2", "--batch_size=8", "--n_steps_gen=5"]
    commands = re.findall(r"^    python (.*)$", page, flags=re.MULTILINE)
    assert len(commands) == 3
    for command_line in commands[:2]:
        script, *arguments = command_line.split()
        more = small if script.endswith("run_kvae.py") else []
        done = run_here(ROOT / script, *arguments, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "logs" / "first_kvae" / "model.keras").exists()
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names = {}
    exec(compile(code, "your_videos.md", "exec"), names)
    assert names["filled"].shape == names["test"].frames.shape
    assert (names["low"] <= names["high"]).all() and len(names["odd"]) == len(names["low"])


@pytest.mark.slow
def test_the_page_on_your_own_environment_runs_as_printed(tmp_path, monkeypatch):
    """Its commands in a small environment, then its Python. The last command is the second one
    with two rounds."""
    from tests.examples.test_run_worldmodel import SMALL

    page = (ROOT / "docs" / "your_environment.md").read_text("utf-8")
    commands = re.findall(r"^    python (.*)$", page, flags=re.MULTILINE)
    assert len(commands) == 5
    for command_line in commands[:4]:
        script, *arguments = command_line.split()
        small = [flag for flag in SMALL if script.endswith("worldmodel.py") or "flags" not in flag]
        if script.endswith("record.py"):
            small = [SMALL[0], "--size=14,14", "--steps=9", "--episodes=6", "--workers=1"]
        done = run_here(ROOT / script, *arguments, *small, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "datasets" / "dodge_agent").glob("*.npz"))) == 6
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    code = code.replace("seqvae/Dodge-v0", SMALL[0].removeprefix("--env="))
    names = {}
    exec(compile(code, "your_environment.md", "exec"), names)
    assert names["score"] > 0 and names["found"].actions.shape == (20, 1)


@pytest.mark.slow
def test_the_page_on_your_own_series_runs_as_printed(tmp_path, monkeypatch):
    """On a table of uneven months, with few epochs."""
    rng = np.random.default_rng(0)
    months = np.flatnonzero(rng.random(160) > 0.1)
    degrees = 20 + 3 * np.sin(2 * np.pi * months / 12) + rng.normal(0, 0.3, len(months))
    table = np.stack([months, degrees], 1)
    path = tmp_path / "temperatures.csv"
    np.savetxt(path, table, delimiter=",", header="month,degrees", comments="")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "your_series.md").read_text("utf-8")
    (command,) = re.findall(r"^    python examples/run_kvae.py (.*)$", page, flags=re.MULTILINE)
    flags = [*command.split(), "--dt=1", "--num_steps=5", "--num_epochs=1"]
    done = run_here(ROOT / "examples" / "run_kvae.py", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {"imputed.csv", "forecast.csv", "forecast.png", "imputation.json", "model.keras"} <= {
        path.name for path in (tmp_path / "logs" / "first_kvae").iterdir()
    }
    names = {}
    for code in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        shorter = code.replace("epochs=300", "epochs=3")
        exec(compile(shorter, "your_series.md", "exec"), names)
    assert names["filled"].smoothed.shape == names["series"].shape == (4, 48, 1)
    assert (names["low"] < names["high"]).all()
    assert (
        names["soon"].shape == (1, 12, 1) and (names["soon_low"] < names["soon_high"]).numpy().all()
    )
    assert np.isfinite(names["rmse"](names["linear"]))


@pytest.fixture
def many_series(tmp_path, monkeypatch):
    """The page on many series: its blocks of Python after the first, which has been run, and its
    commands; small series of different lengths are in place of the archive's."""
    page = (ROOT / "docs" / "your_table.md").read_text("utf-8")
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 8, 18)
    series = pad([rng.normal(size=(n, 2)).cumsum(0) for n in lengths], np.arange(18) % 9)
    monkeypatch.setattr("vrae.archive.read_set", lambda name: (series, series))
    monkeypatch.chdir(tmp_path)
    names, (first, *blocks) = {}, re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(first, "your_table.md", "exec"), names)
    assert len(Path("vowels.csv").read_text().splitlines()) == lengths.sum() + 1
    return names, blocks, re.findall(r"^    (python|seqvae) (.*)$", page, flags=re.MULTILINE)


@pytest.mark.eager
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
def test_the_python_of_the_page_on_many_series_runs_as_printed(many_series, monkeypatch):
    """The model is small and not trained."""
    names, blocks, _ = many_series
    monkeypatch.setattr("vrae.recipe.train", lambda *_, **__: [0.0])
    smaller = {
        "z_size=8, steps=1000": "z_size=2, options={'rnn_size': 2}, num_samples=2",
        "KMeans(9": "KMeans(2",
        "num_samples=50": "num_samples=3",
    }
    for code in blocks:
        for printed, less in smaller.items():
            code = code.replace(printed, less)
        exec(compile(code, "your_table.md", "exec"), names)
    assert names["low"].shape == names["test_series"].sequences.shape
    assert (names["low"] <= names["high"]).numpy().all()
    assert len(names["scores"]) == len(names["steps"]) == 6 and set(names["found"]["coverage"])


@pytest.mark.slow
def test_the_commands_of_the_page_on_many_series_run_as_printed(many_series, tmp_path):
    """With a small model and few steps."""
    _, _, lines = many_series
    small = ["--num_steps=2", "--num_epochs=1", "--rnn_size=2", "--z_size=2", "--batch_size=4"]
    assert len(lines) == 4
    for program, line in lines:
        script, *arguments = line.split()
        if program == "python":
            done = run_here(ROOT / script, *arguments, *small, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
        else:
            main(["seqvae", script, *arguments])
    made = {path.name for path in (tmp_path / "new").iterdir()}
    assert made == {"codes.csv", "imputed.csv", "scores.csv"}


def test_the_page_on_the_kalman_filter_runs_as_printed():
    names = _run(ROOT / "docs" / "kalman_filter_for_tfp.md")
    assert names["mean"].shape == (100, 1)
    assert names["cov"][30, 0, 0] > 2 * names["cov"][80, 0, 0]  # less is known in the missing years


def test_the_readme_is_one_screen():
    assert len(README.splitlines()) <= ONE_SCREEN
    assert "    make test " in README and "make test" in (ROOT / ".ci" / "run").read_text("utf-8")


DOCUMENTS = ["README.md", "datasets/README.md", "benchmarks/README.md", "CONTRIBUTING.md"]
DOCUMENTS += [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_flags_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert ((ROOT / document).parent / target).exists(), target
    sources = "".join(
        p.read_text(encoding="utf-8")
        for f in ("examples", "datasets", "benchmarks", "tests/soak")
        for p in (ROOT / f).glob("*.py")
    )
    known = {"help", "resume", "overwrite", "no", "force"} | _SRUN  # pip's --no-deps and others
    known |= {
        field.name for name in COMMANDS for field in dataclasses.fields(command(name).settings)
    }
    ours = re.sub(r"pip (un)?install[^\n`]*", "", text)
    for flag in set(re.findall(r"--(\w+)", ours)) - known:
        assert flag.removeprefix("no") in known or f'"{flag}"' in sources, flag
    for target in set(re.findall(r"make ([a-z-]+)\b", text)) & MAKE_TARGETS:
        assert re.search(
            rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE
        )


@pytest.mark.parametrize(
    "document, least",
    [
        ("kvae_differences.md", 15),
        ("worldmodels_differences.md", 10),
        ("vrae_differences.md", 10),
        ("vame_differences.md", 10),
    ],
)
def test_every_row_of_the_differences_names_tests_that_exist(document, least):
    rows = [
        line
        for line in (ROOT / "docs" / document).read_text(encoding="utf-8").splitlines()
        if "| `test_" in line
    ]
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    assert len(rows) >= least
    for row in rows:
        for name in re.findall(r"`(test_\w+)`", row.split("|")[-2]):
            assert f"def {name}(" in sources, name


def test_every_row_about_robustness_names_a_test_that_exists():
    page = (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")
    accidents = page[: page.index("## Soak tests")]
    header, line = "| what happens | what you see | test |", "|---|---|---|"
    rows = [
        row for row in accidents.splitlines() if row.startswith("|") and row not in (header, line)
    ]
    assert len(rows) >= 50
    for row in rows:
        found = re.fullmatch(r"\|[^|]+\|[^|]+\| `(tests/\S+\.py)::(test_\w+)` \|", row)
        assert found, row
        assert f"def {found[2]}(" in (ROOT / found[1]).read_text(encoding="utf-8"), row
