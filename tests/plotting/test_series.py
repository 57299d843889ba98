"""Figures of series, labels and codes show the given numbers."""

import numpy as np

from seqvae import plotting

RNG = np.random.default_rng(0)


def test_windows_paths_and_points():
    truth, made = RNG.standard_normal((2, 7, 5, 3))
    figure = plotting.windows(truth, made, 3, title="t", features=2)
    assert len(figure.axes) == 2 * 5  # features, at most five windows
    np.testing.assert_array_equal(figure.axes[7].lines[1].get_ydata(), made[2, :, 1])
    assert figure.axes[7].patches[0].get_x() == 2.5  # where the window ends
    assert figure.axes[0].get_ylabel() == "feature 0"
    named = plotting.windows(truth, made, 3, title="t", features=2, names=("nose x",))
    assert [named.axes[k].get_ylabel() for k in (0, 5)] == ["nose x", "feature 1"]
    paths = RNG.standard_normal((3, 6, 2))
    figure = plotting.overlaid(
        {"truth": paths, "made": -paths}, title="t", names=("x", "y"), panels=("a", "b", "c")
    )
    np.testing.assert_array_equal(figure.axes[2].lines[1].get_xydata(), -paths[2])
    assert [figure.axes[0].get_ylabel(), figure.axes[1].get_title()] == ["y", "b"]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["truth", "made"]
    wide = plotting.overlaid({"truth": truth[:2]}, title="t", names=("u", "v", "w"))
    assert len(wide.axes) == 6 and wide.axes[4].get_ylabel() == "w"
    np.testing.assert_array_equal(wide.axes[5].lines[0].get_ydata(), truth[1, :, 2])
    points = RNG.standard_normal((7, 2))
    figure = plotting.scatter(points, {"a": np.arange(7), "b": np.zeros(7)}, title="t")
    np.testing.assert_array_equal(figure.axes[1].collections[0].get_offsets(), points)
    classes = np.array(["a", "b", "a", "c", "a", "b", "b"])
    figure = plotting.scatter(points, {"class": classes}, title="t")
    np.testing.assert_array_equal(
        figure.axes[0].collections[1].get_offsets(), points[classes == "b"]
    )
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["a", "b", "c"]


def test_labels_over_time_usage_and_transitions(tmp_path):
    labels = np.array([0, 0, 3, 1])
    figure = plotting.ethogram({"motifs": labels, "truth": labels[::-1]}, title="t")
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), labels[None, ::-1])
    matrix = RNG.random((3, 3))
    figure = plotting.usage_and_transitions(np.array([4, 0, 2]), matrix)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [4, 0, 2]
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), matrix)
    plotting.save_figure(tmp_path / "f.png", figure)
    assert (tmp_path / "f.png").stat().st_size > 1000


def test_steps_show_each_coordinate_after_each_step():
    points = RNG.standard_normal((5, 2, 9))
    holes = points.copy()
    holes[0, :, 3] = np.nan
    figure = plotting.steps({"tracked": points, "confident": holes}, "abcde", title="t")
    assert [axis.get_ylabel() for axis in figure.axes[::2]] == [
        "tracked\n0.0% missing",
        "confident\n2.2% missing",
    ]
    for axis, letter in zip(figure.axes[2:], range(2), strict=True):
        assert len(axis.lines) == 4
        np.testing.assert_array_equal(axis.lines[0].get_ydata(), holes[0, letter])
        np.testing.assert_array_equal(axis.lines[3].get_ydata(), points[4, letter])
    assert [text.get_text() for text in figure.axes[1].get_legend().texts] == ["a", "b", "d", "e"]
