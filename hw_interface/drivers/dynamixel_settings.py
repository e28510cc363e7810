"""Checks of the servos' registers: the calibrated settings at connect, the written ones in enable.

Each of the two blocks is read as a whole: a status packet has no address, and blocks of different
lengths cannot be mistaken for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_interface.drivers.dynamixel_calibration import Calibration, ServoWiring
from hw_interface.drivers.dynamixel_models import OPERATING_MODES, SERVO_MODELS
from hw_interface.drivers.dynamixel_registers import SETTINGS, SETTINGS_FIELDS
from hw_interface.drivers.serial_bus import SerialBus
from hw_interface.drivers.servo_checks import check_setting

IntArray = NDArray[np.int64]

HARDWARE_ERRORS = {  # by bit
    0: "input voltage",
    2: "overheating",
    3: "encoder",
    4: "electrical shock",
    5: "overload",
}
# ticks, 2 degrees; ours: two servos on one joint that differ by more work against each other
SHADOW_TOLERANCE = 23


@dataclass(frozen=True)
class JointBounds:
    """The largest values that the servos of each joint accept, (j,) in the servos' units."""

    velocity: IntArray
    current: IntArray


def check_settings(bus: SerialBus, calibration: Calibration) -> JointBounds:
    """Compare the settings of every servo and shadow with the calibration.

    Raises:
        OSError: a servo does not answer.
        RuntimeError: a servo has another setting; the message names both.
    """
    velocity = []
    current = []
    for servo in calibration.servos:
        leader = _read_settings(bus, servo.id, servo.joint)
        expected = {
            "model": SERVO_MODELS[servo.model].number,
            "drive_mode": servo.drive_mode,
            "homing_offset": servo.homing_offset,
            "operating_mode": OPERATING_MODES[calibration.mode_of(servo)],
        }
        check_setting(servo.id, servo.joint, leader, expected)
        _check_follows_none(servo, int(leader["secondary_id"]), calibration)
        of_joint = [leader]
        if servo.shadow is not None:
            shadow = _read_settings(bus, servo.shadow, servo.joint)
            expected["drive_mode"] = servo.shadow_drive_mode
            expected["homing_offset"] = servo.shadow_homing_offset
            expected["secondary_id"] = servo.id
            check_setting(servo.shadow, servo.joint, shadow, expected)
            of_joint.append(shadow)
        velocity.append(min(int(settings["velocity_limit"]) for settings in of_joint))
        current.append(min(int(settings["current_limit"]) for settings in of_joint))
        if velocity[-1] == 0:
            message = "has the velocity limit 0: its speed could not be bounded"
            raise RuntimeError(f"servo {servo.id} ({servo.joint}) {message}")
    return JointBounds(np.array(velocity), np.array(current))


def _read_settings(bus: SerialBus, servo_id: int, joint: str) -> np.void:
    data = bus.read(servo_id, SETTINGS)
    if data is None:
        where = f"on {bus.port} at {bus.baud} baud"
        raise OSError(f"servo {servo_id} ({joint}) does not answer {where}")
    settings: np.void = np.frombuffer(data, SETTINGS_FIELDS)[0]
    return settings


def _check_follows_none(servo: ServoWiring, secondary_id: int, calibration: Calibration) -> None:
    """Refuse a servo whose secondary id is another joint's servo: it would execute its commands."""
    if secondary_id in calibration.ids and secondary_id != servo.id:
        message = f"has the secondary id {secondary_id}: it would follow that servo too"
        raise RuntimeError(f"servo {servo.id} ({servo.joint}) {message}")


def check_hardware_errors(servo_ids: Sequence[int], control: NDArray[np.void]) -> None:
    """Refuse servos that report a hardware error."""
    for servo_id, error in zip(servo_ids, control["hardware_error"].tolist(), strict=True):
        if error:
            names = [name for bit, name in HARDWARE_ERRORS.items() if error >> bit & 1]
            problem = ", ".join(names) or f"code {error}"
            remedy = "support the arm, remove the cause, reboot the servo"
            raise RuntimeError(f"servo {servo_id} reports {problem}: {remedy}")


def check_shadows(calibration: Calibration, servo_ids: Sequence[int], position: IntArray) -> None:
    """Refuse a shadow whose position differs from its leader's: the two would fight.

    Args:
        calibration: the wiring.
        servo_ids: of all servos.
        position: (servos,) ticks, as measured.

    Raises:
        RuntimeError: the message names both servos and their positions.
    """
    shown = dict(zip(servo_ids, position.tolist(), strict=True))
    for servo in calibration.servos:
        if servo.shadow is None:
            continue
        leader = shown[servo.id]
        shadow = shown[servo.shadow]
        if abs(shadow - leader) > SHADOW_TOLERANCE:
            difference = f"shows {shadow} ticks and servo {servo.id}, its leader, {leader}"
            remedy = "set the shadow's homing offset so that both show the same"
            raise RuntimeError(f"servo {servo.shadow} ({servo.joint}) {difference}: {remedy}")
