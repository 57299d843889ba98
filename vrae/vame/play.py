"""VAME's view of `seqvae play`: motifs as moving skeletons, with their cards and neighbours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqvae.commands import saved_config
from seqvae.files import NPZ_ERRORS, reason
from seqvae.play.messages import rounded, whole
from seqvae.play.views import NoModelError
from seqvae.presets import card_of, packaged_presets
from vrae.vame.cards.bouts import all_bouts, edges_of, of_frames, seen_from_the_onset, shown_bouts
from vrae.vame.cards.measures import fps_of, measure
from vrae.vame.cards.report import references_of
from vrae.vame.config import Config, read_config
from vrae.vame.data import Statistics
from vrae.vame.motifs import segment
from vrae.vame.project import embed
from vrae.vame.rnn_model import RNN_VAE
from vrae.vame.session_files import as_it_is
from vrae.vame.sessions import Session, load_session
from vrae.vame.simulation import simulate_poses

READS_DATA = False
_PRESET = "poses"
_SESSIONS, _FRAMES, _MOTIFS = 2, 2000, 5  # of the simulated animal of the preset
_FIRST = 9  # of its sessions, which the preset was not trained on
_FPS = 30.0  # of skeletons whose frames per second are unknown


def recognises(folder: Path) -> bool:
    """Whether a folder is a VAME project.

    Args:
        folder: the folder.

    Returns:
        Whether it has a config.yaml, or the settings of the command `vame`.
    """
    path = folder / "config.json"
    if (folder / "config.yaml").is_file():
        return True
    return path.is_file() and {"time_window", "n_clusters"} <= set(saved_config(path))


def open_view(folder: Path | None, data: str, seed: int) -> "MotifView":
    """Read the motifs of a project, or find those of a simulated animal.

    Args:
        folder: of the project; None: the model of simulated poses that ships.
        data: "".
        seed: seed of the choice of bouts.

    Returns:
        The view.

    Raises:
        NoModelError: nothing ships.
        ValueError: the run is not finished or damaged, or its keypoints are unknown.
    """
    del data
    found = _of_preset(seed) if folder is None else _of_project(folder)
    return MotifView(found, seed=seed, name=str(folder or f"the preset {_PRESET}"))


class Found(NamedTuple):
    """What is known of the motifs of some sessions."""

    sessions: Mapping[str, Session]
    """Sessions with poses."""
    codes: Mapping[str, np.ndarray]
    """[n, zdims], the codes of windows by session."""
    windows: Mapping[str, np.ndarray]
    """[n], the motifs of windows by session."""
    settings: Config
    """The config."""


def _of_project(folder: Path) -> Found:
    again = (
        f"Resume the run: seqvae vame --log_dir={folder.parent} "
        f"--run_name={folder.name.removesuffix('_vame')} --resume."
    )
    if not (folder / "config.yaml").is_file():
        raise ValueError(f"{folder}: no config.yaml, the run has not begun to train. {again}")
    settings = read_config(folder / "config.yaml")
    paths = sorted((folder / "results").glob("*.npz"))
    paths = [path for path in paths if path.name != "segmenter.npz"]
    arrays = {path.stem: _arrays(path) for path in paths}
    if not arrays or any("motifs" not in each for each in arrays.values()):
        raise ValueError(f"{folder}: no motifs in results/, the run has not ended. {again}")
    tracked = folder / "data" / "processed"
    if not all((tracked / f"{name}.npz").is_file() for name in arrays):
        raise ValueError(
            f"{folder}: no poses in data/processed/. Sessions of features whose keypoints are not "
            "known cannot be drawn as skeletons."
        )
    return Found(
        {name: load_session(tracked / f"{name}.npz") for name in arrays},
        {name: each["latent_vectors"] for name, each in arrays.items()},
        {name: each["motifs"] for name, each in arrays.items()},
        settings,
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ("latent_vectors", "motifs") if name in file.files}
    except NPZ_ERRORS as error:
        raise ValueError(
            f"{path}: damaged ({reason(error)}). Resume the run: it is made again."
        ) from error


def _of_preset(seed: int) -> Found:
    folder = packaged_presets(RNN_VAE).get(_PRESET)
    if folder is None:
        raise NoModelError(
            "No model of motifs ships with this version. Make one: `seqvae vame --preset=demo "
            "--run_name=mine`, then `seqvae play logs/mine_vame`."
        )
    model: Any = RNN_VAE.from_preset(_PRESET)
    config, statistics = model.get_config(), Statistics(**card_of(folder)[0]["statistics"])
    settings = Config(
        time_window=config["TEMPORAL_WINDOW"] // 2,
        zdims=config["ZDIMS"],
        num_features=config["NUM_FEATURES"],
        prediction_steps=1,  # of a decoder that is not used
    )
    made = simulate_poses(_SESSIONS, _FRAMES, seed=0, first=_FIRST)  # the motifs of its training
    sessions = {name: as_it_is(one.positions) for name, one in made.items()}
    codes = {n: embed(model, statistics, settings, s.values) for n, s in sessions.items()}
    _, windows = segment(
        codes, _MOTIFS, algorithm="hmm", seed=seed, time_window=settings.time_window
    )
    return Found(sessions, codes, windows, settings)


class MotifView:
    """Motifs of sessions. It has no state: the page says which motif is shown.

    Args:
        found: the motifs.
        seed: seed of the choice of bouts.
        name: of the project, for the page.

    Raises:
        ValueError: no frame has a motif, or files of the project do not fit together.
    """

    def __init__(self, found: Found, *, seed: int, name: str):
        self._found, self._seed, self._name = found, seed, name
        window = found.settings.time_window
        labels = {
            one: of_frames(found.windows[one], session.values.shape[1], window)
            for one, session in found.sessions.items()
        }
        self._bouts = all_bouts(labels)
        if not self._bouts:
            raise ValueError(f"{name}: no frame has a motif: there is nothing to show.")
        self._references = references_of(found.settings)
        measures = measure(
            found.sessions, labels, self._bouts, found.codes, found.windows, self._references
        )
        self._measures = {one.motif: one for one in measures}
        self._fps = fps_of(found.sessions)
        pose = next(iter(found.sessions.values())).pose
        assert pose is not None
        self._keypoints, self._edges = pose.keypoints, edges_of(pose)

    def about(self) -> dict[str, Any]:
        """What the page needs to build the view."""
        return {
            "name": self._name,
            "sessions": len(self._found.sessions),
            "motifs": [
                {"motif": motif, "share": one.share} for motif, one in self._measures.items()
            ],
            "keypoints": list(self._keypoints),
            "edges": [list(map(int, edge)) for edge in self._edges],
            "fps": min(self._fps or _FPS, _FPS),
        }

    def session(self) -> "MotifView":
        """The view itself, which has no state."""
        return self

    def warm_up(self) -> None:
        """Answer once."""
        self.answer({"motif": next(iter(self._measures))})

    def answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Show a motif.

        Args:
            message: `motif`, its number.

        Returns:
            Positions of its bouts, its card and its neighbours.

        Raises:
            ValueError: there is no such motif.
        """
        motif = whole(message, "motif", max(self._measures) + 1)
        if motif not in self._measures:
            raise ValueError(f"motif: expected one that occurs, got {motif}.")
        one = self._measures[motif]
        return {
            "motif": motif,
            "bouts": self._panels(motif),
            "card": self._card(motif),
            "nearest": one.nearest,
            "before": one.before,
            "after": one.after,
        }

    def _panels(self, motif: int) -> list[dict[str, Any]]:
        """Positions of bouts [T, K, 2] from some frames before their onset, and when they last."""
        sessions = self._found.sessions
        panels = []
        for bout, first, last in shown_bouts(sessions, self._bouts, motif, seed=self._seed):
            session = sessions[bout.session]
            points = seen_from_the_onset(session, bout, self._references, first, last)
            when = f"{bout.start / self._fps:.1f} s" if self._fps else f"frame {bout.start}"
            panels.append(
                {
                    "name": f"{bout.session}, {when}",
                    "points": rounded(points),
                    "from": bout.start - first,
                    "to": bout.stop - first,
                }
            )
        return panels

    def _card(self, motif: int) -> list[tuple[str, str]]:
        one, fps = self._measures[motif], self._fps
        unit = "s" if fps else "frame"
        apart = ", ".join(f"{name} ({value:+.2g})" for name, value in one.features)
        rows = [
            ("share of the labelled frames", f"{one.share:.1%}"),
            ("bouts", str(one.bouts)),
            ("bouts a minute" if fps else "bouts in 1000 frames", f"{one.rate:.3g}"),
            ("median duration", f"{one.duration:.3g} {unit if fps else 'frames'}"),
        ]
        if one.speed is not None:
            rows.append(("speed of the body", f"{one.speed:.3g} pixels/{unit}"))
        if one.turning is not None:
            rows.append(("turning", f"{one.turning:.3g} degrees/{unit}"))
        rows.append(("what sets it apart (standard deviations)", apart or "–"))
        return rows
