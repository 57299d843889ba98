"""Figures and videos from arrays. Only this package imports Matplotlib; the colours are Okabe and
Ito's.
"""

from seqvae.plotting.curves import metric_curves, published_curves
from seqvae.plotting.frames import as_pixels, contact_sheet, film_strips
from seqvae.plotting.latents import alpha_over_time, trajectories
from seqvae.plotting.saving import Figure, png_bytes, save_figure, save_video
from seqvae.plotting.series import (
    ethogram,
    filled_series,
    overlaid,
    scatter,
    stacked_shares,
    steps,
    tree,
    usage_and_transitions,
    windows,
)
from seqvae.plotting.skeletons import skeleton_movie, skeleton_paths
from seqvae.plotting.videos import (
    code_planes,
    labelled_columns,
    labelled_rows,
    overlay,
    tile_videos,
)

__all__ = [
    "Figure",
    "alpha_over_time",
    "as_pixels",
    "code_planes",
    "contact_sheet",
    "ethogram",
    "filled_series",
    "film_strips",
    "labelled_columns",
    "labelled_rows",
    "metric_curves",
    "overlaid",
    "overlay",
    "png_bytes",
    "published_curves",
    "save_figure",
    "save_video",
    "scatter",
    "skeleton_movie",
    "skeleton_paths",
    "stacked_shares",
    "steps",
    "tile_videos",
    "trajectories",
    "tree",
    "usage_and_transitions",
    "windows",
]
