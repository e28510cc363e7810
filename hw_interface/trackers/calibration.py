"""What ``pliant calibrate`` does, and its answers as lines for the tracker's file."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hw_interface.trackers.camera_calibration import calibrate_camera
from hw_interface.trackers.fiducial_config import read_fiducial_config
from hw_interface.trackers.hand_eye import solve_hand_eye
from hw_interface.trackers.hand_eye_pictures import (
    measure_held_poses,
    position_and_quaternion,
    read_held_poses,
)
from robots.arm import ArmSpec
from robots.signals import Array

MATRIX_DIGITS = 3  # thousandths of a pixel
POSE_DIGITS = 6  # micrometers


class CameraAnswer(msgspec.Struct, frozen=True):
    """Of ``pliant calibrate camera``."""

    width: int
    height: int
    matrix: list[list[float]]  # pixels
    distortion: list[float]
    residual: float  # pixels, RMS
    focal_error: float  # pixels, standard deviation
    residuals: dict[str, float]  # pixels, by picture
    unused: list[str]  # pictures without a whole board


class HandEyeAnswer(msgspec.Struct, frozen=True):
    """Of ``pliant calibrate hand-eye``."""

    position: list[float]  # m, of the camera in the base frame
    quaternion: list[float]  # w x y z
    residual_mm: float  # RMS
    residual_degrees: float
    error_mm: float  # standard deviation of the camera's position
    error_degrees: float
    residuals_mm: dict[str, float]  # by picture
    residuals_degrees: dict[str, float]
    unused: list[str]  # pictures in which the object is not seen


def calibrated_camera(folder: Path, board: tuple[int, int], square: float) -> CameraAnswer:
    """Calibrate a camera; for arguments and errors see ``calibrate_camera``."""
    found = calibrate_camera(folder, board, square)
    return CameraAnswer(
        width=found.width,
        height=found.height,
        matrix=np.round(found.matrix, MATRIX_DIGITS).tolist(),
        distortion=np.round(found.distortion, POSE_DIGITS).tolist(),
        residual=found.residual,
        focal_error=found.focal_error,
        residuals=found.residuals,
        unused=list(found.unused),
    )


def calibrated_hand_eye(file: Path, arm: ArmSpec, tracker: Path) -> HandEyeAnswer:
    """Find where the camera stands.

    Args:
        file: lists the pictures with the arm's joints, see ``read_held_poses``.
        arm: that holds the object.
        tracker: the tracker's file with the camera's intrinsics, and the tags on what it holds.

    Raises:
        BadArgumentError: a file is wrong, or the motions do not suffice.
        OSError: a picture cannot be read.
    """
    config = read_fiducial_config(str(tracker))
    poses = read_held_poses(file, arm)
    tools, objects, used, unused = measure_held_poses(file, poses, arm, config)
    found = solve_hand_eye(tools, objects)
    position, quaternion = position_and_quaternion(found.camera)
    return HandEyeAnswer(
        position=np.round(position, POSE_DIGITS).tolist(),
        quaternion=np.round(quaternion, POSE_DIGITS).tolist(),
        residual_mm=1000 * found.position_residual,
        residual_degrees=float(np.degrees(found.angle_residual)),
        error_mm=1000 * found.camera_position_error,
        error_degrees=float(np.degrees(found.camera_angle_error)),
        residuals_mm=_by_name(used, 1000 * found.position_residuals),
        residuals_degrees=_by_name(used, np.degrees(found.angle_residuals)),
        unused=unused,
    )


def _by_name(names: list[str], values: Array) -> dict[str, float]:
    """The values by the names of their pictures."""
    return dict(zip(names, values.tolist(), strict=True))


def toml_lines(answer: msgspec.Struct, names: tuple[str, ...]) -> str:
    """Fields of an answer as lines of the tracker's file; lists are written as in JSON."""
    fields: dict[str, Any] = msgspec.structs.asdict(answer)
    lines = []
    for name in names:
        value = msgspec.json.encode(fields[name]).decode()
        lines.append(f"{name} = {value}")
    return "\n".join(lines)
