"""Settings are stated once: flags, help, config.json and signatures are made from the fields of a
dataclass."""

import dataclasses
import inspect
import shlex

import pytest
from absl import flags

import kvae
import vrae
import worldmodels
from kvae.config import KVAESettings
from seqvae.cli import COMMANDS, command
from seqvae.commands import Affects, Command, Settings, command_settings, group, setting
from seqvae.commands.command import parse
from seqvae.commands.run import saved_config
from seqvae.commands.settings import help_text
from vrae.config import VRAESettings
from vrae.vame import Config
from vrae.vame.command_config import VAMESettings
from worldmodels.config import ConvVAESettings, MDNRNNSettings


@group("First", Affects.MODEL)
class First(Settings):
    size: int = setting(3, "of the model")
    kind: str = setting("a", "of two", choices=("a", "b"))


@group("Second")
class Second(Settings):
    rate: float = setting(0.5, "of learning", affects=Affects.TRAINING)
    quick: bool = setting(False, "or not")
    limit: int | None = setting(None, "at most", earlier="maximum")


@command_settings
class Both(First, Second):
    """Two groups."""


def test_values_and_groups_come_from_the_fields():
    both = Both(size=4)
    assert (both.size, both.kind, both.rate, both.quick, both.limit) == (4, "a", 0.5, False, None)
    assert [(title, [field.name for field in fields]) for title, fields in Both.groups()] == [
        ("First", ["size", "kind"]),
        ("Second", ["rate", "quick", "limit"]),
    ]
    assert both.of(Affects.MODEL) == {"size": 4, "kind": "a"}
    assert both.of(Affects.TRAINING) == {"rate": 0.5}
    assert Both.names(Affects.NOTHING) == ("quick", "limit")
    with pytest.raises(dataclasses.FrozenInstanceError):
        both.size = 5


def test_a_command_line_gives_what_was_given_and_nothing_else():
    given, rest = parse(["p", "--size=7", "--quick", "word", "--limit=2"], Both)
    assert (given, rest) == ({"size": 7, "quick": True, "limit": 2}, ["word"])
    assert parse(["p", "--noquick", "--rate=1e-3"], Both)[0] == {"quick": False, "rate": 1e-3}
    assert parse(["p", "--help"], Both)[0] is None
    for wrong in ("--siez=3", "--size=a", "--kind=c", "--quick=maybe"):
        with pytest.raises(flags.Error):
            parse(["p", wrong], Both)


def test_a_setting_is_taken_by_its_earlier_name(tmp_path):
    assert (
        parse(["p", "--maximum=2"], Both)[0] == {"limit": 2} == parse(["p", "--limit=2"], Both)[0]
    )
    assert "maximum" not in help_text(Both)
    (tmp_path / "config.json").write_text('{"maximum": 4, "size": 2}')
    assert saved_config(tmp_path / "config.json", Both) == {"limit": 4, "size": 2}


def test_help_shows_groups_defaults_and_choices():
    text = help_text(Both, {"size": 9})
    assert (
        text.index("First")
        < text.index("--size=9")
        < text.index("Second")
        < text.index("--[no]quick (false)")
    )
    assert "of two (a, b)" in text
    assert "--limit= " in text


MODELS = {
    kvae.KVAE: (KVAESettings, {}),
    worldmodels.ConvVAE: (ConvVAESettings, {}),
    worldmodels.MDNRNN: (MDNRNNSettings, {"num_mixture": "num_mixtures"}),
    vrae.VRAE: (VRAESettings, {}),
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_settings_of_a_model_are_its_arguments(model):
    settings, other_names = MODELS[model]
    arguments = set(inspect.signature(model.__init__).parameters)
    assert {other_names.get(name, name) for name in settings.names(Affects.MODEL)} <= arguments


def test_settings_of_the_kalman_vae_have_its_defaults():
    arguments = inspect.signature(kvae.KVAE.__init__).parameters
    written = {name: getattr(KVAESettings(), name) for name in KVAESettings.names(Affects.MODEL)}
    written["num_filters"] = tuple(int(size) for size in written["num_filters"].split(","))
    assert {name: arguments[name].default for name in written} == written


def test_settings_of_vame_are_keys_of_its_config_with_its_defaults():
    config, settings = Config(), VAMESettings()
    for name in VAMESettings.names(Affects.MODEL, Affects.TRAINING):
        if name not in ("seed", "deterministic"):
            assert getattr(settings, name) == getattr(config, name), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_preset_is_made_of_settings(name):
    made = command(name)
    if isinstance(made, Command):
        for preset in made.presets.values():
            made.settings(**preset)


@pytest.mark.parametrize(
    ("name", "flags_given"),
    [
        ("kvae", ""),
        ("kvae", "--preset=demo --num_steps=3000 --num_epochs=7 --nouse_vae"),
        ("kvae", "--csv='my table.csv' --dt=0.5 --seed=2"),
        ("kvae", "--preset=demo --num_epochs=4 --noise_emission=learned --dim_a=auto"),
        ("vame", "--preset=demo --nomovies --exclude=a,b"),
        ("mdnrnn", "--preset=demo --vae=logs/x_convvae"),
    ],
)
def test_the_command_line_of_settings_gives_them_again(name, flags_given):
    its, defaults = command(name), {}
    if name == "kvae":
        defaults = {"data_dir": "/data"}

    def settings_of(words):
        given, rest = parse(["x", *words], its.settings)
        assert rest == []
        return its._configure(defaults, given | {"run_name": "x"}, {"resume": False})[1]

    settings = settings_of(shlex.split(flags_given))
    line = its.command_line(settings, "seqvae it", defaults)
    assert line.startswith("seqvae it") and "/data" not in line
    assert settings_of(shlex.split(line)[2:]) == settings
