"""What a Universal Robots controller reports about itself, from the maker's RTDE guide."""

from enum import IntEnum


class RobotMode(IntEnum):
    """State of the motors and their brakes: RTDE's ``robot_mode``."""

    NO_CONTROLLER = -1
    DISCONNECTED = 0
    CONFIRM_SAFETY = 1
    BOOTING = 2
    POWER_OFF = 3
    POWER_ON = 4
    IDLE = 5  # powered, the brakes are on
    BACKDRIVE = 6
    RUNNING = 7
    UPDATING_FIRMWARE = 8


class SafetyMode(IntEnum):
    """State of the safety controller: RTDE's ``safety_mode``."""

    NORMAL = 1
    REDUCED = 2  # within the reduced limits of the safety settings
    PROTECTIVE_STOP = 3
    RECOVERY = 4  # a joint is outside the safety limits, and is moved back by hand
    SAFEGUARD_STOP = 5
    SYSTEM_EMERGENCY_STOP = 6
    ROBOT_EMERGENCY_STOP = 7
    VIOLATION = 8
    FAULT = 9
    VALIDATE_JOINT_ID = 10
    UNDEFINED_SAFETY_MODE = 11
    AUTOMATIC_MODE_SAFEGUARD_STOP = 12
    SYSTEM_THREE_POSITION_ENABLING_STOP = 13


class RuntimeState(IntEnum):
    """State of the program on the controller: RTDE's ``runtime_state``."""

    STOPPING = 0
    STOPPED = 1
    PLAYING = 2
    PAUSING = 3
    PAUSED = 4
    RESUMING = 5


MAY_MOVE = (SafetyMode.NORMAL, SafetyMode.REDUCED)  # modes in which the arm follows a program
# stops by a person, a sensor or the controller itself; a person has to release them
STOPPED_OUTSIDE = (
    SafetyMode.PROTECTIVE_STOP,
    SafetyMode.SAFEGUARD_STOP,
    SafetyMode.SYSTEM_EMERGENCY_STOP,
    SafetyMode.ROBOT_EMERGENCY_STOP,
    SafetyMode.AUTOMATIC_MODE_SAFEGUARD_STOP,
    SafetyMode.SYSTEM_THREE_POSITION_ENABLING_STOP,
)
EMERGENCY_STOPS = (SafetyMode.SYSTEM_EMERGENCY_STOP, SafetyMode.ROBOT_EMERGENCY_STOP)
