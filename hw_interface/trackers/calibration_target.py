"""What a hand-eye calibration looks at: an object with tags, or a ChArUco board."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from hw_interface.trackers.boards import Board, SeenBoard
from hw_interface.trackers.fiducial_config import FiducialConfig, Lens, lens_of, rotation_of
from hw_interface.trackers.fiducial_pose import Picture, PoseSolver, TagDetector, solutions
from robots.rotations import transform
from robots.signals import Array

# from a picture (h, w) to the target's pose (4, 4) in the camera's frame; None: it is not seen
Locate = Callable[[Picture], Array | None]
CLEARLY_WORSE = 1.5  # times the residual: so much worse must a board tilted the other way fit
SAME = 0.02  # rad between two solutions that are one


@dataclass(frozen=True)
class Fit:
    """A pose that fits the corners of a board."""

    pose: Array  # (4, 4) in the camera's frame
    residual: float  # pixels, RMS


def tagged_object(config: FiducialConfig) -> Locate:
    """Locate the object with the tags of the tracker's file."""
    detect = TagDetector(config.dictionary)
    solve = PoseSolver(config)

    def locate(picture: Picture) -> Array | None:
        """The object's pose by all tags that are seen."""
        found = solve(detect(picture), camera=np.eye(4))
        return None if found is None else transform(rotation_of(found.quat), found.pos)

    return locate


def printed_board(board: Board, config: FiducialConfig) -> Locate:
    """Locate a board, with the lens of the tracker's file."""
    lens = lens_of(config.camera)

    def locate(picture: Picture) -> Array | None:
        """The board's pose, if it is the only one that fits."""
        detected = board.find(picture)
        if detected is None:
            return None
        fits = [
            _fit(transform(cv2.Rodrigues(rvec)[0], tvec), detected, lens)
            for rvec, tvec in solutions(detected.points, detected.pixels, lens)
        ]
        best = min(fits, key=_residual, default=None)
        if best is None or best.residual > config.limits.residual:
            return None
        rivals = [fit for fit in fits if _angle(fit.pose, best.pose) > SAME]
        is_clear = all(fit.residual > CLEARLY_WORSE * best.residual for fit in rivals)
        return best.pose if is_clear else None

    return locate


def _fit(pose: Array, detected: SeenBoard, lens: Lens) -> Fit:
    """How well a pose fits the corners that are seen."""
    rvec, _ = cv2.Rodrigues(pose[:3, :3])
    projected, _ = cv2.projectPoints(
        detected.points, rvec, pose[:3, 3], lens.matrix, lens.distortion
    )
    squares = ((detected.pixels - projected.reshape(-1, 2)) ** 2).sum(1)
    return Fit(pose, float(np.sqrt(squares.mean())))


def _residual(fit: Fit) -> float:
    return fit.residual


def _angle(pose: Array, other: Array) -> float:
    """The angle, rad, by which two poses are turned against each other."""
    turn, _ = cv2.Rodrigues(pose[:3, :3] @ other[:3, :3].T)
    return float(np.linalg.norm(turn))
