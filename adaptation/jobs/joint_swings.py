"""Small motions of one joint around where an arm stands, for the commands that calibrate it."""

from dataclasses import dataclass

import numpy as np

from hw_interface.arm_moves import MovePlan
from hw_interface.arm_world import ArmWorld
from robots.arm import ArmSpec
from robots.errors import ArmError, BadArgumentError

SIZE = 0.1  # rad, of a swing; ours
SHARE = 0.05  # of a joint's range that a swing is at most; ours
SMALLER = (1.0, 0.5)  # factors of the size, tried in turn


@dataclass(frozen=True)
class Swing:
    """A motion of one joint from where the arm stands; the others stay."""

    joint: int
    angle: float  # rad, signed
    plan: MovePlan  # the way there


def swing_size(arm: ArmSpec, joint: int) -> float:
    """How far a joint swings, rad or m."""
    span = arm.limits.q_high[joint] - arm.limits.q_low[joint]
    return float(min(SIZE, SHARE * span))


def find_swing(world: ArmWorld, arm: ArmSpec, joint: int) -> Swing:
    """A free swing of one joint, in its positive direction if that is free.

    Raises:
        ArmError: there is none; the message says what is in the way.
    """
    begin = world.control.state["q_set"]
    size = swing_size(arm, joint)
    problem = ""
    for factor in SMALLER:
        for angle in (factor * size, -factor * size):
            goal = begin.copy()
            goal[joint] += angle
            try:
                plan = world.moves.plan(goal)
            except (ArmError, BadArgumentError) as error:
                problem = problem or str(error)
                continue
            if len(plan.path) == 2:  # straight there: no other joint moves
                return Swing(joint, angle, plan)
    reason = problem or "something is in the way"
    raise ArmError(
        f"{arm.joints[joint]} cannot move by {size:.2g}: {reason}; jog it away from there"
    )


def choose_joints(arm: ArmSpec, name: str | None) -> list[int]:
    """The joint with a name, or all that move the tool.

    Raises:
        BadArgumentError: the arm has no such joint.
    """
    if name is None:
        return list(range(len(arm.tool_joints)))
    if name not in arm.tool_joints:
        names = ", ".join(arm.tool_joints)
        raise BadArgumentError(f"{arm.name} has no joint {name!r} that moves its tool: {names}")
    return [arm.tool_joints.index(name)]


def describe_swings(arm: ArmSpec, swings: list[Swing], repeats: int) -> str:
    """What will move, how far, how fast and for how long."""
    lines = []
    seconds = 0.0
    for swing in swings:
        speed = float(np.max(swing.plan.motion.highest_speed()))
        seconds += 2 * repeats * swing.plan.motion.duration
        times = f", {repeats} times" if repeats > 1 else ""
        lines.append(
            f"  {arm.joints[swing.joint]} turns by {swing.angle:+.3f} rad and back{times},"
            f" at most {speed:.2f} rad/s"
        )
    head = f"{arm.name} will move {len(swings)} joints, one after another, for {seconds:.1f} s:"
    return "\n".join([head, *lines])
