"""Move an arm from rest to a pose, through the gate and the control process like every motion."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from adaptation.jobs.park import open_arm
from hw_interface.arm_moves import MovePlan
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.counting import counted
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.motion import ARRIVED_TOLERANCE, describe_outside
from robots.signals import Array

POSES = ("home", "rest")  # that every arm has


class MoveResult(msgspec.Struct, frozen=True):
    """Where a move has left an arm."""

    arm: str
    q: list[float]  # rad, the joints as they were measured
    moved: bool  # False: it was not confirmed, and the arm stands where it stood
    seconds: float  # that the plan takes


def parse_pose(arm: ArmSpec, text: str) -> Array:
    """Parse a pose: ``home``, ``rest``, or an angle for each joint.

    Args:
        arm: the arm.
        text: a name of ``POSES``, or angles in rad with commas between them.

    Returns:
        (j,) rad.

    Raises:
        BadArgumentError: it is neither, or an angle is outside the joint's limits.
    """
    if text in POSES:
        pose: Array = getattr(arm, text)
        return pose
    try:
        q = np.array([float(word) for word in text.split(",")])
    except ValueError:
        q = np.empty(0)
    if len(q) != len(arm.joints):
        names = ",".join(arm.joints)
        raise BadArgumentError(f"--to takes home, rest or {names} in rad, got {text!r}")
    limits = arm.limits
    inside = (q >= limits.q_low) & (q <= limits.q_high)  # False for NaN
    if not inside.all():
        raise BadArgumentError(f"--to: {describe_outside(arm, q, inside)}")
    return q


def describe_plan(arm: ArmSpec, plan: MovePlan) -> str:
    """Describe a planned move: which joints, how far, how fast and how long."""
    way = np.abs(np.diff(plan.path, axis=0)).sum(0)  # (j,) rad
    farthest = int(way.argmax())
    if way[farthest] < ARRIVED_TOLERANCE:
        return f"{arm.name} stands there already"
    speed = plan.motion.highest_speed()
    fastest = int(speed.argmax())
    tool = Kinematics(arm).position(plan.path[[0, -1]])
    distance = float(np.linalg.norm(tool[1] - tool[0]))
    stops = len(plan.path) - 2
    by_way = f" and stop {counted(stops, 'time')} on its way" if stops else ""
    return (
        f"{arm.name} will move for {plan.motion.duration:.1f} s{by_way}:"
        f" {arm.joints[farthest]} turns the farthest, {way[farthest]:.2f} rad;"
        f" {arm.joints[fastest]} the fastest,"
        f" {speed[fastest]:.2f} rad/s; the tool ends {distance:.2f} m from where it is"
    )


def move(
    arm: str,
    goal: Array,
    driver: str = "twin",
    options: dict[str, Any] | None = None,
    confirm: Callable[[str], bool] | None = None,
) -> MoveResult:
    """Move an arm to a pose and leave it there, with its motors on.

    Args:
        arm: a name in ``ARMS``.
        goal: (j,) rad.
        driver: a name in ``DRIVERS``.
        options: of the driver.
        confirm: gets the description of the move; returns whether to move. None: move.

    Raises:
        BadArgumentError: an option does not exist, or the goal is outside the limits.
        ArmError: the arm did not come up or did not arrive; the message says why.
    """
    with open_arm(arm, driver, options) as world:
        plan = world.moves.plan(goal)
        moved = confirm is None or confirm(describe_plan(ARMS[arm], plan))
        if moved:
            world.moves.follow(plan)
        q = world.control.state["q"].tolist()
    return MoveResult(arm=arm, q=q, moved=moved, seconds=plan.motion.duration)
