"""Skeletons: what is drawn where, pixel by pixel."""

import numpy as np
import pytest

from seqvae import plotting

RNG = np.random.default_rng(0)


def near(frame, colour, tolerance=40):
    """Where pixels have about a colour: rows and columns."""
    return np.argwhere(np.abs(frame.astype(int) - colour).max(axis=-1) <= tolerance)


BLUE, ORANGE = (0, 114, 178), (230, 159, 0)


def test_keypoints_are_where_the_positions_are_and_a_line_joins_them():
    points = np.array([[[0.0, 0.0], [10.0, 5.0]]] * 3)
    frames = plotting.skeleton_movie([points], [(0, 1)], inside=[np.zeros(3, bool)], size=100)
    assert frames.shape == (3, 100, 100, 3) and frames.dtype == np.uint8
    first, second = (near(frames[0], colour).mean(axis=0) for colour in (BLUE, ORANGE))
    assert second[1] - first[1] > 60 and second[0] > first[0]  # to the right, and y grows downwards
    np.testing.assert_allclose((first + second) / 2, [49.5, 49.5], atol=2)
    middle = frames[0][tuple(((first + second) / 2).astype(int))]
    assert middle.max() < 160  # the line
    without = plotting.skeleton_movie([points], [], inside=[np.zeros(3, bool)], size=100)
    assert without[0][tuple(((first + second) / 2).astype(int))].min() == 255


def test_panels_have_their_places_borders_and_ends():
    still = np.array([[[0.0, 0.0], [10.0, 5.0]]] * 6)
    inside = [np.array([False, True, True, False, False, False]), np.ones(2, bool)]
    frames = plotting.skeleton_movie(
        [still, still[:2]], [(0, 1)], inside=inside, size=80, columns=3, names=("a", "b")
    )
    assert frames.shape == (6, 80, 160, 3)
    left = [tuple(frame[40, 1]) == BLUE for frame in frames]
    right = [tuple(frame[40, 159]) == BLUE for frame in frames]
    assert left == [False, True, True, False, False, False]
    assert right == [True, True, False, False, False, False]
    assert not len(near(frames[3][:, 84:156], ORANGE)) and len(near(frames[3][:, :76], ORANGE))
    many = plotting.skeleton_movie([still] * 4, [], inside=[inside[0]] * 4, size=40, columns=3)
    assert many.shape == (6, 80, 120, 3) and (many[0, 45:, 45:] == 255).all()


def test_a_keypoint_leaves_a_trail_and_one_that_is_missing_is_not_drawn():
    time = np.arange(20.0)
    moving = np.stack([np.stack([time, 0 * time], 1), np.stack([0 * time, 9 + 0 * time], 1)], 1)
    moving[15, 1] = np.nan
    frames = plotting.skeleton_movie(
        [moving], [(0, 1)], inside=[np.ones(20, bool)], size=120, trail=5
    )
    dot = near(frames[15][6:-6, 6:-6], BLUE).mean(axis=0).astype(int) + 6
    step = 120 / 19 * 0.8
    behind = frames[15][dot[0] - 1 : dot[0] + 2, int(dot[1] - 2 * step)]
    assert behind.min() < 240  # two frames ago
    long_ago = frames[15][dot[0] - 1 : dot[0] + 2, int(dot[1] - 9 * step)]
    assert long_ago.min() == 255
    assert not len(near(frames[15][6:-6, 6:-6], ORANGE)) and len(near(frames[14], ORANGE))


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="sequences: expected at least one, got none"):
        plotting.skeleton_movie([], [], inside=[])
    empty = plotting.skeleton_movie(
        [np.full((2, 3, 2), np.nan)], [(0, 1)], inside=[np.ones(2, bool)], size=30
    )
    assert (empty[:, 5:-5, 5:-5] == 255).mean() > 0.95


def test_courses_and_trees_and_shares_show_the_given_numbers():
    poses = RNG.standard_normal((3, 4, 2))
    figure = plotting.skeleton_paths({"a": poses, "b": poses}, [(0, 1), (2, 3)], "wxyz")
    axis = figure.axes[0]
    np.testing.assert_array_equal(axis.collections[2].get_segments()[1], poses[2, [2, 3]])
    np.testing.assert_array_equal(axis.collections[3].get_offsets(), poses[:, 0])
    assert axis.yaxis_inverted() and axis.get_title() == "a"
    assert [text.get_text() for text in figure.legends[0].texts] == list("wxyz")
    merges = np.array([[0.0, 2.0, 0.3, 2.0], [1.0, 3.0, 0.8, 3.0]])
    tree = plotting.tree(merges, ["p", "q", "r"], title="t", x_label="height")
    heights = {x for line in tree.axes[0].collections for s in line.get_segments() for x in s[:, 0]}
    assert heights == {0.0, 0.3, 0.8}
    rows = {"s": np.array([0.25, 0.75]), "t": np.array([1.0, 0.0])}
    bars = plotting.stacked_shares(rows, ["m", "n"], title="t").axes[0].patches
    assert [bar.get_width() for bar in bars] == [0.25, 1.0, 0.75, 0.0]
    assert [bar.get_x() for bar in bars] == [0.0, 0.0, 0.25, 1.0]
