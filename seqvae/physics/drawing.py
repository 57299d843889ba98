"""Drawing of motions as frames with pygame, off-screen, like the original's debug drawer without
its debug marks.
"""

import os

import numpy as np

from seqvae.physics.simulation import Motion
from seqvae.physics.worlds import World

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # importing a library should print nothing
import pygame

if not hasattr(pygame, "Surface"):
    # pygame and pygame-ce share a folder: uninstalling one removes files of the other.
    raise ImportError(
        "pygame: expected pygame-ce, got an empty module, as it is left after pygame or pygame-ce "
        "was uninstalled beside the other. Run `pip install --force-reinstall pygame-ce`."
    )

WHITE = (255, 255, 255)
# Okabe and Ito's palette: distinguishable for colour-blind readers, bright on black.
BALL_COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
)


class Painter:
    """Draws motions of one world.

    All frames of a sequence are drawn on one tall surface, so that they are copied only once.

    Args:
        world: the world.
        steps: frames in a motion.
    """

    def __init__(self, world: World, steps: int):
        self._world = world
        self._steps = steps
        width, height = world.size
        self._strip = pygame.Surface((width, height * steps), depth=32)
        self._background = pygame.Surface((width, height), depth=32)
        for a, b in world.walls:
            pygame.draw.aalines(self._background, WHITE, False, [self._pixel(a), self._pixel(b)])

    def frames(self, motion: Motion) -> np.ndarray:
        """Draw a motion.

        In grey, every pixel that the pen touches is 255: the original's loader binarised at > 0.

        Args:
            motion: the motion, of T frames.

        Returns:
            [T, H, W] uint8 of 0 and 255, or [T, H, W, 3] uint8 in colour. Row 0 is the top; the
            motion's y axis points up.
        """
        width, height = self._world.size
        for t in range(self._steps):
            frame = self._strip.subsurface((0, t * height, width, height))
            frame.blit(self._background, (0, 0))
            self._draw_paddles(frame, motion.paddles[t])
            for i, (x, y) in enumerate(motion.balls[t, :, :2]):
                colour = BALL_COLOURS[i % len(BALL_COLOURS)] if self._world.colour else WHITE
                pygame.draw.circle(frame, colour, self._pixel((x, y)), round(self._world.radius))
        pixels = pygame.surfarray.pixels3d(self._strip).swapaxes(0, 1)
        pixels = pixels.reshape(self._steps, height, width, 3)
        if self._world.colour:
            return pixels.copy()
        return np.where(pixels[..., 0] > 0, np.uint8(255), np.uint8(0))

    def _pixel(self, point) -> tuple[int, int]:
        return round(point[0]), self._world.size[1] - round(point[1])

    def _draw_paddles(self, frame: pygame.Surface, heights: np.ndarray) -> None:
        paddles = self._world.paddles
        if paddles is None:
            return
        for x, y in zip((paddles.left_x, paddles.right_x), heights, strict=True):
            start, end = (
                self._pixel((x, y + end)) for end in (paddles.half_length, -paddles.half_length)
            )
            pygame.draw.line(frame, WHITE, start, end, max(1, round(2 * paddles.thickness)))
