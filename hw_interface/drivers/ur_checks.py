"""Checks of a Universal Robots controller before it is commanded; each error names a remedy."""

import re

import dashboard_client
import rtde_receive

from hw_interface.drivers.bounded import Bounded
from hw_interface.drivers.ur_link import ANSWER_PATIENCE
from hw_interface.drivers.ur_modes import (
    EMERGENCY_STOPS,
    MAY_MOVE,
    RobotMode,
    RuntimeState,
    SafetyMode,
)
from robots.arm import ArmSpec

OLDEST_SOFTWARE = 5  # PolyScope's major number: that of the e-series
FULL_SPEED = 0.995  # of the speed slider; it is set in percent


def check_controller(dashboard: dashboard_client.DashboardClient, arm: ArmSpec) -> None:
    """Refuse another arm, an old controller, and one that takes no programs.

    Raises:
        RuntimeError: it is one of these; the message says what to do.
        OSError: the dashboard does not answer.
    """
    answers: list[str] = []

    def ask() -> None:
        answers.append(dashboard.polyscopeVersion())
        answers.append(dashboard.getRobotModel())
        answers.append(str(dashboard.isInRemoteControl()))

    Bounded(ask, "report its version and model").wait(ANSWER_PATIENCE)
    version, model, in_remote_control = answers
    numbers = re.match(r"(\d+)\.", version)
    if numbers is None or int(numbers[1]) < OLDEST_SOFTWARE:
        raise RuntimeError(f"the controller runs PolyScope {version}; 5 or newer is needed")
    expected, *_ = arm.name.split("_")  # without its gripper
    if _series(model) != _series(expected):
        raise RuntimeError(f"the arm at this address is a {model}, not a {arm.name}")
    if in_remote_control != "True":
        remedy = "choose Remote Control at the top right of the pendant"
        raise RuntimeError(f"the controller takes no programs in local control: {remedy}")


def _series(model: str) -> str:
    """A model's name without the e of the e-series: the dashboard calls a UR5e ``UR5``."""
    return model.strip().upper().removesuffix("E")


def check_ready(measured: rtde_receive.RTDEReceiveInterface) -> None:
    """Refuse an arm that is stopped, without power, slowed down, or busy with a program.

    Raises:
        RuntimeError: it is one of these; the message says what to do.
    """
    safety = measured.getSafetyMode()
    if safety not in MAY_MOVE:
        raise RuntimeError(_describe_stop(safety))
    mode = measured.getRobotMode()
    if mode != RobotMode.RUNNING:
        name = _name(RobotMode, mode)
        remedy = "switch the arm on and release its brakes at the pendant"
        raise RuntimeError(f"the motors are not on (robot mode {name}): {remedy}")
    fraction = measured.getTargetSpeedFraction()
    if fraction < FULL_SPEED:
        reason = "its targets would run ahead of the arm"
        remedy = "set it to 100 % at the pendant; Pliant's own limits bound the speed"
        raise RuntimeError(f"the speed slider is at {fraction:.0%}, so {reason}: {remedy}")
    if measured.getRuntimeState() != RuntimeState.STOPPED:
        raise RuntimeError("a program runs on the controller: stop it at the pendant")


def _describe_stop(safety: int) -> str:
    name = _name(SafetyMode, safety)
    if safety == SafetyMode.PROTECTIVE_STOP:
        remedy = "look at the arm, remove the cause, and release the stop at the pendant"
    elif safety in EMERGENCY_STOPS:
        remedy = "release the button, switch the arm on and release its brakes at the pendant"
    else:
        remedy = "clear it at the pendant"
    return f"the arm is stopped (safety mode {name}): {remedy}"


def _name(kind: type[RobotMode] | type[SafetyMode], number: int) -> str:
    known = {int(each): each.name for each in kind}
    return known.get(number, str(number))
