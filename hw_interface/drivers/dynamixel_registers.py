"""The control table of Dynamixel X servos: ROBOTIS e-manual, XM540-W270 and XM430-W350."""

import numpy as np

from hw_interface.drivers.serial_bus import Register

TORQUE = Register(64, 1)
BUS_WATCHDOG = Register(98, 1)
GOAL_CURRENT = Register(102, 2)
PROFILE = Register(108, 8)  # acceleration, velocity
GOAL_POSITION = Register(116, 4)

# Read in every tick. The block includes the servo's clock, which shows the age of an answer that is
# repeated or late.
PRESENT = Register(120, 16)
PRESENT_FIELDS = np.dtype(
    {
        "names": ["clock", "current", "velocity", "position"],
        "formats": ["<u2", "<i2", "<i4", "<i4"],
        "offsets": [0, 6, 8, 12],
        "itemsize": PRESENT.size,
    }
)

SETTINGS = Register(0, 64)  # the EEPROM area, which keeps its values without power
SETTINGS_FIELDS = np.dtype(
    {
        "names": [
            "model",
            "drive_mode",
            "operating_mode",
            "secondary_id",
            "homing_offset",
            "current_limit",
            "velocity_limit",
        ],
        "formats": ["<u2", "u1", "u1", "u1", "<i4", "<u2", "<u4"],
        "offsets": [0, 10, 11, 12, 20, 38, 44],
        "itemsize": SETTINGS.size,
    }
)

CONTROL = Register(64, 72)  # the RAM area: goals, limits and measurements
CONTROL_FIELDS = np.dtype(
    {
        "names": [
            "torque",
            "hardware_error",
            "bus_watchdog",
            "goal_current",
            "profile_acceleration",
            "profile_velocity",
            "goal_position",
            "present_position",
        ],
        "formats": ["u1", "u1", "u1", "<i2", "<u4", "<u4", "<i4", "<i4"],
        "offsets": [0, 6, 34, 38, 44, 48, 52, 68],
        "itemsize": CONTROL.size,
    }
)

# from the goal position to the present position; no other block that is read has this length
MOTION = Register(116, 20)
MOTION_FIELDS = np.dtype(
    {
        "names": ["goal", "velocity", "position"],
        "formats": ["<i4", "<i4", "<i4"],
        "offsets": [0, 12, 16],
    }
)
