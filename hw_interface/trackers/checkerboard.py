"""Plain checkerboards, by OpenCV: a picture counts only if it shows the whole board."""

from dataclasses import dataclass

import cv2
import numpy as np

from hw_interface.trackers.boards import SeenBoard
from hw_interface.trackers.fiducial_pose import Picture
from robots.signals import Array

WINDOW = (5, 5)  # pixels to each side in which an inner corner is refined
REFINEMENT = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 50, 1e-4)


@dataclass(frozen=True)
class Checkerboard:
    """A board without markers."""

    corners: tuple[int, int]  # inner corners along the two sides, such as (9, 6)
    square: float  # m, edge of a square

    @property
    def description(self) -> str:
        """What it is, with its size."""
        columns, rows = self.corners
        return f"a checkerboard of {columns}x{rows} inner corners"

    def find(self, picture: Picture) -> SeenBoard | None:
        """All inner corners, row by row; None if the board is not whole."""
        is_whole, corners = cv2.findChessboardCorners(picture, self.corners)
        if not is_whole:
            return None
        refined = cv2.cornerSubPix(picture, corners, WINDOW, (-1, -1), REFINEMENT)
        pixels = np.asarray(refined, dtype=np.float64).reshape(-1, 2)
        return SeenBoard(self._points(), pixels)

    def advise(self, pictures: list[Picture]) -> str:
        """What to do about pictures in which the board was not found."""
        return "check --board, which counts inner corners, and show the whole board"

    def _points(self) -> Array:
        """The inner corners (k, 3) m, row by row."""
        columns, rows = self.corners
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        points = np.zeros((x.size, 3))
        points[:, 0] = self.square * x.ravel()
        points[:, 1] = self.square * y.ravel()
        return points
