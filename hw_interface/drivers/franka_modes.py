"""What a Franka controller reports about itself, as text and as the protocol's condition."""

from enum import IntEnum
from typing import Any

from robots.signals import Condition


class RobotMode(IntEnum):
    """State of the controller: libfranka's ``RobotMode``."""

    OTHER = 0
    IDLE = 1
    MOVE = 2
    GUIDING = 3
    REFLEX = 4
    USER_STOPPED = 5
    AUTOMATIC_ERROR_RECOVERY = 6


MAY_MOVE = (RobotMode.IDLE, RobotMode.MOVE)
REMEDIES = {
    RobotMode.OTHER: "look at Desk: the joints may be locked, or FCI not activated",
    RobotMode.GUIDING: "let go of the buttons at the hand",
    RobotMode.REFLEX: "look at the arm and remove the cause; then start with "
    "--driver-set recover=true",
    RobotMode.USER_STOPPED: "release the external activation device",
    RobotMode.AUTOMATIC_ERROR_RECOVERY: "wait until the recovery has ended",
}


def condition_of(mode: int) -> Condition:
    """The condition that a mode implies for an arm that is enabled."""
    if mode in MAY_MOVE:
        return Condition.READY
    outside = (RobotMode.USER_STOPPED, RobotMode.GUIDING)
    return Condition.EXTERNAL_STOP if mode in outside else Condition.ERROR


def describe_stop(mode: int, errors: str) -> str:
    """Why the arm does not move, and what to do.

    Args:
        mode: of the controller, none of ``MAY_MOVE``.
        errors: names of its errors, empty where it reports none.
    """
    known = RobotMode(mode)
    reported = f", {errors}" if errors else ""
    return f"the arm is stopped (mode {known.name}{reported}): {REMEDIES[known]}"


def names_of(errors: Any) -> str:
    """The names of the flags that are set, by comma; ``errors`` is the client's ``Errors``."""
    names = [name for name in dir(errors) if not name.startswith("_")]
    return ", ".join(name for name in names if getattr(errors, name) is True)
