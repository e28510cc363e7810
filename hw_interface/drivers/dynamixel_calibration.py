"""How an arm's servos are wired and where their zeros are: a JSON file, checked before use."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from hw_interface.drivers.dynamixel_models import SERVO_MODELS, TICK, TURN
from robots.arm import ArmSpec
from robots.errors import BadArgumentError

Id = Annotated[int, msgspec.Meta(ge=0, le=252)]
Ticks = Annotated[int, msgspec.Meta(ge=0, lt=TURN)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]

# Bits of the drive mode that the driver cannot work with: its profile limits the velocity, not the
# duration, and torque must come on in ``enable``, not with the first goal.
UNUSABLE_DRIVE_MODES = {2: "a time-based profile", 3: "torque on by goal"}


class ServoWiring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One joint's servo, and the settings in its memory when its zero and sign were measured."""

    joint: str
    id: Id
    model: str
    sign: Literal[-1, 1]  # 1 where the servo's ticks grow with the joint's angle
    zero: Ticks  # present position of the servo where the joint's angle is zero
    drive_mode: Byte = 0
    homing_offset: int = 0  # ticks
    shadow: Id | None = None  # a second servo on the joint, which obeys commands to the first
    shadow_drive_mode: Byte = 0  # reversed if the two servos face each other
    shadow_homing_offset: int = 0  # ticks


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All servos of an arm, on one bus, in the order of its joints."""

    arm: str
    servos: tuple[ServoWiring, ...]
    baud: int = 1_000_000
    mode: Literal["position", "current"] = "position"  # current: position with bounded current

    @property
    def ids(self) -> tuple[int, ...]:
        """The servos that goals are sent to, one per joint."""
        return tuple(servo.id for servo in self.servos)

    @property
    def shadows(self) -> dict[int, int]:
        """The joint's index for the id of each shadow."""
        return {servo.shadow: i for i, servo in enumerate(self.servos) if servo.shadow is not None}


def read_calibration(file: str, arm: ArmSpec) -> Calibration:
    """Read and check a calibration.

    Args:
        file: its path; empty: the manufacturer's wiring of the arm.
        arm: the arm it must fit.

    Raises:
        BadArgumentError: there is no such file, or it does not fit the arm; the message says why.
    """
    path = Path(file) if file else arm.urdf.with_name("dynamixel.json")
    if not path.is_file():
        raise BadArgumentError(f"no calibration file {path}")
    try:
        calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except msgspec.DecodeError as error:
        raise BadArgumentError(f"{path}: {error}") from error
    if calibration.arm != arm.name:
        message = f"is for the arm {calibration.arm!r}, not for {arm.name!r}"
        raise BadArgumentError(f"{path}: {message}")
    _check_names(path, calibration, arm)
    _check_models(path, calibration)
    _check_drive_modes(path, calibration)
    _check_ranges(path, calibration, arm)
    return calibration


def _check_names(path: Path, calibration: Calibration, arm: ArmSpec) -> None:
    """Refuse other joints than the arm's, and ids that occur twice."""
    joints = tuple(servo.joint for servo in calibration.servos)
    if joints != arm.joints:
        given = ", ".join(joints)
        expected = ", ".join(arm.joints)
        raise BadArgumentError(f"{path}: names the joints {given}; {arm.name} has {expected}")
    shadows = [servo.shadow for servo in calibration.servos if servo.shadow is not None]
    ids = [*calibration.ids, *shadows]
    duplicates = {number for number in ids if ids.count(number) > 1}
    if duplicates:
        raise BadArgumentError(f"{path}: id {min(duplicates)} occurs twice")


def _check_models(path: Path, calibration: Calibration) -> None:
    unknown = {servo.model for servo in calibration.servos} - set(SERVO_MODELS)
    if unknown:
        known = ", ".join(SERVO_MODELS)
        message = f"no servo model {min(unknown)!r} is known; there are: {known}"
        raise BadArgumentError(f"{path}: {message}")


def _check_drive_modes(path: Path, calibration: Calibration) -> None:
    """Refuse settings with which the driver's bounds would not hold."""
    for servo in calibration.servos:
        for bit, meaning in UNUSABLE_DRIVE_MODES.items():
            if (servo.drive_mode | servo.shadow_drive_mode) >> bit & 1:
                problem = f"has the drive mode {meaning} (bit {bit})"
                raise BadArgumentError(f"{path}: {servo.joint} {problem}, which cannot be used")


def _check_ranges(path: Path, calibration: Calibration, arm: ArmSpec) -> None:
    """Refuse a zero from which a joint's range would leave the servo's one turn."""
    for i, servo in enumerate(calibration.servos):
        bounds = np.array([arm.limits.q_low[i], arm.limits.q_high[i]])
        ends = servo.zero + servo.sign * bounds / TICK
        low = ends.min()
        high = ends.max()
        if low >= 0 and high <= TURN - 1:
            continue
        where = f"with its zero at {servo.zero}, {servo.joint} would go"
        reach = f"from {low:.0f} to {high:.0f} ticks, not 0 to {TURN - 1}"
        raise BadArgumentError(f"{path}: {where} {reach}")
