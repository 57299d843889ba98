"""Files of other programs, written here by pandas, h5py, SciPy and xarray in their layouts."""

import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.io import netcdf_file

from vrae.vame.readers import read_pose

PARTS, ANIMALS = ("nose", "left-ear", "tail"), ("a", "b")
FRAMES = 7


def tracked(animals=1, seed=0):
    """Positions [animals, K, 2, frames] and confidence [animals, K, frames]; one keypoint was not
    seen in one frame."""
    rng = np.random.default_rng(seed)
    points = rng.normal(200, 50, (animals, len(PARTS), 2, FRAMES))
    confidence = rng.uniform(0.1, 1, (animals, len(PARTS), FRAMES))
    points[:, 1, :, 3], confidence[:, 1, 3] = np.nan, 0.0
    return points, confidence


def frame_of(points, confidence, animals=None):
    """DeepLabCut's table: columns scorer, (individuals,) bodyparts, coords."""
    levels = [["net"], animals, PARTS, ["x", "y", "likelihood"]]
    names = ["scorer", "individuals", "bodyparts", "coords"]
    kept = [i for i, level in enumerate(levels) if level is not None]
    columns = pd.MultiIndex.from_product([levels[i] for i in kept], names=[names[i] for i in kept])
    values = np.concatenate([points, confidence[:, :, None]], axis=2)
    return pd.DataFrame(values.reshape(-1, FRAMES).T, columns=columns)


def pandas_table(path, frame):
    """What `to_hdf(format="table")` leaves, as far as it is read: the names of the columns are
    pickled in an attribute."""
    pickled = pytest.importorskip("pickle").dumps(list(frame.columns), 0)
    row = np.dtype([("index", "<i8"), ("values_block_0", "<f8", (frame.shape[1],))])
    with h5py.File(path, "w") as file:
        rows = np.zeros(len(frame), row)
        rows["index"], rows["values_block_0"] = np.arange(len(frame)), frame.to_numpy()
        table = file.create_dataset("df_with_missing/table", data=rows)
        table.attrs["values_block_0_kind"] = np.bytes_(pickled)
    return path


def sleap(path, points, confidence, tracks=ANIMALS):
    with h5py.File(path, "w") as file:
        file["tracks"] = points.transpose(0, 2, 1, 3)
        file["point_scores"] = np.where(confidence > 0, confidence, np.nan)
        file["node_names"] = np.array(PARTS, "S")
        file["track_names"] = np.array(tracks[: len(points)], "S")
        file["edge_names"] = np.array([["nose", "left-ear"], ["nose", "tail"]], "S")
    return path


def movement_hdf5(path, points, confidence):
    """netCDF-4 is HDF5 with dimension scales."""
    with h5py.File(path, "w") as file:
        labels = {"space": ["x", "y"], "keypoints": PARTS, "individuals": ANIMALS[: len(points)]}
        for name, values in labels.items():
            file.create_dataset(name, data=list(values), dtype=h5py.string_dtype())
        file["time"] = np.arange(FRAMES) / 30
        for name in (*labels, "time"):
            file[name].make_scale(name)
        arrays = {
            "position": (points.transpose(3, 2, 1, 0), ("time", "space", "keypoints")),
            "confidence": (confidence.transpose(2, 1, 0), ("time", "keypoints")),
        }
        for name, (values, dims) in arrays.items():
            file[name] = values
            for i, dim in enumerate((*dims, "individuals")):
                file[name].dims[i].attach_scale(file[dim])
        file.attrs["fps"] = 30.0
    return path


def movement_classic(path, points, confidence):
    with netcdf_file(path, "w") as file:
        labels = {"space": ["x", "y"], "keypoints": PARTS, "individuals": ANIMALS[: len(points)]}
        file.createDimension("time", FRAMES)
        for name, values in labels.items():
            letters = np.array([[c.encode() for c in v.ljust(8, "\0")] for v in values], "S1")
            file.createDimension(name, len(values))
            if "letters" not in file.dimensions:
                file.createDimension("letters", 8)
            file.createVariable(name, "c", (name, "letters"))[:] = letters
        dims = ("individuals", "keypoints", "space", "time")  # the order does not matter
        file.createVariable("position", "d", dims)[:] = points
        file.createVariable("confidence", "d", (*dims[:2], "time"))[:] = confidence
        file.fps = 30.0
    return path


def npz(path, points, confidence, **more):
    np.savez(
        path,
        positions=points[0].reshape(-1, FRAMES),
        confidence=confidence[0],
        keypoints=np.array(PARTS),
        **more,
    )
    return path


def csv(path, points, confidence):
    frame_of(points, confidence, ANIMALS if len(points) > 1 else None).to_csv(path)
    return path


def deeplabcut_h5(path, points, confidence):
    return pandas_table(path, frame_of(points, confidence, ANIMALS if len(points) > 1 else None))


WRITERS = {
    "DeepLabCut csv": csv,
    "DeepLabCut h5": deeplabcut_h5,
    "SLEAP": sleap,
    "movement netCDF-4": movement_hdf5,
    "movement classic netCDF": movement_classic,
}


def assert_is(pose, points, confidence):
    assert pose.keypoints == PARTS
    np.testing.assert_allclose(pose.points, points, rtol=1e-12)
    np.testing.assert_allclose(pose.confidence, confidence, rtol=1e-12)


@pytest.mark.parametrize("kind", [*WRITERS, "npz"])
def test_a_file_of_one_animal(tmp_path, kind):
    points, confidence = tracked()
    path = (WRITERS | {"npz": npz})[kind](tmp_path / "file.npz", points, confidence)
    pose = read_pose(path)
    assert_is(pose, points[0], confidence[0])
    assert pose.fps == (30.0 if "movement" in kind else None)
    edges = (("nose", "left-ear"), ("nose", "tail"))
    assert pose.skeleton == (edges if kind == "SLEAP" else ())
    given = read_pose(path, fps=25, skeleton=("left-ear-tail",))
    assert (given.fps, given.skeleton) == (25, (("left-ear", "tail"),))


@pytest.mark.parametrize("kind", WRITERS)
def test_one_animal_of_several(tmp_path, kind):
    points, confidence = tracked(2)
    path = WRITERS[kind](tmp_path / "file", points, confidence)
    assert_is(read_pose(path, individual="b"), points[1], confidence[1])
    for individual in (None, "c"):
        with pytest.raises(
            ValueError,
            match=f"individual: .*file holds a, b; expected one of them, got .?{individual}",
        ):
            read_pose(path, individual=individual)


def test_pandas_own_file_of_deeplabcuts_table(tmp_path):
    pytest.importorskip("tables")
    for animals in (1, 2):
        points, confidence = tracked(animals)
        frame = frame_of(points, confidence, ANIMALS if animals == 2 else None)
        frame.to_hdf(tmp_path / "a.h5", key="df_with_missing", format="table", mode="w")
        pose = read_pose(tmp_path / "a.h5", individual=ANIMALS[animals - 1])
        assert_is(pose, points[-1], confidence[-1])
    frame.to_hdf(tmp_path / "b.h5", key="df_with_missing", format="fixed", mode="w")
    with pytest.raises(ValueError, match="pandas wrote with format='fixed': write it with"):
        read_pose(tmp_path / "b.h5")


@pytest.mark.parametrize("engine", ("h5netcdf", "scipy"))
def test_xarrays_own_file_of_movements_dataset(tmp_path, engine):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip(engine)
    points, confidence = tracked(2)
    data = xarray.Dataset(
        {
            "position": (
                ("time", "space", "keypoints", "individuals"),
                points.transpose(3, 2, 1, 0),
            ),
            "confidence": (("time", "keypoints", "individuals"), confidence.transpose(2, 1, 0)),
        },
        {
            "time": np.arange(FRAMES) / 30,
            "space": ["x", "y"],
            "keypoints": list(PARTS),
            "individuals": list(ANIMALS),
        },
        {"fps": 30.0, "source_software": "DeepLabCut"},
    )
    data.to_netcdf(tmp_path / "a.nc", engine=engine)
    pose = read_pose(tmp_path / "a.nc", individual="b")
    assert_is(pose, points[1], confidence[1])
    assert pose.fps == 30.0


def test_an_npz_holds_further_rows_and_what_plots_need(tmp_path):
    points, confidence = tracked()
    heat, name = np.arange(FRAMES), np.array(["x"] * FRAMES)
    pose = read_pose(
        npz(
            tmp_path / "a.npz",
            points,
            confidence,
            heat=heat,
            fps=12.5,
            skeleton=[["nose", "tail"]],
            names=name,
            motifs=heat,
            other=np.zeros(3),
        )
    )
    assert (pose.fps, pose.skeleton, set(pose.extra)) == (
        12.5,
        (("nose", "tail"),),
        {"heat", "motifs"},
    )
    np.savez(tmp_path / "b.npz", positions=np.ones((4, 5)))
    assert read_pose(tmp_path / "b.npz").keypoints == ("keypoint 0", "keypoint 1")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "expected DeepLabCut's .* This file is empty"),
        (b"\x80\x04]", "This is a pickle, such as DeepLabCut's .pickle: use the .h5 or .csv"),
        (b"\0\0\0\x20ftypisom", "This is a video"),
        (b"RIFF\0\0\0\0AVI ", "This is a video"),
        (b"\x1a\x45\xdf\xa3", "This is a video"),
        (b"MATLAB 5.0 MAT-file", "This is a MATLAB file"),
        (b'{"people": []}', "This is JSON, such as OpenPose's"),
        (b"[1, 2]", "This is JSON"),
        (b"\x93NUMPY", "This is a NumPy .npy without names"),
        (b"\x1f\x8b\x08", "This is compressed by gzip"),
        (b"track,frame_idx,instance.score,nose.x\n", "This is SLEAP's .csv: export Analysis HDF5"),
        (b"frame,nose\n1,2\n", "expected the rows scorer, bodyparts and coords of a DeepLabCut"),
        (b"\x89HDF\r\n\x1a\n cut", "damaged HDF5, it may be truncated"),
        (b"CDF\x01 cut", "netCDF without the .position., .keypoints."),
        (b"PK\x03\x04 cut", "not a readable .npz with .positions."),
    ],
)
def test_other_files_are_named_as_what_they_are(tmp_path, content, message):
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.h5: .*{message}"):
        read_pose(tmp_path / "a.h5")


@pytest.mark.parametrize(
    "names, message",
    [
        (
            ("frames", "instances", "metadata"),
            "This is a SLEAP project .\\.slp., which holds labels",
        ),
        (("model_weights",), "This is a Keras model"),
        (("specifications", "acquisition"), "This is NWB: convert it by movement"),
        (("#refs#",), "This is a MATLAB file"),
        (("b", "a"), "This is HDF5 with a, b"),
        ((), "This is HDF5 with nothing in it"),
        (("tracks", "node_names"), "a file of SLEAP that is damaged or has another layout"),
        (("position", "keypoints"), "a file of movement that is damaged or has another layout"),
        (("x/table",), "a file of DeepLabCut that is damaged or has another layout"),
    ],
)
def test_other_hdf5_files_are_named_as_what_they_are(tmp_path, names, message):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in names:
            file[name] = np.zeros(2)
    with pytest.raises(ValueError, match=message):
        read_pose(tmp_path / "a.h5")


def test_hdf5_whose_groups_are_damaged(tmp_path):
    points, confidence = tracked()
    content = bytearray(sleap(tmp_path / "a.h5", points, confidence).read_bytes())
    place = content.index(b"SNOD")  # the signature of a node of the table of names
    content[place : place + 4] = b"NONE"
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.h5: damaged HDF5 .*symbol table node"):
        read_pose(tmp_path / "a.h5")


def test_what_else_is_refused(tmp_path):
    points, confidence = tracked()
    with pytest.raises(FileNotFoundError, match=r"none\.h5: no such file"):
        read_pose(tmp_path / "none.h5")
    with pytest.raises(ValueError, match="expected a file, got a folder"):
        read_pose(tmp_path)
    path = npz(tmp_path / "a.npz", points, confidence)
    with pytest.raises(ValueError, match="fps: expected above 0, got 0"):
        read_pose(path, fps=0)
    for pair in ("nose-paw", "nose", ("nose", "paw")):
        with pytest.raises(
            ValueError, match="skeleton: expected pairs of nose, left-ear, tail, got"
        ):
            read_pose(path, skeleton=(pair,))
    np.savez(tmp_path / "b.npz", positions=np.zeros((3, 5)))
    with pytest.raises(
        ValueError, match=r"positions: expected \[2 K, frames\], x and y .* \(3, 5\)"
    ):
        read_pose(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", positions=np.zeros((4, 5)), keypoints=np.array(["a"]))
    with pytest.raises(
        ValueError, match=r"expected keypoints \[2\] and confidence \[2, 5\], got \[1"
    ):
        read_pose(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", positions=np.zeros((4, 0)))
    with pytest.raises(ValueError, match="no frame in it"):
        read_pose(tmp_path / "d.npz")
    with zipfile.ZipFile(tmp_path / "e.npz", "w") as archive:
        archive.writestr("xl/workbook.xml", "<sheet/>")
    with pytest.raises(ValueError, match=r"not a readable \.npz with `positions`"):
        read_pose(tmp_path / "e.npz")
