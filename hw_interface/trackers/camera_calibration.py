"""The intrinsics of a camera from pictures of a checkerboard, by OpenCV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hw_interface.trackers.fiducial_pose import Picture
from hw_interface.trackers.fiducial_source import PICTURES, read_picture
from robots.errors import BadArgumentError
from robots.signals import Array

FEWEST = 8  # pictures in which the board is found
TILT = 0.25  # rad between the two most different directions of the board: else focal length is free
WINDOW = (5, 5)  # pixels to each side in which an inner corner is refined
REFINEMENT = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 50, 1e-4)


@dataclass(frozen=True)
class Intrinsics:
    """A calibrated camera."""

    width: int  # pixels
    height: int
    matrix: Array  # (3, 3) pixels
    distortion: Array  # (5,) k1 k2 p1 p2 k3
    residual: float  # pixels, RMS distance of a corner from where the calibration puts it
    focal_error: float  # pixels, standard deviation of the focal length fx
    residuals: dict[str, float]  # of each picture that was used, by its name
    unused: tuple[str, ...]  # names of the pictures in which no whole board was found


def calibrate_camera(folder: Path, board: tuple[int, int], square: float) -> Intrinsics:
    """Compute the intrinsics from the pictures of a folder.

    Args:
        folder: with at least ``FEWEST`` pictures of a flat checkerboard.
        board: inner corners along the two sides, such as (9, 6).
        square: m, edge of a square. The intrinsics do not depend on it.

    Raises:
        BadArgumentError: there are too few usable pictures, they differ in size, or the board has
            nearly the same direction in all of them.
    """
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in PICTURES)
    if not files:
        raise BadArgumentError(f"{folder} has no pictures: {', '.join(PICTURES)}")

    found: dict[str, Array] = {}
    sizes = set()
    for file in files:
        picture = read_picture(file)
        sizes.add(picture.shape)
        corners = find_board(picture, board)
        if corners is not None:
            found[file.name] = corners

    if len(sizes) > 1:
        raise BadArgumentError(f"the pictures of {folder} differ in size: {sorted(sizes)}")
    if len(found) < FEWEST:
        wanted = f"a board of {board[0]}x{board[1]} inner corners was found"
        raise BadArgumentError(
            f"{wanted} in {len(found)} of {len(files)} pictures of {folder}; {FEWEST} are needed"
        )
    height, width = sizes.pop()
    unused = tuple(file.name for file in files if file.name not in found)
    return _solve(found, unused, board_points(board, square), (width, height))


def board_points(board: tuple[int, int], square: float) -> Array:
    """The inner corners (k, 3) m of a board, row by row."""
    columns, rows = board
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    points = np.zeros((x.size, 3))
    points[:, 0] = square * x.ravel()
    points[:, 1] = square * y.ravel()
    return points


def find_board(picture: Picture, board: tuple[int, int]) -> Array | None:
    """The inner corners (k, 2) in pixels, row by row; None if the board is not whole."""
    is_whole, corners = cv2.findChessboardCorners(picture, board)
    if not is_whole:
        return None
    refined = cv2.cornerSubPix(picture, corners, WINDOW, (-1, -1), REFINEMENT)
    return np.asarray(refined, dtype=np.float64).reshape(-1, 2)


def _solve(
    found: dict[str, Array], unused: tuple[str, ...], points: Array, size: tuple[int, int]
) -> Intrinsics:
    """Calibrate with the corners that were found."""
    count = len(found)
    world = [points.astype(np.float32)] * count
    pixels = [corners.astype(np.float32).reshape(-1, 1, 2) for corners in found.values()]
    guess = np.eye(3)
    residual, matrix, distortion, rotations, _, errors, _, by_view = cv2.calibrateCameraExtended(
        world, pixels, size, guess, np.zeros(5)
    )
    widest = _widest_tilt(rotations)
    if widest < TILT:
        raise BadArgumentError(
            f"the board is tilted by at most {np.degrees(widest):.0f} degrees between two pictures,"
            f" and {np.degrees(TILT):.0f} are needed: tilt it more, to every side"
        )
    residuals = dict(zip(found, np.ravel(by_view).tolist(), strict=True))
    return Intrinsics(
        width=size[0],
        height=size[1],
        matrix=np.asarray(matrix),
        distortion=np.ravel(distortion)[:5],
        residual=float(residual),
        focal_error=float(np.ravel(errors)[0]),
        residuals=residuals,
        unused=unused,
    )


def _widest_tilt(rotations: Sequence[Array]) -> float:
    """The largest angle, rad, between the board's normals in two pictures."""
    normals = np.array([cv2.Rodrigues(rotation)[0][:, 2] for rotation in rotations])
    cosines = np.clip(normals @ normals.T, -1, 1)
    return float(np.arccos(cosines.min()))
