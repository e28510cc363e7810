"""Meta-World's Sawyer arm, what is measured of it, and what its actions mean.

Axes: n worlds, j = 4 directions of action.
"""

from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from robots.arm import Body, Limits
from robots.bodies import Gate, make_gate
from robots.errors import BadArgumentError
from robots.signals import Array, Mask, Signals
from robots.torque_gate import TorqueGate
from sim.engines.ideal import follows_setpoints
from sim.families.gymnasium_bodies import torque_limits

DIRECTIONS = ("hand_x", "hand_y", "hand_z", "gripper")


@dataclass(frozen=True)
class MetaworldBody(Body):
    """The arm of Meta-World.

    Its ``joints`` are what an action moves: the hand in three directions, and the gripper. A
    ``Torque`` of one is its control signal in [-1, 1], without a unit. In ``Signals``, q and dq are
    MuJoCo's qpos and qvel of the task's model, followed by zeros.
    """


def metaworld_body(name: str) -> MetaworldBody:
    """The arm in the tasks of a benchmark, named like it."""
    one = np.ones(len(DIRECTIONS))
    limits = torque_limits(q_low=-one, q_high=one, tau=one)
    home = np.zeros(len(DIRECTIONS))
    return MetaworldBody(name=name, joints=DIRECTIONS, home=home, limits=limits)


@make_gate.register
def _(body: MetaworldBody, limits: Limits, dt: float, n: int) -> Gate:
    return TorqueGate(limits, n)


@follows_setpoints.register
def _(body: MetaworldBody) -> bool:
    return False


@singledispatch
def require_metaworld(body: Body) -> None:
    """Check that a body is Meta-World's arm; BadArgumentError for any other body."""
    raise BadArgumentError(f"{body.name} is not the arm of Meta-World")


@require_metaworld.register
def _(body: MetaworldBody) -> None:
    pass


@dataclass(frozen=True)
class MetaworldSignals(Signals):
    """With what metaworld says of the last action."""

    observation: Array | None = None  # (n, 39)
    reward: Array | None = None  # (n,), 0 before the first action
    success: Mask | None = None  # (n,)
