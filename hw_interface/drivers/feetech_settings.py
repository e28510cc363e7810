"""Checks of Feetech servos: their settings at connect, their faults in enable."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hw_interface.drivers.feetech_calibration import FeetechCalibration
from hw_interface.drivers.feetech_registers import (
    OFFSET_SIGN,
    ONE_TURN,
    POSITION_MODE,
    SERVO_MODELS,
    SETTINGS,
    SETTINGS_FIELDS,
    describe_status,
    to_signed,
)
from hw_interface.drivers.serial_bus import SerialBus
from hw_interface.drivers.servo_checks import check_setting
from robots.signals import Array

# ticks, 5 degrees; ours: a range that was recorded by hand ends a little before the joint does
RANGE_TOLERANCE = 57


def check_settings(
    bus: SerialBus, calibration: FeetechCalibration, lowest: Array, highest: Array
) -> NDArray[np.int64]:
    """Compare the settings of every servo with the calibration.

    Args:
        bus: the open bus.
        calibration: the wiring.
        lowest: (j,) ticks, the lowest goals of the joints.
        highest: (j,) ticks.

    Returns:
        (j,) the largest torque that each servo allows, in TORQUE_LIMIT_UNIT.

    Raises:
        OSError: a servo does not answer.
        RuntimeError: a servo has another setting; the message names both.
    """
    max_torque = []
    for joint, servo in enumerate(calibration.servos):
        data = bus.read(servo.id, SETTINGS)
        who = f"servo {servo.id} ({servo.joint})"
        if data is None:
            raise OSError(f"{who} does not answer on {bus.port} at {bus.baud} baud")
        settings = np.frombuffer(data, SETTINGS_FIELDS)
        expected = {
            "model": SERVO_MODELS[servo.model].number,
            "operating_mode": POSITION_MODE,
            "angular_resolution": ONE_TURN,
        }
        check_setting(servo.id, servo.joint, settings[0], expected)
        offset = int(to_signed(settings["homing_offset"], OFFSET_SIGN)[0])
        if offset != servo.homing_offset:
            difference = f"the homing offset {offset}, its calibration {servo.homing_offset}"
            raise RuntimeError(f"{who} has {difference}")
        low = int(settings["lowest_position"][0])
        high = int(settings["highest_position"][0])
        if low - lowest[joint] > RANGE_TOLERANCE or highest[joint] - high > RANGE_TOLERANCE:
            needed = f"the joint moves from {lowest[joint]:.0f} to {highest[joint]:.0f}"
            raise RuntimeError(f"{who} has the position limits {low} to {high}; {needed}")
        max_torque.append(int(settings["max_torque"][0]))
    return np.array(max_torque)


def check_status(servo_ids: Sequence[int], status: NDArray[np.uint8]) -> None:
    """Refuse servos that report a fault.

    Raises:
        RuntimeError: one does; the message has its id and fault.
    """
    for servo_id, faults in zip(servo_ids, status.tolist(), strict=True):
        if faults:
            problem = describe_status(faults)
            remedy = "support the arm, remove the cause, switch its power off and on"
            raise RuntimeError(f"servo {servo_id} reports {problem}: {remedy}")
