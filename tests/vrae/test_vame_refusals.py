"""VAME: configs, sessions, files and arguments that are refused, each by a named error."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.vrae.test_vame_training import SMALL, model, project, sessions
from vrae import vame
from vrae.vame import rnn_vae
from vrae.vame.config import read_config, write_config

pytestmark = pytest.mark.eager


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    config = project(folder, max_epochs=1)
    rnn_vae.train_model(config, save_logs=True)
    return folder, config


@pytest.mark.parametrize(
    "change, message",
    [
        ("batch_size: big", "batch_size: expected int, got 'big' .str."),
        ("learning_rate: [1]", "learning_rate: expected float"),
        ("softplus: yes please", "softplus: expected bool"),
        ("max_epochs: true", "max_epochs: expected int, got True"),
        ("zdims: 0", "zdims: expected an integer of at least 1"),
        ("beta: -1", "beta: expected at least 0"),
        ("anneal_function: cosine", "anneal_function: expected one of linear, sigmoid"),
        ("prediction_steps: 6", "prediction_steps: expected 1 to time_window = 5, got 6"),
        ("test_fraction: 1.0", "test_fraction: expected above 0 and below 1"),
        ("- a list", "not readable as YAML"),
    ],
)
def test_configs_that_are_refused(tmp_path, change, message):
    write_config(tmp_path / "config.yaml", SMALL)
    with open(tmp_path / "config.yaml", "a", encoding="utf-8") as file:
        file.write(f"{change}\n")
    with pytest.raises(ValueError, match=message) as error:
        read_config(tmp_path / "config.yaml")
    assert "config.yaml: " in str(error.value)


def test_config_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such config file"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "text.yaml").write_text("only words")
    with pytest.raises(ValueError, match="expected keys and values"):
        read_config(tmp_path / "text.yaml")
    (tmp_path / "vames.yaml").write_text(
        "Project: x\nzdims: 4\nproject_path: /not/here\nkeypoints: [nose]\n"
    )
    found = read_config(tmp_path / "vames.yaml")
    assert (found.zdims, found.batch_size, found.project_path) == (4, 256, str(tmp_path))


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda s: s["s0"].__setitem__((0, 3), np.nan),
            "s0: 1 values are NaN or infinite. Set missing_values: true",
        ),
        (lambda s: s["s1"].__setitem__((0, 3), np.inf), "s1: 1 values are NaN or infinite"),
        (lambda s: [v.__setitem__(2, 4.0) for v in s.values()], r"features \[2\] never change"),
        (
            lambda s: s.update(s0=s["s0"][:, :9]),
            "s0: 9 frames, a window and what follows it need 10",
        ),
        (lambda s: s.update(s1=s["s1"][:2]), "s1: expected 3 features, got 2"),
        (
            lambda s: s.update(s0=s["s0"].T),
            "s0: 150 features and only 3 frames. It looks transposed",
        ),
        (lambda s: s.update(s0=np.zeros((3, 0))), r"s0: expected an array \[features, frames\]"),
        (lambda s: s.clear(), "expected at least one, got none"),
        (lambda s: s.update({n: v[:, :60] for n, v in s.items()}), "no test piece has 10 frames"),
    ],
)
def test_sessions_that_are_refused(tmp_path, change, message):
    given = sessions()
    change(given)
    with pytest.raises(ValueError, match=message):
        project(tmp_path, given)
    assert not (tmp_path / "data").exists()


def test_a_feature_that_was_never_seen(tmp_path):
    given = sessions()
    for values in given.values():
        values[1] = np.nan
    with pytest.raises(ValueError, match=r"features \[1\] are missing in every frame"):
        project(tmp_path, given, missing_values=True)


def test_training_files_that_are_refused(tmp_path):
    write_config(tmp_path / "config.yaml", replace(SMALL, project_path=str(tmp_path)))
    config, folder = str(tmp_path / "config.yaml"), tmp_path / "data" / "train"
    with pytest.raises(FileNotFoundError, match=r"train_seq\.npy: no such file. Make it with"):
        rnn_vae.train_model(config)
    with pytest.raises(FileNotFoundError, match="no trained model there"):
        vame.load_best(config)
    vame.create_training(config, sessions())
    for content, message in (
        (b"", "not a readable .npy file"),
        (b"\x93NUMPY cut", "not a readable .npy file"),
    ):
        (folder / "train_seq.npy").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            rnn_vae.train_model(config)
    np.save(folder / "train_seq.npy", np.array(["words"]))
    with pytest.raises(ValueError, match="expected an array of numbers"):
        rnn_vae.train_model(config)


def test_a_best_model_that_is_damaged(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "copy")
    config = tmp_path / "copy" / "config.yaml"
    write_config(config, replace(SMALL, project_path=str(tmp_path / "copy")))
    (tmp_path / "copy" / "model" / "best_model" / "VAME_project.json").write_text("{")
    with pytest.raises(ValueError, match=r"VAME_project\.json: damaged"):
        vame.load_best(str(config))


@pytest.mark.parametrize(
    "session, message",
    [
        (np.zeros((2, 50)), r"session: expected \[3, frames\]"),
        (np.zeros((3, 4)), "session: expected at least the 5 frames of a window, got 4"),
        (np.full((3, 9), np.nan), "trained with missing_values: false"),
    ],
)
def test_sessions_that_cannot_be_embedded(whole, session, message):
    with pytest.raises(ValueError, match=message):
        vame.embed(*vame.load_best(whole[1]), session)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: rnn_vae.reconstruction_loss(np.ones(2), np.ones(2), "none"),
            "reduction: expected one of sum, mean",
        ),
        (
            lambda: rnn_vae.cluster_loss(tf.ones([2, 3]), 0, 0.1, 3),
            "kloss: expected an integer of at least 1",
        ),
        (
            lambda: rnn_vae.kl_annealing(1, 0, 0, "linear"),
            "annealtime: expected an integer of at least 1",
        ),
        (
            lambda: rnn_vae.kl_annealing(1, 0, 4, "cosine"),
            "anneal_function: expected one of linear, sigmoid",
        ),
        (
            lambda: rnn_vae.test([], model(), 1, 1, 5, "sum", 2, 0.1, True, 4),
            "test_loader: no batch in it",
        ),
        (
            lambda: rnn_vae.train(
                [],
                1,
                model(),
                rnn_vae.Adam(),
                "linear",
                1,
                0,
                1,
                5,
                True,
                2,
                None,
                "sum",
                "sum",
                2,
                0.1,
                4,
                False,
            ),
            "train_loader: no batch in it",
        ),
        (lambda: model(TEMPORAL_WINDOW=7), "TEMPORAL_WINDOW: expected twice the steps of a window"),
        (lambda: model(FUTURE_STEPS=6), "FUTURE_STEPS: expected 1 to 5"),
        (lambda: model(ZDIMS=0), "ZDIMS: expected an integer of at least 1"),
        (lambda: model(dropout_encoder=1.0), "dropout_encoder: expected at least 0 and below 1"),
    ],
)
def test_arguments_that_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("elsewhere", ("/nowhere", "x" * 5000, "a\0b"))
def test_a_project_that_was_moved_is_where_its_config_is(tmp_path, elsewhere):
    write_config(tmp_path / "config.yaml", vame.Config(project_path=elsewhere))
    assert read_config(tmp_path / "config.yaml").project_path == str(tmp_path)


def test_a_relative_project_path_belongs_to_the_folder_of_the_config(tmp_path, monkeypatch):
    (tmp_path / "project" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = tmp_path / "project" / "config.yaml"
    for given, expected in (
        (".", "project"),
        ("deep", "project/deep"),
        ("..", "."),
        ("gone", "project"),
    ):
        write_config(config, vame.Config(project_path=given))
        assert Path(read_config(config).project_path).resolve() == (tmp_path / expected).resolve()
    monkeypatch.chdir(tmp_path)
    assert (
        read_config("project/config.yaml").project_path == "project"
    )  # relative to the working directory, as the file
    absolute = str(tmp_path / "elsewhere")
    write_config(config, vame.Config(project_path=absolute))
    assert read_config(config).project_path == absolute


def test_a_copy_of_a_project_has_nothing_to_do_with_the_first(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "copy")
    config = tmp_path / "copy" / "config.yaml"
    write_config(config, replace(SMALL, project_path="."))
    assert Path(vame.load_best(str(config))[2].project_path) == tmp_path / "copy"
