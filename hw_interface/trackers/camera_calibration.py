"""The intrinsics of a camera from pictures of a flat board, by OpenCV."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from hw_interface.trackers.boards import Board, SeenBoard
from hw_interface.trackers.fiducial_pose import Picture
from hw_interface.trackers.fiducial_source import PICTURES, read_picture
from robots.errors import BadArgumentError
from robots.signals import Array

FEWEST = 8  # pictures in which the board is found
TILT = 0.25  # rad between the two most different directions of the board: else focal length is free
FOCAL_ERROR = 0.02  # share of the focal length that its standard deviation may be


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
    unused: tuple[str, ...]  # names of the pictures in which the board was not found


def calibrate_camera(folder: Path, board: Board) -> Intrinsics:
    """Compute the intrinsics from the pictures of a folder.

    Args:
        folder: with at least ``FEWEST`` pictures of the board.
        board: a flat one. The intrinsics do not depend on the size of its squares.

    Raises:
        BadArgumentError: there are too few usable pictures, they differ in size, or the board has
            nearly the same direction in all of them.
    """
    files = sorted(file for file in folder.glob("*") if file.suffix.lower() in PICTURES)
    if not files:
        raise BadArgumentError(f"{folder} has no pictures: {', '.join(PICTURES)}")

    found: dict[str, SeenBoard] = {}
    missing: dict[str, Picture] = {}
    sizes = set()
    for file in files:
        picture = read_picture(file)
        sizes.add(picture.shape)
        detected = board.find(picture)
        if detected is None:
            missing[file.name] = picture
        else:
            found[file.name] = detected

    if len(sizes) > 1:
        raise BadArgumentError(f"the pictures of {folder} differ in size: {sorted(sizes)}")
    if len(found) < FEWEST:
        counts = f"in {len(found)} of {len(files)} pictures of {folder}; {FEWEST} are needed"
        advice = f": {board.advise(list(missing.values()))}" if missing else ""
        raise BadArgumentError(f"{board.description} was found {counts}{advice}")
    height, width = sizes.pop()
    return _solve(found, tuple(missing), (width, height))


def _solve(
    found: dict[str, SeenBoard], unused: tuple[str, ...], size: tuple[int, int]
) -> Intrinsics:
    """Calibrate with the corners that were found."""
    world = [each.points.astype(np.float32) for each in found.values()]
    pixels = [each.pixels.astype(np.float32).reshape(-1, 1, 2) for each in found.values()]
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
    focal_error = float(np.ravel(errors)[0])
    share = focal_error / float(matrix[0, 0])
    if not share < FOCAL_ERROR:
        raise BadArgumentError(
            f"the focal length is uncertain by {100 * share:.1f} % (standard deviation), and"
            f" {100 * FOCAL_ERROR:.0f} % is the most: take more pictures, with the board nearer, in"
            " every part of the picture, and tilted to every side"
        )
    residuals = dict(zip(found, np.ravel(by_view).tolist(), strict=True))
    return Intrinsics(
        width=size[0],
        height=size[1],
        matrix=np.asarray(matrix),
        distortion=np.ravel(distortion)[:5],
        residual=float(residual),
        focal_error=focal_error,
        residuals=residuals,
        unused=unused,
    )


def _widest_tilt(rotations: Sequence[Array]) -> float:
    """The largest angle, rad, between the board's normals in two pictures."""
    normals = np.array([cv2.Rodrigues(rotation)[0][:, 2] for rotation in rotations])
    cosines = np.clip(normals @ normals.T, -1, 1)
    return float(np.arccos(cosines.min()))
