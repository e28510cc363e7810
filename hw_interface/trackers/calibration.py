"""What ``pliant calibrate`` does, and its answers as lines for the tracker's file."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from hw_interface.trackers.arm_pictures import (
    MeasuredPictures,
    measure_pictures,
    position_and_quaternion,
    read_picture_list,
)
from hw_interface.trackers.boards import Board
from hw_interface.trackers.calibration_target import printed_board, tagged_object
from hw_interface.trackers.camera_calibration import calibrate_camera
from hw_interface.trackers.fiducial_config import Mount, read_fiducial_config
from hw_interface.trackers.fiducial_source import read_picture
from hw_interface.trackers.hand_eye import FEWEST, solve_hand_eye
from robots.arm import ArmSpec
from robots.errors import BadArgumentError
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
    unused: list[str]  # pictures in which the board was not found


class HandEyeAnswer(msgspec.Struct, frozen=True):
    """Of ``pliant calibrate hand-eye``."""

    mount: Mount
    position: list[float]  # m, of the camera in the base frame, or in the flange's
    quaternion: list[float]  # w x y z
    residual_mm: float  # RMS
    residual_degrees: float
    error_mm: float  # standard deviation of the camera's position
    error_degrees: float
    residuals_mm: dict[str, float]  # by picture
    residuals_degrees: dict[str, float]
    unused: list[str]  # pictures in which the target is not seen


def calibrated_camera(folder: Path, board: Board) -> CameraAnswer:
    """Calibrate a camera; for arguments and errors see ``calibrate_camera``."""
    found = calibrate_camera(folder, board)
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


def calibrated_hand_eye(
    file: Path, arm: ArmSpec, tracker: Path, mount: Mount | None, board: Board | None
) -> HandEyeAnswer:
    """Find where the camera is.

    Args:
        file: lists the pictures with the arm's joints, see ``read_picture_list``.
        arm: that holds the target, or carries the camera.
        tracker: the tracker's file with the camera's intrinsics; where it says that the camera is
            is not used.
        mount: of the camera; None: as the tracker's file says.
        board: that the pictures show; None: the object with the tags of the tracker's file.

    Raises:
        BadArgumentError: a file is wrong, or the motions do not suffice.
        OSError: a picture cannot be read, or has another size than the lens was calibrated at.
    """
    config = read_fiducial_config(str(tracker), needs_tags=board is None)
    mount = mount or config.camera.mount
    locate = tagged_object(config) if board is None else printed_board(board, config)
    pictures = read_picture_list(file, arm)
    measured = measure_pictures(file, pictures, arm, config.camera, locate)
    _check_seen(file, measured, board)
    found = solve_hand_eye(measured.flanges, measured.targets, mount)
    position, quaternion = position_and_quaternion(found.camera)
    return HandEyeAnswer(
        mount=mount,
        position=np.round(position, POSE_DIGITS).tolist(),
        quaternion=np.round(quaternion, POSE_DIGITS).tolist(),
        residual_mm=1000 * found.position_residual,
        residual_degrees=float(np.degrees(found.angle_residual)),
        error_mm=1000 * found.camera_position_error,
        error_degrees=float(np.degrees(found.camera_angle_error)),
        residuals_mm=_by_name(measured.used, 1000 * found.position_residuals),
        residuals_degrees=_by_name(measured.used, np.degrees(found.angle_residuals)),
        unused=measured.unused,
    )


def _check_seen(file: Path, measured: MeasuredPictures, board: Board | None) -> None:
    """Refuse pictures most of which do not show the target, with what to do."""
    used = len(measured.used)
    count = used + len(measured.unused)
    if used >= FEWEST or not measured.unused:
        return
    advice = "check dictionary, ids and sizes of the tags in the tracker's file"
    if board is not None:
        advice = board.advise([read_picture(file.parent / name) for name in measured.unused])
    counts = f"in {used} of {count} pictures; {FEWEST} are needed"
    raise BadArgumentError(f"{file}: the target was found {counts}: {advice}")


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
