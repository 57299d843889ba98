"""The description of a run's motifs: tables, movies and a report."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from seqvae.report import Section
from vrae.vame.cards import clips, report
from vrae.vame.cards.bouts import all_bouts, of_frames
from vrae.vame.cards.exports import write_bouts, write_comparisons, write_frames, write_sessions
from vrae.vame.cards.groups import compare_groups, of_sessions
from vrae.vame.cards.measures import fps_of, measure
from vrae.vame.data import Statistics
from vrae.vame.result_files import Results
from vrae.vame.rnn_model import RNN_VAE
from vrae.vame.sessions import Session
from vrae.vame.training import load_best


def describe(
    folder: Path,
    sessions: Mapping[str, Session],
    codes: Mapping[str, np.ndarray],
    results: Results,
    groups: Mapping[str, str] | None = None,
    movies: bool = True,
    lines: Sequence[dict] = (),
    videos: Mapping[str, Path] | None = None,
    latent_map: str = "pca",
) -> Callable[[], list[Section]]:
    """Describe a project's motifs in files.

    `results/frames/<session>.csv`, `results/bouts.csv`, `results/sessions.csv`, with groups
    `results/comparisons.csv`; `movies/`.

    Args:
        folder: the project's folder.
        sessions: the sessions by name.
        codes: [n, zdims] by session.
        results: the motifs and behaviours.
        groups: the group of each session; None: no groups.
        movies: whether movies are made.
        lines: the lines of the log of the training.
        videos: the video of each session, from which bouts are cut; None: no videos.
        latent_map: how codes are shown in two dimensions, see `report.flat`.

    Returns:
        A function that makes the sections of `report.html` about motifs.
    """
    model, statistics, settings = load_best(folder / "config.yaml")
    windows = results.labels("motifs")
    labels = {
        kind: {
            name: of_frames(of[name], session.values.shape[1], settings.time_window)
            for name, session in sessions.items()
        }
        for kind, of in (("motif", windows), ("behaviour", results.labels("behaviours")))
    }
    found, fps = all_bouts(labels["motif"]), fps_of(sessions)
    if not found:
        print("no frame has a motif: nothing is described")
        return list
    out = folder / "results"
    write_frames(out / "frames", labels, fps)
    write_bouts(out / "bouts.csv", found, fps)
    rows = of_sessions(labels["motif"], found, sorted({bout.motif for bout in found}), fps)
    write_sessions(out / "sessions.csv", rows, groups)
    if groups:
        seed = settings.project_random_state
        write_comparisons(out / "comparisons.csv", compare_groups(rows, found, groups, seed=seed))
    tracked = any(session.pose for session in sessions.values())
    if movies and tracked:
        report.write_motif_movies(folder / "movies", sessions, found, settings, print)
    elif movies:
        print("no movies: the sessions are arrays, whose keypoints are not known")
    if movies and videos:
        clips.write_motif_clips(folder / "movies", videos, sessions, found, settings, print)
    references = report.references_of(settings)
    measures = measure(sessions, labels["motif"], found, codes, windows, references)
    about = report.Motifs(sessions, codes, windows, labels["motif"], found, measures, groups, lines)
    decode = decoder_of(model, statistics)
    return lambda: report.sections_of(
        about, settings, decode=decode, movies=folder / "movies", latent_map=latent_map
    )


def decoder_of(model: RNN_VAE, statistics: Statistics) -> Callable[[np.ndarray], np.ndarray]:
    """Make the function from codes to the features of their windows.

    Codes are decoded one by one, because a batch may be mixed (`batch_mixing`).

    Args:
        model: the model.
        statistics: the statistics of the training data.

    Returns:
        A function from codes [n, zdims] to features [n, T, F].
    """

    def decode(codes: np.ndarray) -> np.ndarray:
        windows = [model.decoder(code[None, None], code[None]).numpy() for code in codes]
        restored = statistics.restore(np.concatenate(windows).transpose(0, 2, 1))
        return restored.transpose(0, 2, 1)

    return decode
