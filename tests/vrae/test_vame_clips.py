"""Bouts cut from videos, and maps of codes."""

import sys
import types

import imageio.v2 as imageio
import numpy as np
import pytest

from tests.vrae.test_vame_cards import FOUND, KEYS, SESSIONS
from vrae.vame import Config
from vrae.vame.cards import report
from vrae.vame.cards.bouts import shown_bouts
from vrae.vame.cards.clips import videos_of, write_motif_clips

pytestmark = pytest.mark.eager


def video(path, frames=100, size=(64, 96)):
    """Frame i is grey, 2 i."""
    grey = np.repeat(2 * np.arange(frames), np.prod(size) * 3).reshape(frames, *size, 3)
    imageio.mimwrite(path, list(grey.astype(np.uint8)), fps=25, codec="libx264", quality=9)
    return path


@pytest.mark.slow
def test_clips_show_the_frames_of_the_bouts(tmp_path):
    videos = {name: video(tmp_path / f"{name}.mp4") for name in SESSIONS}
    config, said = Config(**KEYS, length_of_motif_video=12), []
    written = write_motif_clips(tmp_path, videos, SESSIONS, FOUND, config, said.append)
    assert [path.name for path in written] == [f"motif_{i}_video.mp4" for i in range(3)]
    assert said[0] == "clips of motif 0" and not list(tmp_path.glob(".*"))
    seed = config.project_random_state
    (one,) = shown_bouts(SESSIONS, FOUND, 1, longest=12, seed=seed)
    frames = np.stack(imageio.mimread(written[1], memtest=False)).astype(int)
    assert frames.shape[0] == one.last - one.first == 28  # 8 before, 12, 8 after
    np.testing.assert_allclose(frames[:, 80, 120, 0], 2 * np.arange(one.first, one.last), atol=4)
    blue = frames[:, 80, 1, 2] - frames[:, 80, 1, 0] > 100
    assert blue.tolist() == [False] * 8 + [True] * 20  # the bout lasts 40 frames
    only = write_motif_clips(tmp_path / "b", {"b": videos["b"]}, SESSIONS, FOUND, config)
    assert len(only) == 3


def test_videos_that_do_not_fit_are_refused(tmp_path):
    config = Config(**KEYS)
    with pytest.raises(ValueError, match=r"a\.mp4: 99 frames, and the session a has 100\. Give"):
        write_motif_clips(tmp_path, {"a": video(tmp_path / "a.mp4", 99)}, SESSIONS, FOUND, config)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"b\.mp4: not a readable video"):
        write_motif_clips(tmp_path, {"b": tmp_path / "b.mp4"}, SESSIONS, FOUND, config)
    with pytest.raises(FileNotFoundError, match="--videos: expected a folder of videos, got"):
        videos_of(tmp_path / "none", SESSIONS)


def test_a_session_has_the_video_whose_name_begins_its_own(tmp_path):
    for name in ("a.MP4", "aDLC.mp4", "b.txt"):
        (tmp_path / name).touch()
    names = dict.fromkeys(("a", "aDLC_resnet50", "ax", "b"), SESSIONS["a"])
    found = {name: path.name for name, path in videos_of(tmp_path, names).items()}
    assert found == {"a": "a.MP4", "aDLC_resnet50": "aDLC.mp4", "ax": "a.MP4"}


def test_a_video_is_not_that_of_a_session_whose_number_continues(tmp_path):
    (tmp_path / "mouse1.mp4").touch()
    names = dict.fromkeys(("mouse1", "mouse1DLC", "mouse10", "mouse12DLC"), SESSIONS["a"])
    assert set(videos_of(tmp_path, names)) == {"mouse1", "mouse1DLC"}


def test_a_map_by_umap_or_what_to_install(monkeypatch):
    codes, made = np.random.default_rng(0).standard_normal((50, 3)), {}

    class UMAP:
        def __init__(self, **options):
            made.update(options)

        def fit_transform(self, codes):
            return codes[:, 1:]

    fake = types.ModuleType("umap")
    fake.UMAP = UMAP
    monkeypatch.setitem(sys.modules, "umap", fake)
    np.testing.assert_array_equal(report.flat(codes, "umap", 3), codes[:, 1:])
    assert made == {"n_components": 2, "min_dist": 0.1, "n_neighbors": 49, "random_state": 3}
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(
        ImportError, match=r"latent_map: umap needs .* 'seqvae\[umap\]', or use pca"
    ):
        report.check_map("umap")
    with pytest.raises(ValueError, match="latent_map: expected one of pca, umap, got 'tsne'"):
        report.flat(codes, "tsne", 0)
    flat = report.flat(codes, "pca", 0)
    assert flat.var(axis=0)[0] >= flat.var(axis=0)[1] > 0
