"""How an arm's servos are wired and where their zeros are: a JSON file, checked before use."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from hw_interface.drivers.dynamixel_models import SERVO_MODELS
from hw_interface.drivers.servo_calibration import (
    Id,
    JointServo,
    ServoCalibration,
    check_ids,
    check_models,
    check_ranges,
    decode_calibration,
    default_path,
)
from robots.arm import ArmSpec
from robots.errors import BadArgumentError

Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Mode = Literal["position", "current"]  # current: position with bounded current

# Bits of the drive mode that the driver cannot work with: its profile limits the velocity, not the
# duration, and torque must come on in ``enable``, not with the first goal.
UNUSABLE_DRIVE_MODES = {2: "a time-based profile", 3: "torque on by goal"}


class ServoWiring(JointServo, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One joint's servo, and the settings in its memory when its zero and sign were measured."""

    model: str
    drive_mode: Byte = 0
    homing_offset: int = 0  # ticks
    shadow: Id | None = None  # a second servo on the joint, which obeys commands to the first
    shadow_drive_mode: Byte = 0  # reversed if the two servos face each other
    shadow_homing_offset: int = 0  # ticks
    mode: Mode | None = None  # its operating mode; None: that of the calibration


class Calibration(
    ServoCalibration[ServoWiring], frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """All servos of an arm, and their operating mode."""

    mode: Mode = "position"

    def mode_of(self, servo: ServoWiring) -> Mode:
        """The operating mode of a servo and its shadow."""
        return servo.mode or self.mode

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
    path = Path(file) if file else default_path(arm, "dynamixel.json")
    calibration = decode_calibration(path, Calibration, arm)
    check_ids(path, [*calibration.ids, *_shadow_ids(calibration)])
    check_models(path, [servo.model for servo in calibration.servos], SERVO_MODELS)
    _check_drive_modes(path, calibration)
    check_ranges(path, calibration.servos, arm)
    gripper = calibration.servos[-1]
    if arm.gripper is not None and calibration.mode_of(gripper) != "current":
        problem = f"{gripper.joint} needs the mode current, in which the force of a grip is bounded"
        raise BadArgumentError(f"{path}: {problem}")
    return calibration


def _shadow_ids(calibration: Calibration) -> list[int]:
    return [servo.shadow for servo in calibration.servos if servo.shadow is not None]


def _check_drive_modes(path: Path, calibration: Calibration) -> None:
    """Refuse settings with which the driver's bounds would not hold."""
    for servo in calibration.servos:
        for bit, meaning in UNUSABLE_DRIVE_MODES.items():
            if (servo.drive_mode | servo.shadow_drive_mode) >> bit & 1:
                problem = f"has the drive mode {meaning} (bit {bit})"
                raise BadArgumentError(f"{path}: {servo.joint} {problem}, which cannot be used")
