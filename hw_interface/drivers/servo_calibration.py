"""What every calibration of servos needs: units of their positions, and checks of its file."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
import numpy as np

from hw_interface.drivers.servo_gripper import Transmission
from robots.arm import ArmSpec
from robots.errors import BadArgumentError

TURN = 4096  # ticks of one turn
TICK = 2 * np.pi / TURN  # rad


Id = Annotated[int, msgspec.Meta(ge=0, le=252)]
Ticks = Annotated[int, msgspec.Meta(ge=0, lt=TURN)]


class JointServo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One joint's servo."""

    joint: str
    id: Id
    sign: Literal[-1, 1]  # 1 where the servo's ticks grow with the joint's angle
    zero: Ticks  # present position of the servo where the joint's angle is zero


S = TypeVar("S", bound=JointServo)


class ServoCalibration(
    msgspec.Struct, Generic[S], frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """All servos of an arm, on one bus, in the order of its joints."""

    arm: str
    servos: tuple[S, ...]
    baud: int = 1_000_000

    @property
    def ids(self) -> tuple[int, ...]:
        """The servos that goals are sent to, one per joint."""
        return tuple(servo.id for servo in self.servos)


C = TypeVar("C", bound=ServoCalibration[Any])


def default_path(arm: ArmSpec, name: str) -> Path:
    """The file of this name beside the arm's catalog entry."""
    model = arm.urdf if arm.gripper is None else arm.gripper.urdf
    return model.with_name(name)


def decode_calibration(path: Path, kind: type[C], arm: ArmSpec) -> C:
    """Read a calibration, and check what all calibrations have.

    Args:
        path: its file.
        kind: the struct that it is.
        arm: the arm it must fit.

    Raises:
        BadArgumentError: there is no such file, it is malformed or for another arm, names other
            joints than the arm's, or would turn a servo beyond its one turn.
    """
    if not path.is_file():
        raise BadArgumentError(f"no calibration file {path}")
    try:
        calibration: C = msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise BadArgumentError(f"{path}: {error}") from error
    if calibration.arm != arm.name:
        message = f"is for the arm {calibration.arm!r}, not for {arm.name!r}"
        raise BadArgumentError(f"{path}: {message}")
    joints = tuple(servo.joint for servo in calibration.servos)
    if joints != arm.joints:
        given = ", ".join(joints)
        expected = ", ".join(arm.joints)
        raise BadArgumentError(f"{path}: names the joints {given}; {arm.name} has {expected}")
    return calibration


def check_ids(path: Path, ids: Sequence[int]) -> None:
    """Refuse ids that occur twice.

    Raises:
        BadArgumentError: one does.
    """
    duplicates = {number for number in ids if ids.count(number) > 1}
    if duplicates:
        raise BadArgumentError(f"{path}: id {min(duplicates)} occurs twice")


def check_models(path: Path, models: Collection[str], known: Collection[str]) -> None:
    """Refuse a servo model that is not among the known ones.

    Raises:
        BadArgumentError: there is one; the message lists the known ones.
    """
    unknown = set(models) - set(known)
    if unknown:
        message = f"no servo model {min(unknown)!r} is known; there are: {', '.join(known)}"
        raise BadArgumentError(f"{path}: {message}")


def check_ranges(path: Path, servos: Sequence[JointServo], arm: ArmSpec) -> None:
    """Refuse a zero from which a joint's range would leave the servo's one turn.

    Raises:
        BadArgumentError: there is one; the message has its joint and range.
    """
    transmission = Transmission(arm)
    lowest = transmission.to_servos(arm.limits.q_low)
    highest = transmission.to_servos(arm.limits.q_high)
    for i, servo in enumerate(servos):
        bounds = np.array([lowest[i], highest[i]])
        ends = servo.zero + servo.sign * bounds / TICK
        low = ends.min()
        high = ends.max()
        if low >= 0 and high <= TURN - 1:
            continue
        where = f"with its zero at {servo.zero}, {servo.joint} would go"
        reach = f"from {low:.0f} to {high:.0f} ticks, not 0 to {TURN - 1}"
        raise BadArgumentError(f"{path}: {where} {reach}")
