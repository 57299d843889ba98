"""`seqvae NAME` and the scripts: what a user sees who mistypes, and which run a command
continues."""

import dataclasses
import json
import subprocess
import sys

import pytest

from seqvae.cli import COMMANDS, main
from seqvae.commands import Command, DeviceSettings, RunSettings, command_settings
from seqvae.commands.run import folder_to_resume


def ended(argv, capsys):
    """Exit code, standard output and error of `seqvae ...`."""
    with pytest.raises(SystemExit) as end:
        main(["seqvae", *argv])
    return end.value.code, *capsys.readouterr()


def test_without_a_name_it_lists_the_commands(capsys):
    for argv in ([], ["--help"], ["help"]):
        main(["seqvae", *argv])
        assert all(f"  {name} " in capsys.readouterr().out for name in ["kvae"])


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_names_the_program(name, capsys):
    main(["seqvae", name, "--help"])
    out = capsys.readouterr().out
    assert f"    seqvae {name}" in out and "--seed=" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["vram"],
            "seqvae: expected one of kvae, convvae, mdnrnn, worldmodel, vrae, vrae-apply, vame, "
            "make-data, from-videos, play, got 'vram'.",
        ),
        (
            ["kvae", "--alpha_unit=3"],
            "flag 'alpha_unit'. Did you mean: alpha_units. See seqvae kvae --help.",
        ),
        (["kvae", "--K=a"], "flag --K=a: invalid literal for int()"),
        (
            ["kvae", "--out_distr=poisson"],
            "flag --out_distr=poisson: value should be one of <bernoulli|gaussian|auto>",
        ),
        (
            ["kvae", "--dim_a=two"],
            "flag --dim_a=two: expected a whole number or auto, got 'two'.",
        ),
        (["kvae", "videos.npz"], "expected only flags, which begin with --, got ['videos.npz']."),
        (
            ["kvae", "--preset=fast"],
            "--preset: expected one of paper, demo, best, series, got 'fast'.",
        ),
        (
            ["kvae", "--strategy=multiworker"],
            "--run_name: with --strategy=multiworker expected one",
        ),
        (["kvae", "--resume", "--log_dir=nowhere"], "--resume: no run *_kvae in nowhere."),
        (
            ["make-data"],
            "expected one world, box, box_gravity, polygon, pong, box_push, pendulum, "
            "pendulum_swing_up, got [].",
        ),
        (["make-data", "moon"], "unknown world 'moon'; choose one of box"),
        (
            ["make-data", "box", "--gravity=1"],
            "--gravity: expected two numbers with a comma between them, got 1.",
        ),
        (["from-videos", "a", "b"], "expected one video, or folder of videos, got ['a', 'b']."),
    ],
)
def test_mistakes_end_with_one_line(argv, message, capsys):
    code, out, err = ended(argv, capsys)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1


@command_settings
class Small(RunSettings, DeviceSettings):
    """The settings that all have."""


def test_a_resumed_run_has_its_saved_settings_and_those_given_now(tmp_path):
    made = Command("small", Small, "none", "", {"": {}, "fast": {"display_step": 5}})
    folder = tmp_path / "mine_small"
    folder.mkdir()
    saved = dataclasses.asdict(
        Small(run_name="mine", log_dir=str(tmp_path), seed=3, display_step=2)
    )
    del saved["deterministic"]  # as a run of an earlier version, which had not all settings
    (folder / "config.json").write_text(json.dumps(saved))
    given = {"log_dir": str(tmp_path), "display_step": 7}
    found, settings = made._configure({}, given, {"resume": True})
    assert found == folder
    assert (settings.seed, settings.display_step, settings.run_name, settings.deterministic) == (
        3,
        7,
        "mine",
        False,
    )
    (folder / "config.json").write_text(json.dumps(saved | {"speed": 1}))
    with pytest.raises(ValueError, match=r"config\.json: damaged \(unknown settings speed\)"):
        made._configure({}, given, {"resume": True})
    with pytest.raises(ValueError, match=r"no run other_small in"):
        folder_to_resume(str(tmp_path), "other", "small")


def test_settings_are_the_defaults_then_the_presets_then_the_given():
    made = Command("small", Small, "none", "", {"": {}, "fast": {"display_step": 5, "seed": 9}})
    folder, settings = made._configure(
        {"log_dir": "there"}, {"preset": "fast", "seed": 1, "run_name": "r"}, {"resume": False}
    )
    assert str(folder) == "there/r_small"
    assert (settings.display_step, settings.seed, settings.log_dir) == (5, 1, "there")


def test_the_module_runs_as_the_console_command_does():
    done = subprocess.run(
        [sys.executable, "-m", "seqvae", "kvae", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and "--alpha_units=50" in done.stdout
