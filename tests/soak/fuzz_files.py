"""Soak test: reads mutated copies of a valid file of every kind that the project reads.

    python -m tests.soak.fuzz_files --count=100000          # of each kind, hours
    python -m tests.soak.fuzz_files --kinds=checkpoint,yaml --count=1000

Reading a mutated file must return its content or raise an error that names the file, within 5
seconds and with less than 2 GB of additional memory. The script prints a JSON line for each kind.
The exit status is 1 if anything else happened. File i of a kind depends only on --seed and i. Files
that fail are kept in the folder --keep.
"""

import importlib.util
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import keras
import numpy as np
from absl import app, flags
from scipy.io import netcdf_file

import worldmodels
from benchmarks.timing import memory, show
from seqvae import data
from seqvae.commands import saved_config
from seqvae.data import open_shards
from seqvae.data.tables import read_csv
from seqvae.files import write_json
from seqvae.saved_models import load_model
from seqvae.training import CheckpointError, Checkpoints
from vrae import vame
from vrae.data import read_npz
from vrae.vame.data import load_array
from vrae.vame.keypoints import read_deeplabcut
from vrae.vame.segmenters import HMMSegmenter, load_segmenter
from vrae.vame.sessions import load_session, save_session
from worldmodels import original as world_models

flags.DEFINE_integer("count", 1000, "number of mutated files of each kind")
flags.DEFINE_list("kinds", [], "kinds to read; default: all")
flags.DEFINE_integer("seed", 0, "seed of the mutations")
flags.DEFINE_string("keep", "", "folder for the files that fail")

_SECONDS, _MEMORY_MB = 5.0, 2048
_PIECES = (
    b"",
    b"\0",
    b"nan",
    b"-1",
    b"1e999",
    b"9" * 30,
    b"[" * 500,
    b"{",
    b"\xff\xfe",
    b"\n",
    b",",
    b"'",
    b": ",
    b"!!python/object/apply:os.system [x]",
    b"&a [*a]",
    b"PK\x05\x06",
    b"\x93NUMPY",
)


class Kind(NamedTuple):
    """ending: file name extension. write: writes a valid file to a path. read: reads a file."""

    ending: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]


def kinds() -> dict[str, Kind]:
    """The kinds of file that the project reads, by name."""
    rng = np.random.default_rng(0)
    model = vame.rnn_model.RNN_VAE(4, 2, 3, True, 1, 2, 2, 2, 2)
    frames = rng.random((3, 4, 6, 6)).astype(np.float32)
    made = {
        "dataset": Kind(".npz", lambda path: data.save(path, {"images": frames}), data.load),
        "episodes": Kind(
            ".npz",
            lambda path: data.save(path, {"frames": frames, "actions": frames[:, 0, 0]}),
            _episodes,
        ),
        "checkpoint": Kind(".npz", _write_checkpoint, _read_checkpoint),
        "series": Kind(
            ".npz",
            lambda path: data.save(path, {"sequences": frames[..., 0], "mask": np.ones((3, 4))}),
            read_npz,
        ),
        "segmenter": Kind(
            ".npz",
            lambda path: HMMSegmenter(
                np.ones(2), np.ones((2, 2)), np.ones((2, 3)), np.ones((2, 3, 3)), np.array(2)
            ).save(path),
            load_segmenter,
        ),
        "state dict": Kind(
            ".npz",
            lambda path: data.save(path, vame.original.to_state_dict(model)),
            lambda path: vame.original.load_state_dict(model, path),
        ),
        "npy": Kind(
            ".npy", lambda path: np.save(path, frames[0, 0], allow_pickle=False), load_array
        ),
        "json": Kind(
            ".json",
            lambda path: path.write_text(json.dumps([[[1, -20], [3, 4]], [5, 6]])),
            world_models.read_json,
        ),
        "yaml": Kind(
            ".yaml", lambda path: vame.write_config(path, vame.Config()), vame.read_config
        ),
        "csv": Kind(
            ".csv",
            lambda path: path.write_text("sequence,x,y,label\na,1,2.5,0\na,3,4,0\nb,5,-6e3,1\n"),
            read_csv,
        ),
        "deeplabcut": Kind(
            ".csv",
            lambda path: path.write_text(
                "scorer,n,n,n\nbodyparts,a,a,a\ncoords,x,y,likelihood\n0,1.5,2,.9\n1,3,4,.1\n"
            ),
            read_deeplabcut,
        ),
        "deeplabcut's table": Kind(".h5", _write_table, vame.read_pose),
        "sleap": Kind(".h5", _write_sleap, vame.read_pose),
        "movement": Kind(".nc", _write_movement, vame.read_pose),
        "session": Kind(
            ".npz", lambda path: save_session(path, vame.preprocess(_POSE, KEYS)), load_session
        ),
        "index": Kind(".json", _write_set, _read_set),
        "run": Kind(
            ".json", lambda path: write_json(path, {"seed": 1, "dataset": "box"}), saved_config
        ),
        "keras": Kind(".keras", _write_keras, _read_keras),
    }
    if importlib.util.find_spec("torch"):
        made["torch"] = Kind(
            ".pt",
            lambda path: _write_torch(path, model),
            lambda path: vame.original.load_state_dict(model, path),
        )
    return made


KEYS = vame.Preprocessing()
_POSE = vame.Pose(("a", "b"), np.arange(24.0).reshape(4, 6), np.ones((2, 6)))


def _write_table(path: Path) -> None:
    """DeepLabCut's .h5: the names of the columns are a pickle."""
    names = b"(lp0\n(Vn\nVa\nVx\ntp1\na(Vn\nVa\nVy\ntp2\na(Vn\nVa\nVlikelihood\ntp3\na."
    row = np.dtype([("index", "<i8"), ("values_block_0", "<f8", (3,))])
    with h5py.File(path, "w") as file:
        table = file.create_dataset("df_with_missing/table", data=np.zeros(4, row))
        table.attrs["values_block_0_kind"] = np.bytes_(names)


def _write_sleap(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["tracks"] = np.ones((1, 2, 2, 4))
        file["node_names"], file["track_names"] = np.array(["a", "b"], "S"), np.array(["t"], "S")


def _write_movement(path: Path) -> None:
    with netcdf_file(path, "w") as file:
        sizes = {"time": 4, "space": 2, "keypoints": 2, "individuals": 1, "letters": 1}
        for name, size in sizes.items():
            file.createDimension(name, size)
        for name, letters in (("space", "xy"), ("keypoints", "ab"), ("individuals", "i")):
            variable = file.createVariable(name, "c", (name, "letters"))
            variable[:] = np.array([[letter.encode()] for letter in letters], "S1")
        file.createVariable("position", "d", tuple(sizes)[:4])[:] = np.ones((4, 2, 2, 1))


def _write_set(path: Path) -> None:
    """Write two shards and their index. The index is copied to `path`, and that copy is mutated."""
    for i in range(2):
        data.write_shard(path.parent / f"{i}.npz", {"x": np.arange(3 + i)})
    data.open_shards(path.parent, {})
    path.write_bytes((path.parent / "index.json").read_bytes())


def _read_set(path: Path) -> None:
    (path.parent / "index.json").write_bytes(path.read_bytes())
    found = data.open_shards(path.parent, {})
    if [found.read(i)["x"].tolist() for i in range(2)] != [[0, 1, 2], [0, 1, 2, 3]]:
        raise AssertionError("a mutated index changed the arrays")


def _write_keras(path: Path) -> None:
    worldmodels.MDNRNN(z_size=2, action_size=1, rnn_size=2, num_mixtures=1).save(path)


def _read_keras(path: Path) -> None:
    load_model(path, worldmodels.MDNRNN)


def _write_torch(path: Path, model) -> None:
    import torch

    torch.save(
        {name: torch.tensor(value) for name, value in vame.original.to_state_dict(model).items()},
        path,
    )


def _write_checkpoint(path: Path) -> None:
    made = Checkpoints(path.parent / "made", {"size": 3}).save(
        1, {"model/0/w": np.ones((3, 4))}, {"epoch": 1}
    )
    path.write_bytes(made.read_bytes())


def _read_checkpoint(path: Path) -> None:
    arrays, position = Checkpoints(path.parent, {"size": 3}).load(path)
    if (
        position != {"epoch": 1}
        or not np.array_equal(arrays["model/0/w"], np.ones((3, 4)))
        or len(arrays) != 1
    ):
        raise AssertionError("a mutated checkpoint was accepted")


def _episodes(path: Path) -> None:
    open_shards(path.parent, {"frames": "frames"}).read(0, ["frames"])


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content after one to four changes: bits flipped, bytes replaced, pieces cut, repeated,
    moved or inserted."""
    for _ in range(rng.randint(1, 4)):
        first = rng.randint(0, len(content))
        last = min(len(content), first + rng.choice((1, 1, 4, 16, 200)))
        piece = content[first:last]
        change = rng.randrange(6)
        if change == 0 and piece:
            piece = bytes([piece[0] ^ (1 << rng.randrange(8))]) + piece[1:]
        elif change == 1:
            piece = rng.randbytes(len(piece))
        elif change == 2:
            piece = b""
        elif change == 3:
            piece = piece * rng.choice((2, 50))
        elif change == 4:
            piece = rng.choice(_PIECES)
        else:
            content, piece = (
                (content[:last], piece) if rng.random() < 0.3 else (content, piece[::-1])
            )
        content = content[:first] + piece + content[last:]
    return content


def trial(kind: Kind, path: Path) -> str:
    """Read the file. Returns "loaded", "refused", or a description of the failure."""
    began = time.perf_counter()
    try:
        kind.read(path)
        found = "loaded"
    except (ValueError, OSError, CheckpointError) as error:
        found = (
            "refused"
            if path.name in str(error) or str(path.parent) in str(error)
            else f"unnamed: {error!r}"
        )
    except BaseException as error:
        found = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    return found if seconds < _SECONDS else f"{seconds:.1f} s, {found}"


def run(name: str, kind: Kind, count: int, seed: int, keep: str = "") -> dict:
    """Read `count` mutated files. Returns the numbers of loaded, refused and failed files, and the
    first failures."""
    tally, failures = {"loaded": 0, "refused": 0}, {}
    before = memory("VmRSS", reset=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mutated{kind.ending}"
        kind.write(path)
        whole = path.read_bytes()
        if trial(kind, path) != "loaded":
            raise AssertionError(f"{name}: the valid file is refused")
        for i in range(count):
            if i % 1000 == 999:
                # Keras remembers the names of all layers: 15 KB a model
                keras.utils.clear_session()
            path.write_bytes(mutated(whole, random.Random(f"{seed} {name} {i}")))
            found = trial(kind, path)
            if found in tally:
                tally[found] += 1
                continue
            failures[i] = found
            if keep:
                Path(keep).mkdir(parents=True, exist_ok=True)
                (Path(keep) / f"{name}-{seed}-{i}{kind.ending}").write_bytes(path.read_bytes())
    peak = memory("VmHWM")
    if peak - before > _MEMORY_MB:
        failures["memory"] = f"{peak - before:.0f} MB"
    return {
        "kind": name,
        "files": count,
        **tally,
        "peak_MB": peak,
        "failed": len(failures),
        "first": list(failures.items())[:3],
    }


def main(argv):
    del argv
    found, all_kinds = [], kinds()
    size = int(memory("VmSize") + _MEMORY_MB) * 2**20
    resource.setrlimit(
        resource.RLIMIT_AS, (size, size)
    )  # a single large allocation fails immediately
    for name in flags.FLAGS.kinds or all_kinds:
        found.append(
            run(name, all_kinds[name], flags.FLAGS.count, flags.FLAGS.seed, flags.FLAGS.keep)
        )
        show(**found[-1])
    sys.exit(any(line["failed"] for line in found))


if __name__ == "__main__":
    app.run(main)
