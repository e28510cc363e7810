"""The pictures of a hand-eye calibration: a TOML file with the arm's joints in each of them."""

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from hw_interface.trackers.fiducial_config import FiducialConfig, rotation_of
from hw_interface.trackers.fiducial_pose import PoseSolver, TagDetector
from hw_interface.trackers.fiducial_source import read_picture
from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.rotations import quaternion_from_matrix, transform
from robots.signals import Array


class HeldPose(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One picture, taken while the arm stood."""

    picture: str  # file, from the folder of the TOML file
    q: tuple[float, ...]  # rad, the measured joints that move the tool, in the arm's order


class HeldPoses(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    pose: Annotated[tuple[HeldPose, ...], msgspec.Meta(min_length=1)]


def read_held_poses(file: Path, arm: ArmSpec) -> HeldPoses:
    """Read and check the list of pictures.

    Raises:
        BadArgumentError: there is no such file, or it does not fit the arm.
    """
    if not file.is_file():
        raise BadArgumentError(f"there is no file {file}: it lists pictures and joints")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        poses = msgspec.convert(table, HeldPoses)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadArgumentError(f"{file}: {error}") from error

    joints = len(arm.tool_joints)
    for pose in poses.pose:
        if len(pose.q) != joints or not np.isfinite(pose.q).all():
            needs = f"{arm.name} has {joints} joints that move the tool"
            raise BadArgumentError(f"{file}: {pose.picture}: {needs}, got q = {list(pose.q)}")
    return poses


def measure_held_poses(
    file: Path, poses: HeldPoses, arm: ArmSpec, config: FiducialConfig
) -> tuple[Array, Array, list[str], list[str]]:
    """The poses of the tool and of the object in all pictures in which the object is seen.

    Args:
        file: the list of pictures, which are relative to its folder.
        poses: what it says.
        arm: the arm.
        config: camera and tags; where its camera stands is not used.

    Returns:
        Poses of the tool in the base frame (n, 4, 4), of the object in the camera's frame
        (n, 4, 4), the names of these pictures, and of those in which it is not seen.

    Raises:
        OSError: a picture cannot be read.
    """
    detect = TagDetector(config.dictionary)
    at_origin = msgspec.structs.replace(
        config.camera, position=(0.0, 0.0, 0.0), quaternion=(1.0, 0.0, 0.0, 0.0)
    )
    solve = PoseSolver(msgspec.structs.replace(config, camera=at_origin))
    kinematics = Kinematics(arm)
    tools = []
    objects = []
    used = []
    unused = []
    for pose in poses.pose:
        found = solve(detect(read_picture(file.parent / pose.picture)))
        if found is None:
            unused.append(pose.picture)
            continue
        used.append(pose.picture)
        tools.append(_tool_pose(kinematics, pose))
        objects.append(_matrix(found.pos, found.quat))
    return np.array(tools), np.array(objects), used, unused


def _tool_pose(kinematics: Kinematics, pose: HeldPose) -> Array:
    """The tool's pose (4, 4) at the joints of a picture."""
    fingers = len(kinematics.arm.joints) - len(pose.q)
    q = np.concatenate([pose.q, np.zeros(fingers)])
    pos, quat = kinematics.forward(q[None])
    return _matrix(pos[0], quat[0])


def _matrix(pos: Array, quat: Array) -> Array:
    """A pose (4, 4) of a position (3,) m and a quaternion w, x, y, z."""
    return transform(rotation_of(quat), pos)


def position_and_quaternion(pose: Array) -> tuple[list[float], list[float]]:
    """A pose (4, 4) as the tracker's file has it: m, and w x y z."""
    quaternion = quaternion_from_matrix(pose[None, :3, :3])[0]
    return pose[:3, 3].tolist(), quaternion.tolist()
