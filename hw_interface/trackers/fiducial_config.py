"""What the tag tracker must know about its camera and the tags on the object: a TOML file.

Frames: the base frame of the arm, and that of its flange (``robots.flange``); the camera's optical
frame (x to the right, y down, z out of the lens); the object's frame, as its family uses it; and
the frame of each tag (origin at the center of its black square, x to the right, y up, z out of the
paper towards the reader).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np

from hw_interface.trackers.config_entries import (
    Positive,
    Quaternion,
    TrackLimits,
    Vector,
    pose_problem,
    read_entries,
)
from robots.errors import BadArgumentError
from robots.rotations import skew
from robots.signals import Array

NUMBERS_OF_DISTORTION = (0, 4, 5, 8)  # of OpenCV's models: none, k1 k2 p1 p2, with k3, rational

Mount = Literal["fixed", "flange"]  # the camera stands still, or moves with the arm's flange
Dictionary = Literal[
    "DICT_APRILTAG_36h11",
    "DICT_APRILTAG_25h9",
    "DICT_APRILTAG_16h5",
    "DICT_4X4_50",
    "DICT_5X5_50",
    "DICT_6X6_50",
]


class CameraEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The camera: where its pictures come from, its lens, and where it stands."""

    source: int | str  # index of a camera, a video file, or a folder of pictures
    width: Annotated[int, msgspec.Meta(gt=0)]  # pixels
    height: Annotated[int, msgspec.Meta(gt=0)]
    matrix: tuple[Vector, Vector, Vector]  # pixels: fx 0 cx, 0 fy cy, 0 0 1
    # of the optical frame in the base frame, or in the flange's frame where the flange carries it
    position: Vector  # m
    quaternion: Quaternion  # w x y z
    mount: Mount = "fixed"
    delay: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0  # s, from exposure to arrival
    distortion: tuple[float, ...] = ()  # in OpenCV's order
    rate: Positive = 30.0  # Hz, of a camera or a folder of pictures; a video has times of its own


class TagEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tag on the object."""

    id: Annotated[int, msgspec.Meta(ge=0)]
    size: Positive  # m, edge of the black square
    position: Vector  # m, of the tag's center in the object's frame
    quaternion: Quaternion = (1.0, 0.0, 0.0, 0.0)  # w x y z, of the tag in the object's frame


class LimitsEntry(TrackLimits, frozen=True, forbid_unknown_fields=True):
    """What is believed; the numbers are our own choice."""

    pixel_noise: Positive = 0.1  # pixels, standard deviation of a corner's coordinate
    residual: Positive = 2.0  # pixels RMS, above which the tags do not fit what was seen


class FiducialConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    camera: CameraEntry
    tag: tuple[TagEntry, ...] = ()  # those on the object
    dictionary: Dictionary = "DICT_APRILTAG_36h11"
    limits: LimitsEntry = LimitsEntry()


@dataclass(frozen=True)
class Lens:
    """How a camera projects: OpenCV's pinhole model with distortion."""

    matrix: Array  # (3, 3) pixels
    distortion: Array  # (d,)


def read_fiducial_config(file: str, needs_tags: bool = True) -> FiducialConfig:
    """Read and check the tracker's file.

    Args:
        file: its path.
        needs_tags: whether a file without tags is refused.

    Raises:
        BadArgumentError: there is no such file, or a number is missing, unknown or impossible; the
            message names the file and the entry.
    """
    config = read_entries(file, FiducialConfig)
    problem = find_problem(config)
    if needs_tags and not config.tag:
        problem = problem or "no [[tag]] is on the object"
    if problem:
        raise BadArgumentError(f"{file}: {problem}")
    return config


def find_problem(config: FiducialConfig) -> str:
    """What is impossible in a configuration whose types are right; empty if nothing is."""
    camera = config.camera
    problem = _lens_problem(camera) or pose_problem("camera", camera.position, camera.quaternion)
    if problem:
        return problem

    ids = [tag.id for tag in config.tag]
    for tag in config.tag:
        if ids.count(tag.id) > 1:
            return f"tag {tag.id} occurs twice: the tracker could not tell one from the other"
        problem = pose_problem(f"tag {tag.id}", tag.position, tag.quaternion)
        if problem:
            return problem
    return ""


def _lens_problem(camera: CameraEntry) -> str:
    """What is impossible in the intrinsics."""
    matrix = np.array(camera.matrix)
    if not np.isfinite(matrix).all() or not np.isfinite(camera.distortion).all():
        return "camera: matrix and distortion must be finite"

    expected = np.array(
        [[matrix[0, 0], 0, matrix[0, 2]], [0, matrix[1, 1], matrix[1, 2]], [0, 0, 1]]
    )
    focal_lengths = matrix[[0, 1], [0, 1]]
    if (matrix != expected).any() or (focal_lengths <= 0).any():
        return "camera: matrix must be fx 0 cx, 0 fy cy, 0 0 1, with fx and fy above 0"

    center = matrix[:2, 2]
    if (center <= 0).any() or (center >= (camera.width, camera.height)).any():
        size = f"{camera.width}x{camera.height}"
        return f"camera: cx, cy = {center.tolist()} is outside a picture of {size} pixels"

    count = len(camera.distortion)
    if count not in NUMBERS_OF_DISTORTION:
        return f"camera: distortion has 0, 4, 5 or 8 numbers, got {count}"
    return ""


def lens_of(camera: CameraEntry) -> Lens:
    """The camera's intrinsics as arrays."""
    return Lens(np.array(camera.matrix), np.array(camera.distortion, dtype=np.float64))


def rotation_of(quaternion: Sequence[float] | Array) -> Array:
    """The rotation matrix (3, 3) of a quaternion w, x, y, z of any length.

    R = I + 2·w·K + 2·K², with K = skew((x, y, z)).
    """
    unit = np.asarray(quaternion) / np.linalg.norm(quaternion)
    k = skew(unit[1:])
    rotation: Array = np.eye(3) + 2 * unit[0] * k + 2 * k @ k
    return rotation


def tag_corners(tag: TagEntry) -> Array:
    """A tag's corners (4, 3) m in the object's frame, clockwise from the upper left one."""
    half = tag.size / 2
    corners = np.array(
        [
            [-half, half, 0],
            [half, half, 0],
            [half, -half, 0],
            [-half, -half, 0],
        ]
    )
    placed: Array = corners @ rotation_of(tag.quaternion).T + np.array(tag.position)
    return placed
