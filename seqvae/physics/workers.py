"""Environments in worker processes that are stepped together; a process that dies is replaced."""

import multiprocessing
import sys
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from seqvae.physics.pixel_world import PixelWorld, WorldError

_MOST_DEATHS = 3  # deaths of a process before one of its episodes ends


class StepResult(NamedTuple):
    """Result of a step of an environment."""

    frame: np.ndarray
    """[H, W, C] uint8."""
    reward: float
    """Reward of the step that led to the frame."""
    ended: bool
    """Whether the episode ended."""
    cut: bool
    """Whether the episode was cut off."""


class Workers:
    """Environments 0 to count - 1 in processes. Use it as a context, or call `close`.

    Args:
        world: the environment.
        count: number of environments.
        processes: greatest number of processes, which share the environments.
    """

    def __init__(self, world: PixelWorld, count: int, processes: int):
        for name, value in (("count", count), ("processes", processes)):
            if value < 1:
                raise ValueError(f"{name}: expected an integer of at least 1, got {value!r}.")
        self._world = world
        shares = np.array_split(np.arange(count), min(count, processes))
        self._processes = [_Process(world, share.tolist()) for share in shares]

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The processes' ids."""
        return [process.pid for process in self._processes]

    def call(self, orders: dict[int, int | np.ndarray]) -> dict[int, StepResult | None]:
        """Step environments.

        Args:
            orders: by environment, an integer, which begins the episode of this seed, or an array,
                which is the action of a step.

        Returns:
            The result by environment; None if its process died, so that the episode is lost and can
            be begun again.

        Raises:
            WorldError: an environment raised or returned invalid values, or a process died
                repeatedly.
        """
        for process in self._processes:
            process.send({row: order for row, order in orders.items() if row in process.rows})
        answers: dict[int, StepResult | None] = {}
        try:
            for process in self._processes:
                answers |= process.receive()
        except WorldError:
            self.close()  # the others' answers would be taken for those of the next call
            raise
        return answers

    def close(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            process.end()


class _Process:
    """A worker process; a dead one is replaced."""

    def __init__(self, world: PixelWorld, rows: list[int]):
        self._world, self._list, self.rows = world, rows, frozenset(rows)
        self._deaths, self._orders = 0, {}
        self._seeds: dict[int, int] = {}
        self._start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def send(self, orders: dict[int, Any]) -> None:
        self._orders = orders
        begun = {row: order for row, order in orders.items() if isinstance(order, int)}
        if any(self._seeds.get(row, seed) != seed for row, seed in begun.items()):
            self._deaths = 0  # not an episode that begins again
        self._seeds |= begun
        if orders:
            with suppress(OSError):  # it died: receive finds out
                self._pipe.send(orders)

    def receive(self) -> dict[int, StepResult | None]:
        if not self._orders:
            return {}
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError):
            return self._replaced()
        if isinstance(answer, str):
            raise WorldError(answer)
        if any(each.ended or each.cut for each in answer.values()):
            self._deaths = 0
        return answer

    def end(self) -> None:
        with suppress(OSError):  # it died, or was ended before
            self._pipe.send(None)
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _start(self) -> None:
        # spawn: a fork of a process that has TensorFlow's threads may hang.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._world), daemon=True)
        self._process.start()
        theirs.close()

    def _replaced(self) -> dict[int, StepResult | None]:
        self._process.join(5)
        self._deaths += 1
        seeds = [self._seeds[row] for row in self._list if row in self._seeds]
        if self._deaths > _MOST_DEATHS:
            raise WorldError(
                f"{self._world.env}, seeds {seeds}: its process died {self._deaths} times in a "
                f"row, with the exit code {self._process.exitcode}. Play one of these seeds alone, "
                "or lower the number of workers where memory is short."
            )
        print(
            f"{self._world.env}: a worker process died (exit code {self._process.exitcode}); its "
            "episodes begin again",
            file=sys.stderr,
        )
        self._pipe.close()
        self._start()
        return dict.fromkeys(self._list)


def _serve(pipe: Any, world: PixelWorld) -> None:
    """The worker's program: answers orders until None comes."""
    envs: dict[int, Any] = {}
    with suppress(EOFError, KeyboardInterrupt):
        while (orders := pipe.recv()) is not None:
            try:
                pipe.send({row: _one(envs, world, row, order) for row, order in orders.items()})
            except (WorldError, ValueError, ImportError) as error:
                pipe.send(str(error))
    for env in envs.values():
        env.close()


def _one(envs: dict[int, Any], world: PixelWorld, row: int, order: Any) -> StepResult:
    if row not in envs:
        envs[row] = world.make()
    if isinstance(order, int):
        return StepResult(envs[row].reset(order), 0.0, False, False)
    return StepResult(*envs[row].step(order))
