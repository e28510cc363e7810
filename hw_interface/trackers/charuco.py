"""ChArUco boards: checkerboards with a marker in each white square, by OpenCV.

The markers around an inner corner tell which corner it is, so that a picture counts that shows a
part of the board only.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from hw_interface.trackers.boards import SeenBoard
from hw_interface.trackers.fiducial_pose import Picture
from robots.errors import BadArgumentError
from robots.signals import Array

FEWEST_CORNERS = 8  # of a board in one picture: the pose is uncertain with fewer
NARROW = 0.02  # width of the corners that are seen, as a share of their length: they are on a line
LOOKED_THROUGH = 3  # pictures, for markers of another dictionary
CERTAIN = 4  # markers in one picture that are no accident

# Those with more markers of the same size contain the smaller ones.
DICTIONARIES = (
    *(f"DICT_{bits}X{bits}_{count}" for count in (50, 100, 250, 1000) for bits in (4, 5, 6, 7)),
    "DICT_APRILTAG_36h11",
    "DICT_APRILTAG_25h9",
    "DICT_APRILTAG_16h5",
)


@dataclass(frozen=True)
class CharucoBoard:
    """A printed board. Its frame begins at the upper left corner: x to the right, y down."""

    squares: tuple[int, int]  # along x and y
    square: float  # m, edge of a square
    marker: float  # m, edge of a marker
    dictionary: str  # name of OpenCV's, such as DICT_5X5_50

    def __post_init__(self) -> None:
        """Refuse what cannot be printed.

        Raises:
            BadArgumentError: the message says which number is impossible.
        """
        if not 0 < self.marker < self.square:
            edges = f"a marker of {self.marker} m in a square of {self.square} m"
            raise BadArgumentError(f"a marker must be smaller than its square, got {edges}")

        columns, rows = self.squares
        needed = columns * rows // 2
        available = len(marker_dictionary(self.dictionary).bytesList)
        if needed > available:
            raise BadArgumentError(
                f"a board of {columns}x{rows} squares has {needed} markers, and {self.dictionary}"
                f" has {available}: choose a larger dictionary"
            )

    @property
    def description(self) -> str:
        """What it is, with its size."""
        columns, rows = self.squares
        return f"a ChArUco board of {columns}x{rows} squares with {self.dictionary}"

    def find(self, picture: Picture) -> SeenBoard | None:
        """The corners that are seen; None if they are too few, or all on one line."""
        corners, ids, _, _ = self._detector.detectBoard(picture)
        if ids is None or len(ids) < FEWEST_CORNERS:
            return None
        points = self._points[np.ravel(ids)]
        extents = np.linalg.svd(points - points.mean(0), compute_uv=False)
        if extents[1] < NARROW * extents[0]:
            return None
        pixels = np.asarray(corners, dtype=np.float64).reshape(-1, 2)
        return SeenBoard(points, pixels)

    def advise(self, pictures: list[Picture]) -> str:
        """What to do about pictures in which the board was not found."""
        first = pictures[:LOOKED_THROUGH]
        if _most_markers(self.dictionary, first) >= CERTAIN:
            wanted = f"{FEWEST_CORNERS} corners that are not on one line"
            return (
                f"its markers are seen, but too few corners ({wanted}): show more of the board, and"
                " check --board, which counts squares along x and y"
            )
        for name in DICTIONARIES:
            if _most_markers(name, first) >= CERTAIN:
                return f"the markers in the pictures are of --dictionary {name}"
        return "no marker is seen: the board must be sharp, and large in the picture"

    @cached_property
    def _points(self) -> Array:
        """All inner corners (k, 3) m."""
        return np.asarray(self.opencv.getChessboardCorners(), dtype=np.float64)

    @cached_property
    def opencv(self) -> cv2.aruco.CharucoBoard:
        """The board as OpenCV has it."""
        family = marker_dictionary(self.dictionary)
        return cv2.aruco.CharucoBoard(self.squares, self.square, self.marker, family)

    @cached_property
    def _detector(self) -> cv2.aruco.CharucoDetector:
        return cv2.aruco.CharucoDetector(self.opencv)


def marker_dictionary(name: str) -> cv2.aruco.Dictionary:
    """OpenCV's dictionary of a name.

    Raises:
        BadArgumentError: there is none; the message lists those that exist.
    """
    if name not in DICTIONARIES:
        raise BadArgumentError(f"no dictionary {name!r}; there are: {', '.join(DICTIONARIES)}")
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))


def _most_markers(dictionary: str, pictures: list[Picture]) -> int:
    """The most markers of a dictionary in one of the pictures."""
    detector = cv2.aruco.ArucoDetector(marker_dictionary(dictionary))
    most = 0
    for picture in pictures:
        _, ids, _ = detector.detectMarkers(picture)
        most = max(most, 0 if ids is None else len(ids))
    return most
