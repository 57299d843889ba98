"""Pictures of motifs: movies, and a report with a card for each motif."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA

from seqvae import plotting
from seqvae.report import Section, Table
from vrae.vame.cards.bouts import Bout, edges_of, seen_from_the_onset, shown_bouts
from vrae.vame.cards.groups import compare_groups, of_sessions
from vrae.vame.cards.measures import (
    Measures,
    community_tree,
    fps_of,
    mean_poses,
    moves_of,
    poses_of_features,
)
from vrae.vame.config import Config
from vrae.vame.sessions import Session

MAPS = ("pca", "umap")
"""How codes are shown in two dimensions."""


def references_of(settings: Config) -> tuple[str, str] | None:
    """Find the reference keypoints of a config's alignment.

    Args:
        settings: the config.

    Returns:
        The keypoints; None without alignment.
    """
    centre, ahead = settings.references.values()
    return (centre, ahead) if settings.aligns and centre and ahead else None


def motif_movie(
    sessions: Mapping[str, Session],
    found: Sequence[Bout],
    motif: int,
    *,
    references: tuple[str, str] | None = None,
    longest: int = 90,
    seed: int = 0,
) -> np.ndarray:
    """Draw bouts of a motif as moving skeletons.

    Each panel starts some frames before its bout and ends some after it; its border is coloured
    during the bout. Positions are those of `seen_from_the_onset`.

    Args:
        sessions: the sessions by name.
        found: the bouts.
        motif: the motif.
        references: the reference keypoints of the alignment, or None.
        longest: the largest number of frames of a bout.
        seed: seed of the choice of bouts.

    Returns:
        [T, height, width, 3] uint8.

    Raises:
        ValueError: the motif has no bout.
    """
    shown = shown_bouts(sessions, found, motif, longest=longest, seed=seed)
    if not shown:
        raise ValueError(f"motif: expected one that has a bout, got {motif!r}.")
    sequences, inside, names = [], [], []
    for bout, first, last in shown:
        session = sessions[bout.session]
        sequences.append(seen_from_the_onset(session, bout, references, first, last))
        inside.append((np.arange(first, last) >= bout.start) & (np.arange(first, last) < bout.stop))
        names.append(f"{bout.session}, {_time(bout.start, session)}")
    pose = sessions[shown[0].bout.session].pose
    assert pose is not None
    return plotting.skeleton_movie(sequences, edges_of(pose), inside=inside, names=names)


def write_motif_movies(
    folder: Path,
    sessions: Mapping[str, Session],
    found: Sequence[Bout],
    settings: Config,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Write `motif_<number>.mp4` and `.gif` of every motif with a bout.

    Sessions without keypoints are left out.

    Args:
        folder: the folder to write to.
        sessions: the sessions by name.
        found: the bouts.
        settings: the config.
        progress: called with a line about what is being drawn.

    Returns:
        The paths of the mp4 files.
    """
    tracked = {name: session for name, session in sessions.items() if session.pose is not None}
    found, written = [bout for bout in found if bout.session in tracked], []
    motifs = sorted({bout.motif for bout in found})
    for motif in motifs:
        progress(f"movie of motif {motif} of {len(motifs)}")
        frames = motif_movie(
            tracked,
            found,
            motif,
            references=references_of(settings),
            longest=settings.length_of_motif_video,
            seed=settings.project_random_state,
        )
        pose = next(iter(tracked.values())).pose
        fps = round(min(30.0, (pose.fps if pose and pose.fps else 30.0)))
        written.append(folder / f"motif_{motif}.mp4")
        for path in (written[-1], written[-1].with_suffix(".gif")):
            plotting.save_video(path, frames, fps=max(1, fps))
    return written


def _time(frame: int, session: Session) -> str:
    fps = session.pose.fps if session.pose else None
    return f"{frame / fps:.1f} s" if fps else f"frame {frame}"


class Motifs(NamedTuple):
    """The content of a report.

    Attributes:
        sessions: the sessions by name.
        codes: the codes of windows by session.
        window_labels: the motifs of windows by session.
        labels: the motif of every frame by session.
        found: the bouts.
        measures: the measures of each motif.
        groups: the group of each session; None: no groups.
        lines: the lines of the log of the training.
    """

    sessions: Mapping[str, Session]
    codes: Mapping[str, np.ndarray]
    window_labels: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray]
    found: Sequence[Bout]
    measures: Sequence[Measures]
    groups: Mapping[str, str] | None = None
    lines: Sequence[dict] = ()


def sections_of(
    motifs: Motifs,
    settings: Config,
    *,
    decode: Callable[[np.ndarray], np.ndarray] | None = None,
    movies: Path | None = None,
    latent_map: str = "pca",
) -> list[Section]:
    """The sections of `report.html` about motifs, a card of each among them.

    Args:
        motifs: the content.
        settings: the config.
        decode: maps codes [n, zdims] to the features [n, T, F] of their windows; None: not shown.
        movies: the folder of the movies; None: not shown.
        latent_map: of `MAPS`: how codes are shown in two dimensions, see `flat`.

    Returns:
        The sections.
    """
    latent = _map(motifs, latent_map, settings.project_random_state)
    sections = [_overview(motifs), _usage(motifs), _order(motifs), latent]
    if motifs.groups:
        sections.append(_groups(motifs, settings))
    if motifs.lines:
        sections.append(_training(motifs))
    return sections + [_card(motifs, one, decode, movies) for one in motifs.measures]


def _overview(motifs: Motifs) -> Section:
    fps = fps_of(motifs.sessions)
    rate, unit = ("bouts a minute", "s") if fps else ("bouts in 1000 frames", "frames")
    per = "s" if fps else "frame"
    frames = sum(map(len, motifs.labels.values()))
    without = np.mean(np.concatenate(list(motifs.labels.values())) < 0)
    header = [
        "motif",
        "share",
        rate,
        f"median duration, {unit}",
        f"speed, pixels/{per}",
        f"turning, degrees/{per}",
        "distinctive features (standard deviations)",
    ]
    rows = [
        [m.motif, m.share, m.rate, m.duration, m.speed, m.turning, _listed(m.features)]
        for m in motifs.measures
    ]
    return Section(
        "Motifs",
        paragraphs=[
            f"{len(motifs.measures)} motifs in {len(motifs.sessions)} sessions of {frames} frames. "
            f"{without:.1%} of the frames have no motif.",
        ],
        table=Table(header, rows),
    )


def _usage(motifs: Motifs) -> Section:
    names = [str(m.motif) for m in motifs.measures]
    rows = {}
    for session, labels in motifs.labels.items():
        counts = np.array([np.sum(labels == m.motif) for m in motifs.measures], float)
        rows[session] = counts / max(1.0, counts.sum())
    figure = plotting.stacked_shares(rows, names, title="Usage of motifs in each session")
    return Section("Usage", figures=[("Share of each motif in each session", figure)])


def _order(motifs: Motifs) -> Section:
    numbers = [m.motif for m in motifs.measures]
    moves = moves_of(motifs.found, numbers)
    total = moves.sum(axis=1, keepdims=True)
    shares = np.divide(moves, total, out=np.zeros_like(moves), where=total > 0)
    windows = np.concatenate(list(motifs.window_labels.values()))
    usage = np.array([np.sum(windows == number) for number in numbers])
    figures = [("Usage, and what follows a motif", plotting.usage_and_transitions(usage, shares))]
    if len(numbers) > 2:
        names = [f"motif {number}" for number in numbers]
        figure = plotting.tree(
            community_tree(shares),
            names,
            title="Motifs that follow each other, merged",
            x_label="1 less the mean transition probability of the two sides",
        )
        figures.append(("Communities: motifs that merge early often follow each other", figure))
    return Section("What follows what", figures=figures)


def check_map(latent_map: str) -> None:
    """Check the name of a map of the codes, and that the package it needs is installed.

    Args:
        latent_map: one of `MAPS`.

    Raises:
        ValueError: the name is none of `MAPS`.
        ImportError: the package is not installed.
    """
    if latent_map not in MAPS:
        raise ValueError(f"latent_map: expected one of {', '.join(MAPS)}, got {latent_map!r}.")
    if latent_map == "umap":
        try:
            import umap  # noqa: F401 # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError(
                "latent_map: umap needs the package umap-learn. Install the extra: pip install "
                "'seqvae[umap]', or use pca."
            ) from error


def flat(codes: np.ndarray, latent_map: str, seed: int) -> np.ndarray:
    """Map codes to two dimensions.

    Args:
        codes: [n, zdims].
        latent_map: "pca", or "umap" (McInnes et al. 2018) with VAME's min_dist of 0.1 and up to
            200 neighbours.
        seed: seed of the map. "pca" draws numbers for large `zdims` only.

    Returns:
        [n, 2]. Codes of one dimension get a second one of zeros.

    Raises:
        ValueError: the name is none of `MAPS`.
        ImportError: the package is not installed.
    """
    check_map(latent_map)
    padded = np.pad(codes, [(0, 0), (0, max(0, 2 - codes.shape[1]))])
    if latent_map == "pca":
        return PCA(2, random_state=seed).fit_transform(padded)
    import umap  # pyright: ignore[reportMissingImports]

    neighbours = min(200, len(padded) - 1)
    projection = umap.UMAP(n_components=2, min_dist=0.1, n_neighbors=neighbours, random_state=seed)
    return np.asarray(projection.fit_transform(padded))


def _map(motifs: Motifs, latent_map: str, seed: int) -> Section:
    labels = np.concatenate([motifs.window_labels[name] for name in motifs.codes])
    codes = np.concatenate(list(motifs.codes.values()))
    shown = np.flatnonzero(labels >= 0)
    shown = shown[:: max(1, len(shown) // 4000)]
    points = flat(codes[shown], latent_map, seed)
    figure = plotting.scatter(points, {"motif": labels[shown]}, title="Codes of windows")
    caption = "UMAP" if latent_map == "umap" else "First two principal components"
    return Section("Map of the codes", figures=[(caption, figure)])


def _training(motifs: Motifs) -> Section:
    panels = {"squared error of a batch": ("train_mse", "test_mse"), "KL": ("train_kl",)}
    figure = plotting.metric_curves(list(motifs.lines), panels, title="Training")
    return Section("Training", figures=[("Errors over epochs", figure)])


def _groups(motifs: Motifs, settings: Config) -> Section:
    groups = motifs.groups or {}
    rows = of_sessions(
        motifs.labels, motifs.found, [m.motif for m in motifs.measures], fps_of(motifs.sessions)
    )
    compared = compare_groups(rows, motifs.found, groups, seed=settings.project_random_state)
    names = list(compared[0].means)
    table = Table(
        ["measure", "motif", *(f"mean of {name}" for name in names), "p", "corrected p"],
        [
            [c.measure, c.motif, *c.means.values(), c.p, c.corrected]
            for c in compared
            if c.measure != "transition" or c.corrected < 0.05
        ],
    )
    counts = ", ".join(f"{name}: {list(groups.values()).count(name)}" for name in names)
    return Section(
        "Groups of sessions",
        paragraphs=[
            f"Sessions of each group: {counts}. p: permutation test, a session is one observation. "
            "Corrected p: Benjamini and Hochberg, over the motifs of a measure. Of transitions "
            "those with a corrected p below 0.05 are shown; comparisons.csv has all.",
        ],
        table=table,
    )


def _card(motifs: Motifs, one: Measures, decode, movies: Path | None) -> Section:
    fps = fps_of(motifs.sessions)
    unit = "s" if fps else "frames"
    rows = [
        ["share of the labelled frames", one.share],
        ["bouts", one.bouts],
        ["bouts a minute" if fps else "bouts in 1000 frames", one.rate],
        [f"median duration, {unit}", one.duration],
        [f"speed of the body, pixels/{'s' if fps else 'frame'}", one.speed],
        [f"turning, degrees/{'s' if fps else 'frame'}", one.turning],
        ["distinctive features (standard deviations)", _listed(one.features)],
        ["nearest motifs (distance)", _listed(one.nearest)],
        ["comes after (share)", _listed(one.before)],
        ["is followed by (share)", _listed(one.after)],
    ]
    captions = {
        "": "Real bouts; the border is blue while the motif lasts",
        "_video": "The same in the video",
    }
    shown = [
        (caption, movies / f"motif_{one.motif}{kind}.mp4")
        for kind, caption in captions.items()
        if movies
    ]
    return Section(
        f"Motif {one.motif}",
        table=Table(["measure", "value"], rows),
        figures=_poses(motifs, one.motif, decode),
        movies=[(caption, path) for caption, path in shown if path.exists()],
    )


def _poses(motifs: Motifs, motif: int, decode) -> list:
    """The mean course of a motif, and the decoded mean code of the motif."""
    tracked = {name: s for name, s in motifs.sessions.items() if s.pose is not None}
    found = [bout for bout in motifs.found if bout.session in tracked]
    if not any(bout.motif == motif for bout in found):
        return []
    session = next(iter(tracked.values()))
    pose = session.pose
    assert pose is not None
    shown = {"mean of the bouts": mean_poses(tracked, found, motif)}
    if decode is not None:
        own = [motifs.codes[name][motifs.window_labels[name] == motif] for name in motifs.codes]
        window = decode(np.concatenate(own).mean(axis=0, keepdims=True))[0]
        steps = np.linspace(0, len(window) - 1, min(6, len(window))).round().astype(int)
        shown["decoded mean code"] = poses_of_features(window[steps], session.features, pose)
    figure = plotting.skeleton_paths(shown, edges_of(pose), pose.keypoints)
    return [("Course of the motif: light is early, dark is late", figure)]


def _listed(pairs: Sequence[tuple]) -> str:
    return ", ".join(f"{name} ({value:.2g})" for name, value in pairs) or "–"
