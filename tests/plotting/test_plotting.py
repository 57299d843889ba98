"""Pictures and videos: what is in them, read back."""

import imageio.v2 as imageio
import numpy as np
import pytest

from seqvae import plotting
from seqvae.plotting import colours

VIDEO = (np.random.default_rng(0).random((3, 5, 8, 6)) > 0.6).astype(np.float32)
MISSING = np.array([[0, 0, 1, 1, 0]] * 3, bool)


def test_pixels_of_any_kind_become_rgb():
    for frames in (VIDEO, VIDEO.astype(bool), (255 * VIDEO).astype(np.uint8), VIDEO[..., None]):
        pixels = plotting.as_pixels(frames)
        assert (pixels.shape, pixels.dtype) == ((3, 5, 8, 6, 3), np.uint8)
        np.testing.assert_array_equal(pixels[..., 1], 255 * VIDEO)
    assert plotting.as_pixels(np.full((2, 4, 4), np.nan)).max() == 0


def test_rows_put_every_sequence_in_its_place_and_mark_the_missing_frames():
    rows = {"true": VIDEO, "smoothed": 1 - VIDEO}
    frames = plotting.labelled_rows(rows, MISSING, zoom=2)
    tile_height, tile_width = 2 * 8 + 6, 2 * 6 + 6
    assert frames.shape == (5, 2 * tile_height, 150 + 3 * tile_width, 3)
    second = frames[:, tile_height:, 150 + tile_width : 150 + 2 * tile_width]
    np.testing.assert_array_equal(second[:, 3:-3:2, 3:-3:2, 0], 255 * (1 - VIDEO[1]))
    purple = (second[:, 0, 0] == (204, 121, 167)).all(axis=-1)
    np.testing.assert_array_equal(purple, MISSING[1])
    assert frames[0, :, :150].max() > 200  # the names


def test_columns_have_a_row_for_each_sequence_and_the_plane_of_codes_beside_it():
    codes = np.random.default_rng(0).normal(size=(3, 5, 2))
    size = 2 * 8
    planes = plotting.code_planes({"encoded": codes, "smoothed": codes + 0.1}, size)
    assert planes.shape == (3, 5, size, size, 3)
    video = plotting.labelled_columns(
        {"observed": VIDEO, "smoothed": 1 - VIDEO},
        legend=[((204, 121, 167), "missing"), ((230, 159, 0), "smoothed")],
        missing=MISSING,
        zoom=2,
        planes={"codes": planes},
    )
    head, width, height = 20, 2 * 6 + 6, size + 6
    assert video.shape[:3] == (5, head + 3 * height + 2 * 18 + 2, 2 * width + size + 6)
    tile = video[:, head + height : head + 2 * height, width : 2 * width]  # second row and column
    np.testing.assert_array_equal(tile[:, 3:-3:2, 3:-3:2, 0], 255 * (1 - VIDEO[1]))
    np.testing.assert_array_equal(video[:, head + 3 : head + 3 + size, -3 - size : -3], planes[0])
    assert (video[2, -38:] == (204, 121, 167)).all(axis=-1).any()  # the legend's squares
    assert (video[2, -38:] == (230, 159, 0)).all(axis=-1).any()


def test_a_plane_shows_where_each_code_is_now():
    """Alone in the plane: the dot of the smoothed code is where that code is."""
    codes = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]])
    planes = plotting.code_planes({"encoded": codes, "smoothed": codes}, 100)[0]
    corners = ((15, 85), (85, 85), (85, 15))  # x to the right, y upwards
    for frame, (x, y) in zip(planes, corners, strict=True):
        assert tuple(frame[y, x]) == (230, 159, 0)
    over_time = plotting.code_planes({"encoded": codes[..., :1]}, 100)[0]
    assert tuple(over_time[1, 15, 50]) == (86, 180, 233)


def test_the_colour_of_missing_frames_is_no_methods():
    assert colours.MISSING not in (colours.BLUE, colours.ORANGE, colours.GREEN)
    assert colours.MISSING_RGB not in (colours.BLUE_RGB, colours.ORANGE_RGB, colours.GREEN_RGB)
    rgb = tuple(int(colours.MISSING[i : i + 2], 16) for i in (1, 3, 5))
    assert rgb == colours.MISSING_RGB


def test_tiles_fill_a_grid():
    assert plotting.tile_videos(VIDEO, columns=2, zoom=1).shape == (5, 2 * 14, 2 * 12, 3)


def test_an_overlay_is_white_where_both_agree():
    truth, guess = np.array([[[1.0, 1.0, 0.0, 0.0]]]), np.array([[[1.0, 0.0, 1.0, 0.0]]])
    both, only_truth, only_guess, none = plotting.overlay(truth, guess)[0, 0]
    assert tuple(both) == (255, 255, 255)
    assert tuple(only_truth) == (86, 180, 233)
    assert tuple(only_guess) == (230, 159, 0)
    assert tuple(none) == (0, 0, 0)


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_videos_can_be_read_back(tmp_path, ending):
    frames = np.zeros((6, 33, 31, 3), np.uint8)
    frames[:, :, :15] = 255
    path = tmp_path / f"video.{ending}"
    plotting.save_video(path, frames)
    found = np.stack(list(imageio.mimread(path)))[..., :3]
    assert len(found) == 6 or ending == "gif"  # GIF joins equal frames
    assert found[0, 10, 5].min() > 200
    assert found[0, 10, 25].max() < 60
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_unknown_video_format_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"path: expected a name that ends in .mp4 or .gif, got 'a.avi'"
    ):
        plotting.save_video(tmp_path / "a.avi", np.zeros((1, 4, 4), np.uint8))


def test_figures_show_the_given_numbers(tmp_path):
    alpha = np.random.default_rng(1).dirichlet(np.ones(3), size=(2, 5))
    figure = plotting.alpha_over_time(alpha, title="t", missing=MISSING[:2])
    assert len(figure.axes) == 2
    np.testing.assert_array_equal(figure.axes[1].lines[2].get_ydata(), alpha[1, :, 2])
    codes = np.random.default_rng(2).normal(size=(3, 4, 5, 2))
    figure = plotting.trajectories(codes[0], codes[1], codes[2], missing=np.ones((4, 5)), title="t")
    np.testing.assert_array_equal(figure.axes[3].lines[1].get_xdata(), codes[1, 3, :, 0])
    one = plotting.trajectories(
        *(codes[i, ..., :1] for i in range(3)), missing=np.ones((4, 5)), title="t"
    )
    np.testing.assert_array_equal(one.axes[0].lines[2].get_ydata(), codes[2, 0, :, 0])
    lines = [{"epoch": 0, "a": 1.0}, {"epoch": 1, "a": 2.0, "b": 3.0}]
    figure = plotting.metric_curves(lines, {"panel": ("a", "b")}, title="t")
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), [[1, 1], [2, 2]])
    np.testing.assert_array_equal(figure.axes[0].lines[1].get_xydata(), [[2, 3]])
    low, high = figure.axes[0].get_ylim()
    assert low < 1 and high > 3  # of few values none is outside
    curve = {
        "ours": {"o": ([1, 2], [3, 4])},
        "published": {"p": ([1], [2])},
        "baseline": {"b": ([1, 2], [5, 5])},
    }
    figure = plotting.published_curves({"x": curve}, y_label="y", title="t")
    assert [line.get_label() for line in figure.axes[0].lines] == ["o", "p", "b"]
    plotting.save_figure(tmp_path / "f.png", figure)
    plotting.save_figure(
        tmp_path / "s.png", plotting.film_strips({"a": VIDEO[0]}, title="t", missing=MISSING[0])
    )
    assert imageio.imread(tmp_path / "s.png").std() > 0
