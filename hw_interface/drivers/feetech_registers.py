"""Memory, units and models of Feetech STS servos.

Addresses and model numbers: Feetech's "SMS and STS memory table", as quoted by LeRobot's
``motors/feetech/tables.py``. Units and encodings: Feetech's own client, FTServo. Two bytes hold a
number with its sign in one bit, not as two's complement.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_interface.drivers.serial_bus import Register
from hw_interface.drivers.servo_calibration import TICK
from robots.signals import Array

VELOCITY_UNIT = TICK  # rad/s: one tick per second
CURRENT_UNIT = 6.5e-3  # A
TORQUE_LIMIT_UNIT = 1e-3  # share of the stall torque
POSITION_SIGN = 15  # the bit that holds the sign
VELOCITY_SIGN = 15
LOAD_SIGN = 10
OFFSET_SIGN = 11
CURRENT_SIGN = 15
POSITION_MODE = 0
ONE_TURN = 1  # angular resolution: ticks are not multiplied
STANDING = 16  # largest velocity of a servo at rest, in VELOCITY_UNIT: 0.025 rad/s, ours

STATUS_BITS = {  # of the status register, and of the error of every answer
    0: "input voltage",
    1: "position sensor",
    2: "overheating",
    3: "overcurrent",
    4: "angle",
    5: "overload",
}


@dataclass(frozen=True)
class ServoModel:
    """A kind of servo."""

    number: int  # as the servo reports it
    stall_torque: float  # N·m at 12 V
    stall_current: float  # A

    @property
    def torque_constant(self) -> float:
        """N·m/A."""
        return self.stall_torque / self.stall_current


# Torque: SO-ARM100's README (30 kg·cm); current: data of the servo as quoted in its issue 132.
SERVO_MODELS = {"sts3215": ServoModel(777, 2.94, 2.7)}

TORQUE = Register(40, 1)
ACCELERATION = Register(41, 1)  # 0: as fast as the servo can
GOAL_POSITION = Register(42, 2)
BOUNDS = Register(44, 6)  # goal time, goal velocity, torque limit
TORQUE_LIMIT = Register(48, 2)

# The four blocks that are read have different lengths, also when up to three bytes more are asked
# for: see ``SerialBus.sync_read``.
PRESENT = Register(56, 15)
PRESENT_FIELDS = np.dtype(
    {
        "names": ["position", "velocity", "load", "current"],
        "formats": ["<u2", "<u2", "<u2", "<u2"],
        "offsets": [0, 2, 4, 13],
        "itemsize": PRESENT.size,
    }
)
MOTION = Register(42, 22)
MOTION_FIELDS = np.dtype(
    {
        "names": ["goal", "position", "velocity"],
        "formats": ["<u2", "<u2", "<u2"],
        "offsets": [0, 14, 16],
        "itemsize": MOTION.size,
    }
)
CONTROL = Register(40, 31)
CONTROL_FIELDS = np.dtype(
    {
        "names": [
            "torque",
            "acceleration",
            "goal_position",
            "goal_time",
            "goal_velocity",
            "torque_limit",
            "present_position",
            "status",
        ],
        "formats": ["u1", "u1", "<u2", "<u2", "<u2", "<u2", "<u2", "u1"],
        "offsets": [0, 1, 2, 4, 6, 8, 16, 25],
        "itemsize": CONTROL.size,
    }
)
SETTINGS = Register(0, 40)  # the EEPROM, which keeps its values without power
SETTINGS_FIELDS = np.dtype(
    {
        "names": [
            "model",
            "lowest_position",
            "highest_position",
            "max_torque",
            "angular_resolution",
            "homing_offset",
            "operating_mode",
        ],
        "formats": ["<u2", "<u2", "<u2", "<u2", "u1", "<u2", "u1"],
        "offsets": [3, 9, 11, 16, 30, 31, 33],
        "itemsize": SETTINGS.size,
    }
)


def to_signed(raw: NDArray[np.uint16], bit: int) -> Array:
    """Numbers whose sign is in ``bit``, and whose size is in the bits below it."""
    size = (raw & ((1 << bit) - 1)).astype(np.float64)
    is_negative = (raw >> bit) & 1 == 1
    return np.where(is_negative, -size, size)


def from_signed(value: int, bit: int) -> int:
    """The inverse of ``to_signed`` for one number."""
    sign = 1 << bit if value < 0 else 0
    return sign | abs(value)


def describe_status(status: int) -> str:
    """The faults that a servo reports, in words."""
    names = [name for bit, name in STATUS_BITS.items() if status >> bit & 1]
    return ", ".join(names) or f"code {status}"
