"""How an arm's Feetech servos are wired and where their zeros are: a JSON file."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from hw_interface.drivers.feetech_registers import SERVO_MODELS
from hw_interface.drivers.servo_calibration import (
    JointServo,
    ServoCalibration,
    check_ids,
    check_models,
    check_ranges,
    decode_calibration,
    default_path,
)
from robots.arm import ArmSpec

Offset = Annotated[int, msgspec.Meta(ge=-2047, le=2047)]


class FeetechServo(JointServo, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One joint's servo, and the setting in its memory when its zero was measured."""

    sign: Literal[-1, 1] = 1
    homing_offset: Offset = 0  # ticks, which the servo subtracts from what it measures
    model: str = "sts3215"


FeetechCalibration = ServoCalibration[FeetechServo]


def read_calibration(file: str, arm: ArmSpec) -> FeetechCalibration:
    """Read and check a calibration.

    Args:
        file: its path; empty: the wiring of the arm as its maker assembles it.
        arm: the arm it must fit.

    Raises:
        BadArgumentError: there is no such file, or it does not fit the arm; the message says why.
    """
    path = Path(file) if file else default_path(arm, "feetech.json")
    calibration = decode_calibration(path, FeetechCalibration, arm)
    check_ids(path, calibration.ids)
    check_models(path, [servo.model for servo in calibration.servos], SERVO_MODELS)
    check_ranges(path, calibration.servos, arm)
    return calibration
