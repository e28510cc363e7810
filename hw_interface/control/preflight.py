"""Checks before an arm moves, and again before it is armed; any failed check refuses it."""

import numpy as np

from hw_interface.control.measurements import Measurements
from robots.arm import ArmSpec
from robots.safety import may_start
from robots.signals import Array, Condition, JointState, Mask


def preflight(arm: ArmSpec, state: JointState, setpoint: Array, found: Measurements) -> str:
    """The checks that fail, each with its first joint; empty if the arm is ready.

    Args:
        arm: the arm.
        state: its newest reading.
        setpoint: (j,) rad, where it is held.
        found: the checks of the readings so far.
    """
    problems = []
    if state.condition is not Condition.READY:
        problems.append(f"motors: {state.condition.name}")
    outside = ~may_start(state.q, arm.limits)
    if outside.any():
        problems.append(f"limits: {_name_first(arm, outside)} is outside its position limits")
    away = np.abs(state.q - setpoint) > found.config.tracking_error
    if away.any():
        problems.append(f"tracking: {_name_first(arm, away)} is not where it is held")
    if found.presses:
        problems.append(f"contact: {_describe_press(arm, found)} while the arm stands")
    return "; ".join(problems)


def _describe_press(arm: ArmSpec, found: Measurements) -> str:
    """The joint that presses hardest, or the tool."""
    shares = np.nan_to_num(found.load)
    joint = int(shares.argmax())
    share = shares[joint]
    force = found.force / found.limits.force
    if force > share:
        return f"the tool presses with {force:.0%} of its force limit"
    return f"{arm.joints[joint]} presses with {share:.0%} of its torque limit"


def _name_first(arm: ArmSpec, wrong: Mask) -> str:
    """The name of the first joint for which something is wrong (j,)."""
    return arm.joints[int(np.argmax(wrong))]
