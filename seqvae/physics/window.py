"""A window that shows the frames of a running environment."""

import numpy as np

from seqvae.physics.drawing import pygame

_SIDE = 512  # approximate length of the window's longer side, pixels


class Window:
    """Shows frames at a given rate.

    The window opens with the first frame. Without a screen, set SDL_VIDEODRIVER=dummy.

    Args:
        title: the window's title.
        fps: the maximal number of frames per second.
    """

    def __init__(self, title: str, fps: float):
        self._title, self._fps = title, fps
        self._screen = self._clock = None

    def show(self, frame: np.ndarray) -> None:
        """Show a frame, and wait until the next one is due.

        Args:
            frame: [H, W, 3] uint8.
        """
        height, width = frame.shape[:2]
        if self._screen is None:
            scale = max(1, _SIDE // max(height, width))
            pygame.display.init()
            pygame.display.set_caption(self._title)
            self._screen = pygame.display.set_mode((width * scale, height * scale))
            self._clock = pygame.time.Clock()
        assert self._clock is not None
        surface = pygame.surfarray.make_surface(frame.swapaxes(0, 1))
        pygame.transform.scale(surface, self._screen.get_size(), self._screen)
        pygame.event.pump()
        pygame.display.flip()
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Close the window. The next frame opens a new one."""
        if self._screen is not None:
            pygame.display.quit()
            self._screen = self._clock = None
