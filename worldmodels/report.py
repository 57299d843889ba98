"""The report of a run: pictures, videos and figures of test episodes."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from seqvae import plotting
from seqvae.data import Shards
from seqvae.data.batches import Batches
from seqvae.data.streams import ShardBatches
from seqvae.files import write_json
from seqvae.report import Section, Table, newest
from seqvae.training import RunLog
from worldmodels.controller import Controller
from worldmodels.conv_vae import ConvVAE
from worldmodels.evaluation import baselines, evaluate_rnn, evaluate_vae, mean_frame_error
from worldmodels.latents import encode
from worldmodels.mdn_rnn import MDNRNN

_SHOWN, _TRAVERSED, _LATENTS = 10, 9, 6
_AT_FLOOR = 1.02  # a KL of fewer times its floor stands at it
_SMALL_ERROR = 0.05  # of the mean frame's
_GOLDEN_RATIO = (5**0.5 - 1) / 2
"""Its multiples, modulo 1, are spread evenly."""


class VAEReport:
    """Pictures and figures of a ConvVAE on test episodes.

    Args:
        vae: the model.
        test: the test episodes.
        folder: the folder to write to.
        seed: seed of the random draws.
    """

    def __init__(self, vae: ConvVAE, test: Shards, folder: str | Path, seed: int):
        self._vae, self._test, self._folder, self._seed = vae, test, Path(folder), seed
        self._frames = _spread(test, 64)

    def pictures(self, epoch: int) -> None:
        """Draw reconstructions, samples and a latent traversal.

        Args:
            epoch: the epoch, counted from 0; it becomes part of the files' names.
        """
        shown = self._frames[:: max(1, len(self._frames) // _SHOWN)][:_SHOWN]
        rows = {"test frames": shown, "reconstructed": self._vae.reconstruct(shown).numpy()}
        self._save(
            f"reconstruction_{epoch + 1:05d}",
            plotting.film_strips(rows, title="Reconstructions of test frames"),
        )
        samples = (
            self._vae.sample(3 * _SHOWN, seed=self._seed)
            .numpy()
            .reshape(3, _SHOWN, *self._vae.image_shape)
        )
        rows = {f"{i + 1}": row for i, row in enumerate(samples)}
        self._save(
            f"samples_{epoch + 1:05d}",
            plotting.film_strips(rows, title="Frames decoded from z ~ N(0, 1)", x_label="draw"),
        )
        self._save(f"traversal_{epoch + 1:05d}", self._traversal(shown[0]))

    def _traversal(self, frame: np.ndarray):
        """A frame's code with one number changed at a time: the numbers whose means vary most over
        the test frames.
        """
        means, _ = encode(self._vae, self._frames)
        code, values = encode(self._vae, frame[None])[0][0], np.linspace(-2.5, 2.5, _TRAVERSED)
        active = np.argsort(-means.var(axis=0))[:_LATENTS]
        rows = {}
        for d in active:
            codes = np.repeat(code[None], _TRAVERSED, axis=0)
            codes[:, d] = values
            rows[f"z[{d}]"] = self._vae.decode(codes).numpy()
        count = int((means.var(axis=0) > 0.01).sum())
        title = f"One dimension of z changed at a time ({count} of {len(code)} are active)"
        return plotting.film_strips(
            rows, title=title, x_label="its value", x_ticks=[f"{v:.1f}" for v in values]
        )

    def training_curves(self, lines: list[dict]) -> None:
        """Draw the training curves.

        Args:
            lines: the lines of the log.
        """
        panels = {
            "loss": ("train_loss", "test_total"),
            "reconstruction": ("train_reconstruction", "test_reconstruction"),
            "KL in the loss": ("train_kl", "test_kl"),
        }
        self._save(
            "training_curves",
            plotting.metric_curves(lines, panels, title="Training of the ConvVAE"),
        )

    def final(self) -> dict:
        """Write `evaluation.json`, the figures over all test frames.

        Returns:
            The figures.
        """
        figures: dict = evaluate_vae(self._vae, self._test, self._seed)
        write_json(self._folder / "evaluation.json", figures)
        figures["baselines"] = {"mean_frame": mean_frame_error(self._test)}
        write_json(self._folder / "evaluation.json", figures)
        return figures

    def summary(self, figures: dict) -> list[str]:
        """Compose the last lines that a run prints.

        Args:
            figures: of `final`.

        Returns:
            The lines.
        """
        height, width, channels = self._vae.image_shape
        error = figures["pixel_mse"]
        return [
            f"{self._test.entries} unseen test frames: squared error "
            f"{error * height * width * channels:.1f} a frame "
            f"({error**0.5 * 255:.1f} of 255 a pixel, root mean square), KL "
            f"{figures['kl_nats']:.1f} nats a frame",
            self._verdict(figures),
            f"look at {self._folder}/: "
            + ", ".join(sorted(path.name for path in self._folder.glob("*.png"))),
        ]

    def _verdict(self, figures: dict) -> str:
        mine, mean = figures["pixel_mse"], figures["baselines"]["mean_frame"]
        if not mine < mean:
            return f"the ConvVAE is WORSE than the mean frame: squared error {mine:.2g}, {mean:.2g}"
        verdict = f"squared error of a pixel: {mine / mean:.1%} of the mean frame's"
        floor = self._vae.kl_tolerance * self._vae.z_size
        if self._vae.architecture == "course" or figures["kl"] > _AT_FLOOR * floor:
            return verdict
        if mine < _SMALL_ERROR * mean:
            return verdict
        return (
            f"{verdict}. The KL stands at its floor of {floor:g} nats: if small things are missing "
            "in the reconstructions, raise --kl_tolerance"
        )

    def sections(self, figures: dict) -> list[Section]:
        """Make the sections of `report.html` from the files of the run.

        Args:
            figures: of `final`.

        Returns:
            The sections.
        """
        verdict = self._verdict(figures)
        mine, mean = figures["pixel_mse"], figures["baselines"]["mean_frame"]
        return [
            Section(
                "Result",
                judgements=[f"{verdict[0].upper()}{verdict[1:]}."],
                paragraphs=[
                    f"{self._test.entries} frames of {len(self._test)} unseen test episodes. KL: "
                    f"{figures['kl_nats']:.1f} nats a frame. The mean frame is that of the test "
                    "episodes themselves."
                ],
                table=Table(
                    ["", "squared error of a pixel in [0, 1]", "root, of 255"],
                    [
                        [name, error, 255 * error**0.5]
                        for name, error in (("ConvVAE", mine), ("mean frame", mean))
                    ],
                ),
                movies=newest(self._folder, ("Test frames", "reconstruction_*.png")),
            ),
            Section(
                "Latent space",
                movies=newest(
                    self._folder,
                    ("Frames of codes drawn from N(0, 1)", "samples_*.png"),
                    ("One number of a code changed at a time", "traversal_*.png"),
                ),
            ),
            Section("Training", movies=newest(self._folder, ("Curves", "training_curves.png"))),
        ]

    def _save(self, name: str, figure) -> None:
        plotting.save_figure(self._folder / f"{name}.png", figure)


class RNNReport:
    """Pictures and figures of an MDN-RNN on test episodes.

    Args:
        rnn: the model.
        vae: the ConvVAE that decodes the dreams.
        train: encoded training episodes.
        test: encoded test episodes.
        frames: the test episodes' frames, in files of the same names.
        folder: the folder to write to.
        seen: steps of the real episode before a dream starts.
        steps: steps of a dream.
        temperature: temperature of the draws.
        seed: seed of the draws.
    """

    def __init__(
        self,
        rnn: MDNRNN,
        vae: ConvVAE,
        train: Shards,
        test: Shards,
        frames: Shards,
        folder: str | Path,
        *,
        seen: int,
        steps: int,
        temperature: float,
        seed: int,
    ):
        self._rnn, self._vae, self._train, self._test, self._frames = rnn, vae, train, test, frames
        self._folder, self._temperature, self._seed = Path(folder), temperature, seed
        longest = max(test.lengths)
        self._seen = max(1, min(seen, longest - 2))
        self._steps = min(steps, longest - self._seen - 1)
        enough = [i for i, length in enumerate(test.lengths) if length > self._seen + self._steps]
        self._shown = enough[:4]

    def dream(self, epoch: int, *, gif: bool = False) -> None:
        """Write a video of dreams beside real test episodes.

        It shows the real episodes, the ConvVAE's reconstructions, and dreams with the same start
        and the same actions. A border is purple while the model gets no frames.

        Args:
            epoch: the epoch, counted from 0; it becomes part of the files' names.
            gif: whether the video is also written as `dream.gif`, for pages that play no mp4.
        """
        last = self._seen + self._steps + 1
        real, codes = [], []
        for i in self._shown:
            real.append(self._frames.read(i, ("frames",))["frames"][:last])
            arrays = self._test.read(i, ("mean", "actions"))
            codes.append([arrays[name][:last].astype(np.float32) for name in ("mean", "actions")])
        mean, actions = (np.stack(part) for part in zip(*codes, strict=True))
        seen, rest = self._seen, actions[:, self._seen : -1]
        state = self._rnn(np.concatenate([mean, actions], -1)[:, :seen]).state
        options: dict[str, Any] = dict(
            actions=rest, temperature=self._temperature, state=state, seed=self._seed
        )
        dreamt = self._rnn.dream(mean[:, seen], **options).z.numpy()
        rows = {
            "real": np.stack(real),
            "reconstructed": self._vae.decode(mean).numpy(),
            f"dreamt, T = {self._temperature:g}": self._vae.decode(
                np.concatenate([mean[:, :seen], dreamt], 1)
            ).numpy(),
        }
        missing = np.zeros(mean.shape[:2], bool)
        missing[:, seen + 1 :] = True
        video = plotting.labelled_rows(rows, missing, zoom=2)
        names = [f"dream_{epoch + 1:05d}.mp4", *(["dream.gif"] if gif else [])]
        for name in names:
            plotting.save_video(self._folder / name, video, fps=12)
        strip = {name: row[0, seen :: max(1, self._steps // 12)][:13] for name, row in rows.items()}
        figure = plotting.film_strips(
            strip, title=f"A test episode, and a dream with its actions from frame {seen + 1} on"
        )
        plotting.save_figure(self._folder / f"dream_{epoch + 1:05d}.png", figure)

    def training_curves(self, lines: list[dict]) -> None:
        """Draw the training curves.

        Args:
            lines: the lines of the log.
        """
        panels = {"negative log-likelihood, nats per dimension": ("train_z", "test_z")}
        if "test_done" in lines[-1]:
            panels |= {
                "end": ("train_done", "test_done"),
                "reward": ("train_reward", "test_reward"),
            }
        figure = plotting.metric_curves(lines, panels, title="Training of the MDN-RNN")
        plotting.save_figure(self._folder / "training_curves.png", figure)

    def final(self, batches: Batches | ShardBatches) -> dict:
        """Write `evaluation.json`: the terms over all test episodes, and the baselines.

        Args:
            batches: the batches of the test episodes.

        Returns:
            The figures.
        """
        figures = {"mdn_rnn": evaluate_rnn(self._rnn, batches, self._seed)}
        figures["baselines"] = baselines(self._train, self._test, self._seed)
        write_json(self._folder / "evaluation.json", figures)
        return figures

    def summary(self, figures: dict) -> list[str]:
        """Describe the result.

        Args:
            figures: what `final` returned.

        Returns:
            The last lines that a run prints.
        """
        base = figures["baselines"]
        return [
            f"negative log-likelihood of the next code, nats per dimension ({len(self._test)} "
            "unseen test episodes):",
            f"  MDN-RNN {figures['mdn_rnn']['z']:.3f}   same as the last frame "
            f"{base['last_frame']:.3f}   "
            f"one Gaussian {base['gaussian']:.3f}   (lower is better; below 0 is fine)",
            self._verdict(figures),
            f"look at {self._folder}/: "
            + ", ".join(sorted(path.name for path in self._folder.glob("*.gif"))),
        ]

    def _verdict(self, figures: dict) -> str:
        mine = figures["mdn_rnn"]["z"]
        name, best = min(figures["baselines"].items(), key=lambda item: item[1])
        named = {"last_frame": "the last frame", "gaussian": "one Gaussian"}[name]
        if not mine < best:
            return f"the MDN-RNN is WORSE than {named}: {mine:.3f}, {best:.3f} nats per dimension"
        return f"the MDN-RNN is better than {named} by {best - mine:.3f} nats per dimension"

    def sections(self, figures: dict) -> list[Section]:
        """Make the sections of `report.html` from the files of the run.

        Args:
            figures: of `final`.

        Returns:
            The sections.
        """
        base, verdict = figures["baselines"], self._verdict(figures)
        rows = [
            ["MDN-RNN", figures["mdn_rnn"]["z"]],
            ["same as the last frame", base["last_frame"]],
            ["one Gaussian", base["gaussian"]],
        ]
        return [
            Section(
                "Result",
                judgements=[f"{verdict[0].upper()}{verdict[1:]}."],
                paragraphs=[
                    f"How well the next code is predicted in {len(self._test)} unseen test "
                    "episodes. Lower is better; values below 0 are fine."
                ],
                table=Table(["", "negative log-likelihood, nats per dimension"], rows),
            ),
            Section(
                "Dreams",
                paragraphs=[
                    f"The model is given {self._seen} frames of a test episode, then its actions "
                    f"alone. Temperature {self._temperature:g}."
                ],
                movies=newest(
                    self._folder,
                    ("Test episodes; the border is purple while the model dreams", "dream_*.mp4"),
                    ("The first of them, frame by frame", "dream_*.png"),
                ),
            ),
            Section("Training", movies=newest(self._folder, ("Curves", "training_curves.png"))),
        ]


class AgentReport:
    """Scores, curves and a video of an agent, written into a folder.

    Args:
        folder: the folder of the run.
        settings: the run's `WorldModelSettings`.
    """

    def __init__(self, folder: str | Path, settings: Any):
        self._folder, self._s = Path(folder), settings

    def final(self, scores: dict[str, np.ndarray]) -> dict:
        """Write `evaluation.json`: mean, standard deviation and number of the scores of each row.

        Args:
            scores: scores by the name of the row.

        Returns:
            The figures.
        """
        figures = {
            name: {"mean": float(each.mean()), "std": float(each.std()), "episodes": len(each)}
            for name, each in scores.items()
        }
        write_json(self._folder / "evaluation.json", figures)
        return figures

    def summary(self, scores: dict[str, np.ndarray]) -> list[str]:
        """Describe the result.

        Args:
            scores: scores by the name of the row.

        Returns:
            The last lines that a run prints.
        """
        count = len(scores["agent"])
        lines = [f"score, mean and standard deviation of {count} episodes of {self._s.env}:"]
        lines += [
            f"  {name:20}{each.mean():10.1f} +- {each.std():.1f}" for name, each in scores.items()
        ]
        lines += verdicts(scores)
        return [*lines, f"look at {self._folder}/agent.mp4 and {self._folder}/evolution.png"]

    def sections(self, scores: dict[str, np.ndarray]) -> list[Section]:
        """Make the sections of `report.html` from the files of the run.

        Args:
            scores: scores by the name of the row.

        Returns:
            The sections.
        """
        found = verdicts(scores) or ["The agent is better than the random policy."]
        rows = [[name, float(s.mean()), float(s.std()), len(s)] for name, s in scores.items()]
        return [
            Section(
                "Result",
                judgements=found,
                paragraphs=[f"Scores in {self._s.env}; one row is of the agent's own dream."],
                table=Table(["", "mean score", "standard deviation", "episodes"], rows),
            ),
            Section(
                "An episode and a dream",
                movies=newest(
                    self._folder,
                    ("The same agent from the same frame; purple border: ended", "agent.mp4"),
                ),
            ),
            Section("Evolution", movies=newest(self._folder, ("Generations", "evolution.png"))),
        ]

    def curves(self) -> None:
        """Draw the generations of the last controller; nothing if a controller was given."""
        logs = sorted(self._folder.glob("*_controller/metrics.jsonl"))
        if not logs:
            return
        lines = RunLog(logs[-1].parent, sys.maxsize).read()
        panels = {
            f"score in the {self._s.train_in}": ("mean", "best", "worst"),
            f"checks in the {self._s.check_in}": ("check_best", "check_mean"),
        }
        figure = plotting.metric_curves(
            lines, panels, title="Evolution of the controller", x_label="generation"
        )
        plotting.save_figure(self._folder / "evolution.png", figure)

    def video(self, vae: ConvVAE, rnn: MDNRNN, controller: Controller, episode: np.ndarray) -> None:
        """Write `agent.mp4` and `agent.gif`: an episode beside a dream of the same agent.

        The dream starts from the episode's first frame. After an end, the last frame has a purple
        border.

        Args:
            vae: the ConvVAE.
            rnn: the MDN-RNN.
            controller: the controller.
            episode: [T, H, W, C], frames of the environment.
        """
        episode = episode[: self._s.video_steps]
        dream = self._dream(vae, rnn, controller, episode[0])
        longest = max(len(episode), len(dream))
        missing = np.arange(longest) >= np.array([[len(episode)], [len(dream)]])
        rows = {}
        for name, frames in (("in the world", episode), ("in its dream", dream)):
            last = np.repeat(frames[-1:], longest - len(frames), axis=0)
            rows[name] = np.concatenate([frames, last])[None]
        bands = [
            plotting.labelled_rows({name: row}, missing[i : i + 1], zoom=4)
            for i, (name, row) in enumerate(rows.items())
        ]
        for ending in ("mp4", "gif"):
            plotting.save_video(self._folder / f"agent.{ending}", np.concatenate(bands, 1), fps=20)

    def _dream(self, vae, rnn: MDNRNN, controller: Controller, first: np.ndarray) -> np.ndarray:
        """Frames of a dream, [T, H, W, C] uint8."""
        from worldmodels.dream_env import DreamEnv

        env = DreamEnv(
            rnn,
            encode(vae, first[None]),
            observation=controller.inputs,
            temperature=self._s.temperature,
            max_steps=min(self._s.max_steps, self._s.video_steps - 1),
            action_space=_bounds(controller),
        )
        observation, _ = env.reset(seed=self._s.seed)
        codes, over = [env.z], False
        while not over:
            observation, _, ended, cut, _ = env.step(controller.act(observation))
            codes.append(env.z)
            over = ended or cut
        z = np.stack(codes)
        frames = [vae.decode(z[i : i + 100]).numpy() for i in range(0, len(z), 100)]
        return np.round(255 * np.concatenate(frames)).astype(np.uint8)


def verdicts(scores: dict[str, np.ndarray]) -> list[str]:
    """Interpret the scores in sentences. Two means differ if they are two standard errors apart.

    Args:
        scores: scores of the rows "random policy", "agent", "agent in its dream" and, if it was
            trained, "z only".

    Returns:
        A sentence for each fault that the scores show.
    """
    lines = []
    agent, dream = scores["agent"], scores["agent in its dream"]
    if not _above(agent, scores["random policy"]):
        lines.append(
            "The agent is no better than the random policy. Look at the reconstructions, at the "
            "MDN-RNN beside its baselines, and at evolution.png; see docs/your_environment.md."
        )
    if "z only" in scores and not _above(agent, scores["z only"]):
        lines.append("The agent is no better than a controller on z alone: h does not help it.")
    if _above(dream, agent) and dream.mean() - scores["random policy"].mean() > 2 * (
        agent.mean() - scores["random policy"].mean()
    ):
        lines.append(
            "The agent scores far more in its dream than in the world: it exploits what the "
            "MDN-RNN predicts wrongly. Raise --temperature, or record with it (--iterations=2)."
        )
    return lines


def _above(ours: np.ndarray, theirs: np.ndarray) -> bool:
    error = np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs))
    return bool(ours.mean() - theirs.mean() > 2 * error)


def _bounds(controller: Controller):
    from gymnasium.spaces import Box

    low = [-1.0, 0.0, 0.0] if controller.squash == "carracing" else [-1.0] * controller.action_size
    return Box(np.array(low, np.float32), 1.0, (controller.action_size,), np.float32)


def _spread(episodes: Shards, count: int) -> np.ndarray:
    """About `count` frames spread over all episodes."""
    chosen = range(0, len(episodes), max(1, len(episodes) // 16))
    each = max(1, count // len(chosen))
    parts = []
    for n, i in enumerate(chosen):
        frames = episodes.read(i, ("frames",))["frames"]
        # so that every n-th of them, too, shows early and late frames
        times = np.arange(n * each, (n + 1) * each) * _GOLDEN_RATIO % 1
        parts.append(frames[(times * len(frames)).astype(int)])
    return np.concatenate(parts)
