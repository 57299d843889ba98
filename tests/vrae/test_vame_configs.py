"""What VAME's config.yaml says is done, and its projects open: dicts, unread keys, clustering,
pretrained weights, snapshots, VAME's own files."""

import json
import shutil
import struct
import warnings
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest
import yaml

from tests.tolerances import SAME_FLOAT32
from tests.vrae.test_vame_training import SMALL, project, sessions
from vrae import vame
from vrae.vame import original, rnn_vae
from vrae.vame.config import read_config, set_features, write_config
from vrae.vame.data import Statistics, statistics, vames_statistics
from vrae.vame.motifs import segment
from vrae.vame.plain_pickle import Call, Name, read_plain
from vrae.vame.training import build_model, load_best, pretrained_file, save_state

pytestmark = pytest.mark.eager


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    config = project(folder, max_epochs=2, steps_per_epoch=1)
    rnn_vae.train_model(config, save_logs=True)
    return folder, config


# --- keys ---


def test_keys_that_change_nothing_are_named_in_one_warning(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("zdims: 4\nn_layers: 3\nzdim: 9\nhmm_trained: true\n")
    with pytest.warns(UserWarning) as seen:
        assert read_config(path).zdims == 4
    assert [str(w.message) for w in seen] == [
        f"{path}: these keys are set and have no effect here: n_layers (3), zdim (9), hmm_trained "
        "(True). Remove them, or check how they are written."
    ]


def test_keys_that_say_what_is_done_anyway_or_describe_the_project_are_not_named(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "n_layers: 1\nall_data: 'yes'\nvame_version: 0.14.2\nkeypoints: [nose]\nbeta_norm: false"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_config(tmp_path / "config.yaml")


def test_earlier_names_of_keys_are_read():
    found = read_config({"n_cluster": 7, "parametrization": "kmeans"})
    assert (found.n_clusters, found.segmentation_algorithms) == (7, ("kmeans",))
    assert read_config({"parametrizations": ["hmm"]}).segmentation_algorithms == ("hmm",)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_clusters": 0}, "config: n_clusters: expected an integer of at least 1, got 0"),
        (
            {"segmentation_algorithms": ["hmm", "som"]},
            "segmentation_algorithms: expected some of kmeans, hmm, got som",
        ),
        ({"segmentation_algorithms": 3}, r"expected tuple\[str, \.\.\.\], got 3"),
        ({"exclude": [3]}, r"exclude: expected names, got \(3,\)"),
        ({"skeleton": [["a", "b", "c"]]}, "skeleton: expected pairs of names"),
        ({"pose_confidence": 2.0}, "pose_confidence: expected 0 to 1, got 2.0"),
        ({"low_confidence": "zero"}, "low_confidence: expected one of missing, interpolate, got"),
        ({"longest_gap": -1}, "longest_gap: expected a number of frames of at least 0, got -1"),
        ({"iqr_factor": 0}, "iqr_factor: expected above 0, got 0"),
        ({"savgol_length": 4}, "savgol_length: expected an odd number of frames, got 4"),
        ({"savgol_order": 5}, "savgol_order: expected 0 to savgol_length - 1 = 4, got 5"),
        ({"centered_reference_keypoint": "a"}, "expected the names of two keypoints, or neither"),
        ({"scale_by_body_size": True}, "whose distance is the size of the body, got neither"),
    ],
)
def test_values_that_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        read_config(change)


def test_lists_are_written_and_read(tmp_path):
    made = replace(
        SMALL, skeleton=(("a", "b"),), exclude=("c",), feature_names=("a x",), project_path="."
    )
    write_config(tmp_path / "config.yaml", made)
    assert read_config(tmp_path / "config.yaml") == replace(made, project_path=str(tmp_path))
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["skeleton"] == [["a", "b"]]


@pytest.mark.slow
def test_a_dict_works_as_well_as_a_path(whole, tmp_path):
    values = asdict(replace(SMALL, max_epochs=2, steps_per_epoch=1, project_path=str(tmp_path)))
    values["num_features"] = 12
    vame.create_training(values, sessions())
    assert values["num_features"] == 3
    trained = rnn_vae.train_model(values, save_logs=True)
    assert trained.folder == tmp_path / "model"
    (a, found, _), (b, expected, _) = load_best(values), load_best(whole[1])
    assert found == expected
    for ours, theirs in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_mapping_that_cannot_be_changed():
    from types import MappingProxyType

    with pytest.raises(ValueError, match="expected a dict, whose num_features becomes 3, got mapp"):
        set_features(MappingProxyType({}), 3)


def test_names_of_features_replace_those_in_the_file_and_nothing_else(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("# mine\nfeature_names:  # of the rows\n- old\n- older\nzdims: 4  # small\n")
    for names in (["nose x", "it's: 'y'"], ["a"]):
        set_features(path, 2, names)
        found = read_config(path)
        assert (found.num_features, found.zdims, list(found.feature_names)) == (2, 4, names)
    text = path.read_text()
    assert "# mine\n" in text and "zdims: 4  # small\n" in text and "old" not in text


# --- clustering ---


def test_clustering_is_as_the_config_says():
    rng = np.random.default_rng(0)
    codes = {
        name: np.repeat(rng.permutation(6), 20)[:, None] * 3.0 + 0.1 * rng.standard_normal((120, 2))
        for name in "ab"
    }
    config = {"n_clusters": 3, "n_init_kmeans": 2, "project_random_state": 5, "hmm_n_iter": 3}
    found = vame.segment_sessions(config, codes)
    assert list(found) == ["hmm", "kmeans"]
    _, expected = segment(codes, 3, seed=5, n_init_kmeans=2)
    for name in codes:
        np.testing.assert_array_equal(found["kmeans"][name], expected[name])
    config |= {"segmentation_algorithms": ["kmeans"], "individual_segmentation": True}
    alone = vame.segment_sessions(config, codes)["kmeans"]
    np.testing.assert_array_equal(
        alone["b"], segment({"b": codes["b"]}, 3, seed=5, n_init_kmeans=2)[1]["b"]
    )


def test_motifs_of_a_trained_model_are_as_many_as_the_config_says_now(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    write_config(
        tmp_path / "config.yaml",
        replace(SMALL, n_clusters=4, zdims=7, skeleton=(("a", "b"),), project_path="."),
    )
    settings = load_best(tmp_path / "config.yaml")[2]
    assert (settings.n_clusters, settings.skeleton) == (4, (("a", "b"),))
    assert settings.zdims == 2  # the model's own


# --- snapshots and pretrained weights ---


@pytest.mark.slow
def test_snapshots_are_listed_loaded_and_evaluated(whole):
    folder, config = whole
    assert vame.snapshots(config) == [2]
    a, b = (load_best(config, snapshot=epoch)[0].get_weights() for epoch in (2, None))
    assert len(a) == len(b)
    assert vame.evaluate(config, snapshot=2)["mse"] > 0
    names = {path.name for path in (folder / "model" / "evaluate").iterdir()}
    assert {"evaluation_epoch_2.json", "future_reconstruction_epoch_2.png"} <= names
    with pytest.raises(FileNotFoundError, match="snapshot: expected one of 2, got 3: no file"):
        load_best(config, snapshot=3)


@pytest.mark.slow
def test_training_starts_from_pretrained_weights(whole, tmp_path, monkeypatch):
    folder, config = tmp_path / "new", None
    best = whole[0] / "model" / "best_model" / "VAME_project.npz"
    began = []
    config = project(
        folder,
        max_epochs=1,
        steps_per_epoch=1,
        kl_start=3,
        pretrained_weights=True,
        pretrained_model=str(best),
    )
    train = vame.training.train

    def seen(batches, epoch, model, *rest, **options):
        began.append(original.to_state_dict(model))
        found = train(batches, epoch, model, *rest, **options)
        began.append(found[0])
        return found

    monkeypatch.setattr("vrae.vame.training.train", seen)
    rnn_vae.train_model(config, save_logs=True)
    with np.load(best, allow_pickle=False) as file:
        for name in file.files:
            np.testing.assert_array_equal(began[0][name], file[name])
    assert began[1] == 1.0  # the KL has its full weight at once


def test_a_pretrained_model_is_found_by_name_in_the_project(whole):
    settings = replace(read_config(whole[1]), pretrained_weights=True)
    best = whole[0] / "model" / "best_model"
    for name, path in (
        ("VAME", best / "VAME_project.npz"),
        ("VAME_project", best / "VAME_project.npz"),
        ("VAME_project_epoch_2", best / "snapshots" / "VAME_project_epoch_2.npz"),
    ):
        assert pretrained_file(replace(settings, pretrained_model=name)) == path
    for name in (None, "other"):
        with pytest.raises(FileNotFoundError, match="pretrained_model: expected a model in"):
            pretrained_file(replace(settings, pretrained_model=name))


# --- projects of VAME ---


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def state_dict_pickle(arrays, kind="FloatStorage", strides=None):
    """The instructions that torch.save writes for a state dict: each tensor is a call with a
    reference to the file of its numbers."""
    made = b"\x80\x02ccollections\nOrderedDict\n)R("
    for key, (name, array) in enumerate(arrays.items()):
        rows = strides or tuple(step // 4 for step in array.strides)
        storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(str(key))
        made += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + text("cpu")
        made += number(array.size + 2) + b"tQ" + number(2)
        for numbers in (array.shape, rows):
            made += b"(" + b"".join(map(number, numbers)) + b"t"
        made += b"\x89ccollections\nOrderedDict\n)RtR"
    return made + b"u}" + text("_metadata") + b"}sb."


def torch_file(path, arrays, **options):
    """A file as torch.save writes it. The numbers of a tensor begin behind two others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", state_dict_pickle(arrays, **options))
        for key, array in enumerate(arrays.values()):
            numbers = np.concatenate([[7, 8], array.ravel()]).astype("<f4")
            archive.writestr(f"archive/data/{key}", numbers.tobytes())
        archive.writestr("archive/version", "3")
    return path


@pytest.fixture
def of_vame(tmp_path):
    """A project as VAME leaves it, and its weights."""
    settings = replace(SMALL, project_path=str(tmp_path))
    weights = original.to_state_dict(build_model(settings))
    rng = np.random.default_rng(0)
    weights = {name: rng.standard_normal(w.shape).astype("f4") for name, w in weights.items()}
    torch_file(tmp_path / "model" / "best_model" / "VAME_project.pkl", weights)
    (tmp_path / "data" / "train").mkdir(parents=True)
    data = 5 + 3 * rng.standard_normal((3, 200))
    np.save(tmp_path / "data" / "train" / "train_seq.npy", data)
    write_config(tmp_path / "config.yaml", settings)
    return tmp_path, weights, data


def test_a_project_that_vame_trained_opens(of_vame):
    folder, weights, data = of_vame
    model, found, settings = load_best(folder / "config.yaml")
    for name, value in original.to_state_dict(model).items():
        np.testing.assert_array_equal(value, weights[name])
    assert settings.batch_mixing  # as it was trained
    assert found[:2] == pytest.approx((data.mean(), data.std())) and found[2:] == ((), ())
    codes = vame.embed(model, found, settings, data[:, :30])
    window = found.normalise(data[:, 3:8]).T[None]
    np.testing.assert_allclose(codes[3], model(window).mu[0], **SAME_FLOAT32)


def test_statistics_that_vame_saved_come_before_those_of_the_data(of_vame):
    folder, _, data = of_vame
    settings = read_config(folder / "config.yaml")
    train = folder / "data" / "train"
    np.save(train / "seq_mean.npy", 1.5)
    assert vames_statistics(settings)[:2] == pytest.approx((data.mean(), data.std()))
    np.save(train / "seq_std.npy", np.array([2.5]))
    assert vames_statistics(settings) == Statistics(1.5, 2.5)
    np.save(train / "seq_std.npy", 0.0)
    with pytest.raises(ValueError, match=r"seq_std\.npy: expected a finite mean and a standard de"):
        vames_statistics(settings)


def test_our_model_of_a_project_comes_before_vames(of_vame):
    folder, weights, _ = of_vame
    best = folder / "model" / "best_model"
    model = build_model(SMALL)
    save_state(best / "VAME_project.npz", model)
    about = {"statistics": {"mean": 1.0, "std": 2.0}, "config": {"zdims": 3}}
    (best / "VAME_project.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="do not fit the model"):
        load_best(folder / "config.yaml")  # the model of 3 that the .json describes
    (best / "VAME_project.npz").unlink()
    assert vame.snapshots(folder / "config.yaml") == []
    torch_file(best / "snapshots" / "VAME_project_epoch_50.pkl", weights)
    assert vame.snapshots(folder / "config.yaml") == [50]
    assert load_best(folder / "config.yaml", snapshot=50)[2].batch_mixing


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kind": "BoolStorage"}, "is not a PyTorch state dict of arrays .'BoolStorage'"),
        ({"strides": (1, 5)}, r"a tensor with the strides \(1, 5\) of Name"),
    ],
)
def test_tensors_that_are_not_read(tmp_path, options, message):
    torch_file(tmp_path / "model.pkl", {"a": np.zeros((2, 3), "f4")}, **options)
    with pytest.raises(ValueError, match=message):
        original.load_state_dict(build_model(SMALL), tmp_path / "model.pkl")


def test_archives_that_hold_no_state_dict(tmp_path):
    for content in (b"", b"cos\nsystem\n(S'ls'\ntR.", b"]."):
        with zipfile.ZipFile(tmp_path / "model.pkl", "w") as archive:
            archive.writestr("archive/data.pkl", content)
        with pytest.raises(ValueError, match="is not a PyTorch state dict of arrays"):
            original.load_state_dict(build_model(SMALL), tmp_path / "model.pkl")
    with zipfile.ZipFile(tmp_path / "model.pkl", "w") as archive:
        archive.writestr("mimetype", "text")
    with pytest.raises(ValueError, match="is not a PyTorch state dict of arrays"):
        original.load_state_dict(build_model(SMALL), tmp_path / "model.pkl")


# --- pickles ---


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_read_from_pickles_of_every_protocol(protocol):
    import pickle

    value = [
        (1, [("net", "nose", "x"), ("net", "nose", "y")]),
        {"a": None, "b": [True, False, 2**40, -3, 1.5], 3: ()},
        (1, 2),
        [[]],
        "\u00e4\n'",
        300,
    ]
    assert read_plain(pickle.dumps(value, protocol)) == value


def test_nothing_in_a_pickle_is_called(tmp_path):
    import pickle

    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "made"), "w"))

    (found,) = read_plain(pickle.dumps([Bad()], 2))
    assert isinstance(found, Call) and found.arguments == (str(tmp_path / "made"), "w")
    assert not (tmp_path / "made").exists()
    assert read_plain(b"cos\nsystem\n.") == Name("os.system")


@pytest.mark.parametrize(
    "data", (b"", b"no pickle", b"\x80\x04", b"0.", b"a.", b"g7\n.", b"(.", b"NN.", b"\x8f.")
)
def test_pickles_that_are_refused(data):
    with pytest.raises(ValueError, match="not a pickle of plain values"):
        read_plain(data)


# --- statistics ---


def test_extra_features_are_scaled_on_their_own():
    rng = np.random.default_rng(0)
    pieces = [
        rng.standard_normal((4, n)) * [[1], [1], [9], [30]] + [[5], [7], [0], [3]] for n in (50, 30)
    ]
    joined = np.concatenate(pieces, axis=1)
    found = statistics(pieces, extra=2)
    assert found[:2] == pytest.approx((joined[:2].mean(), joined[:2].std()))
    assert found.extra_mean == pytest.approx(joined[2:].mean(axis=1))
    assert found.extra_std == pytest.approx(joined[2:].std(axis=1))
    scaled = found.normalise(joined)
    np.testing.assert_allclose(scaled[2:].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(scaled[2:].std(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found.restore(scaled), joined, rtol=1e-5, atol=1e-5)
    windows = np.stack([joined[:, :9], joined[:, 9:18]])
    np.testing.assert_array_equal(found.normalise(windows)[1], scaled[:, 9:18])
    assert statistics(pieces)[:2] == pytest.approx((joined.mean(), joined.std()))
