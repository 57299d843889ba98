"""Results of a run: codes, motifs and behaviours of every session, saved as soon as they are
computed.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from seqvae.data import save
from seqvae.files import NPZ_ERRORS
from vrae.vame.command_config import VAMESettings
from vrae.vame.motifs import behaviours, communities, segment
from vrae.vame.project import embed, observed_share
from vrae.vame.training import load_best, model_file


class Results:
    """A folder with `segmenter.npz` and a `<session>.npz` for each session.

    A session's file contains for each window: latent_vectors [n, zdims], observed [n] (the share of
    observed values), motifs [n], behaviours [n] (-1: none).

    Args:
        folder: the folder.
        progress: called with a line about what is being computed.
    """

    def __init__(self, folder: Path, progress: Callable[[str], None] = print):
        self._folder, self._progress = folder, progress
        self._arrays: dict[str, dict[str, np.ndarray]] = {}

    def embedded(
        self, project: str, sessions: Mapping[str, np.ndarray], min_observed: float
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Compute the codes of sessions, or read those saved for the same model and session.

        Args:
            project: path of the config.yaml.
            sessions: [features, frames] by name.
            min_observed: the smallest share of observed values for a motif.

        Returns:
            Codes by session, and which windows have enough observed values for a motif.
        """
        model, statistics, config = load_best(project)
        made_by, found = model_file(config).read_bytes() + repr(statistics).encode(), {}
        for name, session in sessions.items():
            source = np.array(
                hashlib.sha256(made_by + np.ascontiguousarray(session).tobytes()).hexdigest()
            )
            codes = self._saved_codes(name, source)
            if codes is None:
                codes = embed(
                    model, statistics, config, session, self._counted(name, session.shape[1])
                )
            share = observed_share(session, config.time_window)
            self._arrays[name] = {
                "latent_vectors": codes,
                "observed": share.astype(np.float32),
                "source": source,
            }
            self._save(name)
            found[name] = codes
        return found, {name: self._arrays[name]["observed"] >= min_observed for name in sessions}

    def labels(self, kind: str) -> dict[str, np.ndarray]:
        """Labels of windows by session, after `segmented`.

        Args:
            kind: "motifs" or "behaviours".

        Returns:
            [n] by session.
        """
        return {name: arrays[kind] for name, arrays in self._arrays.items()}

    def segmented(
        self, codes: Mapping[str, np.ndarray], observed: Mapping[str, np.ndarray], s: VAMESettings
    ) -> dict:
        """Find motifs and behaviours, and save them.

        Args:
            codes: [n, zdims] by session.
            observed: [n] bool by session.
            s: the settings.

        Returns:
            The behaviour of every window by session; the motif if no behaviours are asked for.
        """
        segmenter, motifs = _motifs(codes, observed, s, self._progress)
        segmenter.save(self._folder / "segmenter.npz")
        self._add("motifs", motifs)
        left_out = 1 - np.mean(np.concatenate(list(observed.values())))
        if left_out:
            print(
                f"{left_out:.1%} of the windows have no motif: less than {s.min_observed:.0%} of "
                "their values was observed"
            )
        found = _behaviours(motifs, s)
        self._add("behaviours", found)
        return found

    def _saved_codes(self, name: str, source: np.ndarray) -> np.ndarray | None:
        try:
            with np.load(self._folder / f"{name}.npz", allow_pickle=False) as file:
                return file["latent_vectors"] if file["source"] == source else None
        except (FileNotFoundError, *NPZ_ERRORS):
            return None

    def _counted(self, name: str, frames: int) -> Callable[[int], None]:
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            self._progress(f"embedding {name}: {done} of {frames} frames")

        return count

    def _add(self, kind: str, labels: Mapping[str, np.ndarray]) -> None:
        for name, found in labels.items():
            self._arrays[name][kind] = found
            self._save(name)

    def _save(self, name: str) -> None:
        save(self._folder / f"{name}.npz", self._arrays[name])


def labelled(
    codes: Mapping[str, np.ndarray],
    observed: Mapping[str, np.ndarray],
    s: VAMESettings,
    progress: Callable[[str], None],
) -> dict[str, np.ndarray]:
    """Find the behaviours (or motifs) of codes without saving them.

    Args:
        codes: [n, zdims] by session.
        observed: [n] bool by session.
        s: the settings.
        progress: called with a line about what is being computed.

    Returns:
        [n] by session.
    """
    return _behaviours(_motifs(codes, observed, s, progress)[1], s)


def _motifs(codes, observed, s: VAMESettings, progress):
    return segment(
        codes,
        s.n_clusters,
        algorithm=s.segmentation,
        seed=s.seed,
        observed=observed,
        n_init_kmeans=s.n_init_kmeans,
        hmm_n_iter=s.hmm_n_iter,
        hmm_min_duration=s.hmm_min_duration,
        time_window=s.time_window,
        progress=progress,
    )


def _behaviours(motifs: Mapping[str, np.ndarray], s: VAMESettings) -> dict[str, np.ndarray]:
    if not s.n_communities:
        return dict(motifs)
    joined = communities(motifs.values(), s.n_clusters, s.n_communities, seed=s.seed)
    return {name: behaviours(labels, joined) for name, labels in motifs.items()}
