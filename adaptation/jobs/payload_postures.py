"""Postures in which a payload shows: chosen around where an arm stands, so that they tell most."""

from collections.abc import Callable

import numpy as np

from hw_interface.arm_world import ArmWorld
from robots.arm import ArmSpec
from robots.clearance import Clearance
from robots.errors import ArmError, BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array

CANDIDATES = 200  # random postures
SPREAD = 0.8  # rad around the middle, of every joint but the first, which gravity does not load
FREE = 0.02  # m, of the links' clearance beyond the planner's own
Rows = Callable[[Array], Array]  # equations (p, rows, k) of postures (p, j)


def choose_postures(world: ArmWorld, arm: ArmSpec, rows: Rows, count: int) -> Array:
    """Postures (count, j) that can be reached, the most telling ones first.

    Each is the one that, with those before it, makes the unknowns known best (D-optimal, chosen
    greedily); the last one, which checks the others, is chosen the same way.

    Args:
        world: the arm.
        arm: the same.
        rows: the equations that a posture adds.
        count: how many.

    Raises:
        ArmError: there are not enough free postures near.
    """
    begin = world.control.state["q_set"]
    candidates = _free_postures(arm, begin)
    equations = rows(candidates)
    information = 1e-6 * np.eye(equations.shape[-1])
    gains = np.einsum("prk,prl->pkl", equations, equations)
    chosen: list[Array] = []
    left = list(range(len(candidates)))
    while left and len(chosen) < count:
        _, volumes = np.linalg.slogdet(information + gains[left])
        best = left.pop(int(volumes.argmax()))
        if _can_be_reached(world, candidates[best]):
            chosen.append(candidates[best])
            information = information + gains[best]
    if len(chosen) < count:
        raise ArmError(
            f"only {len(chosen)} of {count} postures near {arm.name} are free: jog it to where the"
            " tool has room on all sides"
        )
    return np.stack(chosen)


def _free_postures(arm: ArmSpec, begin: Array) -> Array:
    """Postures around ``begin`` and around home, in which tool and links have room."""
    rng = np.random.default_rng(0)
    middles = np.stack([begin, arm.home])[rng.integers(0, 2, CANDIDATES)]
    tool_joints = len(arm.tool_joints)
    turned = rng.uniform(-SPREAD, SPREAD, (CANDIDATES, len(begin)))
    turned[:, tool_joints:] = 0.0
    postures = middles + turned
    postures[:, 0] = begin[0]
    limits = arm.move_limits
    margin = 0.02 * (limits.q_high - limits.q_low)
    postures = np.clip(postures, limits.q_low + margin, limits.q_high - margin)

    kinematics = Kinematics(arm)
    tool = kinematics.position(postures)
    low, high = limits.tool_box.T
    in_box = ((tool > low + FREE) & (tool < high - FREE)).all(1)
    has_room = Clearance(kinematics).slack(postures).min(0) > FREE
    free: Array = postures[in_box & has_room]
    return free


def _can_be_reached(world: ArmWorld, posture: Array) -> bool:
    """Whether there is a free way from where the arm stands."""
    try:
        world.moves.plan(posture)
    except (ArmError, BadArgumentError):
        return False
    return True
