"""A window that shows an environment's frames while it runs."""

import numpy as np

from seqvae.physics.drawing import pygame

_SIDE = 512  # pixels of the window's longer side, about


class Window:
    """Shows frames at a rate. It opens at the first frame; without a screen set
    SDL_VIDEODRIVER=dummy.

    Args:
        title: of the window. fps: frames a second at most.
    """

    def __init__(self, title: str, fps: float):
        self._title, self._fps = title, fps
        self._screen = self._clock = None

    def show(self, frame: np.ndarray) -> None:
        """Shows a frame [H, W, 3] uint8, and waits until the next is due."""
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
        """Closes the window; the next frame opens another."""
        if self._screen is not None:
            pygame.display.quit()
            self._screen = self._clock = None
