"""Units and models of Dynamixel X servos, from the ROBOTIS e-manual, XM540-W270 and XM430-W350."""

from dataclasses import dataclass

import numpy as np

VELOCITY_UNIT = 0.229 * 2 * np.pi / 60  # rad/s, of 0.229 rpm
CURRENT_UNIT = 2.69e-3  # A
WATCHDOG_UNIT = 0.02  # s
STANDING = 1  # largest velocity of a servo at rest, in VELOCITY_UNIT (0.024 rad/s): the resolution
ALERT = 0x80  # bit of a status packet's error: the servo is in hardware error
OPERATING_MODES = {"position": 3, "current": 5}  # 5: position control with bounded current


@dataclass(frozen=True)
class ServoModel:
    """A kind of servo."""

    number: int  # as the servo reports it
    torque_constant: float  # N·m/A, stall torque over stall current at 12 V


SERVO_MODELS = {
    "xm430-w350": ServoModel(1020, 4.1 / 2.3),
    "xm540-w270": ServoModel(1120, 10.6 / 4.4),
}
