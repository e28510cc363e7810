"""How an arm's servos are wired and where their zeros lie: a JSON file, checked before anything moves."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np

from robots.arm import ArmSpec

TURN = 4096  # ticks of one turn of a Dynamixel X servo (ROBOTIS e-manual)

Id = Annotated[int, msgspec.Meta(ge=0, le=252)]


class ServoWiring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One joint's servo, and the settings in its memory that its zero and sign were found with."""

    joint: str
    id: Id
    model: str
    sign: Literal[-1, 1]  # of the joint's angle against the servo's ticks
    zero: Annotated[
        int, msgspec.Meta(ge=0, lt=TURN)
    ]  # what the servo shows where the joint's angle is zero
    drive_mode: Annotated[int, msgspec.Meta(ge=0, le=255)] = 0
    homing_offset: int = 0  # ticks
    shadow: Id | None = (
        None  # of a second servo on the same joint, which obeys what is sent to the first
    )


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All servos of an arm, on one bus, in the order of its joints."""

    arm: str
    servos: tuple[ServoWiring, ...]
    baud: int = 1_000_000
    mode: Literal["position", "current"] = (
        "position"  # current: position control with the current bounded
    )

    @property
    def ids(self) -> tuple[int, ...]:
        """Whom goals are sent to, one for each joint."""
        return tuple(servo.id for servo in self.servos)

    @property
    def shadows(self) -> dict[int, int]:
        """Each shadow's id: the index of its joint."""
        return {servo.shadow: i for i, servo in enumerate(self.servos) if servo.shadow is not None}


def read_calibration(file: str, arm: ArmSpec) -> Calibration:
    """The file's, or without one the wiring that the arm comes with from its maker; ValueError says what is wrong."""
    path = Path(file) if file else arm.urdf.with_name("dynamixel.json")
    if not path.is_file():
        raise ValueError(f"no calibration file {path}")
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    if found.arm != arm.name:
        raise ValueError(f"{path}: is for the arm {found.arm!r}, not for {arm.name!r}")
    joints = tuple(servo.joint for servo in found.servos)
    if joints != arm.joints:
        raise ValueError(
            f"{path}: names the joints {', '.join(joints)}; {arm.name} has {', '.join(arm.joints)}"
        )
    ids = [*found.ids, *(servo.shadow for servo in found.servos if servo.shadow is not None)]
    if twice := {i for i in ids if ids.count(i) > 1}:
        raise ValueError(f"{path}: id {min(twice)} stands twice")
    for servo, *bounds in zip(found.servos, arm.limits.q_low, arm.limits.q_high, strict=True):
        ends = servo.zero + servo.sign * np.array(bounds) * TURN / (2 * np.pi)
        if ends.min() < 0 or ends.max() > TURN - 1:
            reach = f"{ends.min():.0f} to {ends.max():.0f} ticks"
            raise ValueError(
                f"{path}: with its zero at {servo.zero}, {servo.joint} would go from {reach}, not 0 to 4095"
            )
    return found
