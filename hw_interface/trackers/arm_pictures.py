"""The pictures of a hand-eye calibration: a TOML file with the arm's joints in each of them."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from hw_interface.trackers.calibration_target import Locate
from hw_interface.trackers.fiducial_config import CameraEntry
from hw_interface.trackers.fiducial_source import check_size, read_picture
from hw_interface.trackers.flange_kinematics import FlangeKinematics
from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.rotations import quaternion_from_matrix
from robots.signals import Array


class ArmPicture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One picture, taken while the arm stood."""

    picture: str  # file, from the folder of the TOML file
    q: tuple[float, ...]  # rad, the measured joints that move the tool, in the arm's order


class PictureList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    pose: Annotated[tuple[ArmPicture, ...], msgspec.Meta(min_length=1)]


def read_picture_list(file: Path, arm: ArmSpec) -> PictureList:
    """Read and check the list of pictures.

    Raises:
        BadArgumentError: there is no such file, or it does not fit the arm.
    """
    if not file.is_file():
        raise BadArgumentError(f"there is no file {file}: it lists pictures and joints")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        poses = msgspec.convert(table, PictureList)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadArgumentError(f"{file}: {error}") from error

    joints = len(arm.tool_joints)
    for pose in poses.pose:
        if len(pose.q) != joints or not np.isfinite(pose.q).all():
            needs = f"{arm.name} has {joints} joints that move the tool"
            raise BadArgumentError(f"{file}: {pose.picture}: {needs}, got q = {list(pose.q)}")
    return poses


@dataclass(frozen=True)
class MeasuredPictures:
    """What the pictures in which the target is seen say."""

    flanges: Array  # (n, 4, 4) poses of the flange in the base frame
    targets: Array  # (n, 4, 4) poses of the target in the camera's frame
    used: list[str]  # their names
    unused: list[str]  # names of those in which the target is not seen well enough


def measure_pictures(
    file: Path, pictures: PictureList, arm: ArmSpec, camera: CameraEntry, locate: Locate
) -> MeasuredPictures:
    """Find the target in all pictures, and the flange by the joints.

    Args:
        file: the list of pictures, which are relative to its folder.
        pictures: what it says.
        arm: the arm.
        camera: with the size of its pictures.
        locate: finds the target in one picture.

    Raises:
        OSError: a picture cannot be read, or has another size.
    """
    flange = FlangeKinematics(arm)
    flanges = []
    targets = []
    used = []
    unused = []
    for entry in pictures.pose:
        picture = read_picture(file.parent / entry.picture)
        check_size(picture, camera, f"{entry.picture} is a picture")
        target = locate(picture)
        if target is None:
            unused.append(entry.picture)
            continue
        used.append(entry.picture)
        flanges.append(flange(np.array(entry.q)))
        targets.append(target)
    return MeasuredPictures(np.array(flanges), np.array(targets), used, unused)


def position_and_quaternion(pose: Array) -> tuple[list[float], list[float]]:
    """A pose (4, 4) as the tracker's file has it: m, and w x y z."""
    quaternion = quaternion_from_matrix(pose[None, :3, :3])[0]
    return pose[:3, 3].tolist(), quaternion.tolist()
