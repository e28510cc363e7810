"""What depends on the kind of body, as functions that are dispatched on its type.

A new kind of body registers its own versions in its own file: ``@make_gate.register``.
"""

from functools import singledispatch
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robots.arm import ArmSpec, Body, Limits, Walker
from robots.kinematics import Kinematics
from robots.safety import SafetyGate
from robots.signals import Array, Mask, Setpoint, Torque
from robots.torque_gate import TorqueGate


class Gate(Protocol):
    """Turns requested joint commands into ones that keep every limit, tick by tick.

    Axes: n bodies, j joints.
    """

    @property
    def limits(self) -> Limits:
        """The limits that the gate enforces."""
        ...

    @property
    def setpoint(self) -> Setpoint:
        """The last command, (n, j); NaN for torque-driven bodies."""
        ...

    def reset(self, q: Array, mask: Mask | None = None) -> None:
        """Begin at rest at ``q`` (n, j) rad, for all rows or for those in ``mask`` (n,).

        Raises:
            BadArgumentError: a position is outside its limits or not a number.
        """
        ...

    def __call__(self, target: Array) -> tuple[Setpoint | Torque, NDArray[np.int64]]:
        """Take one tick towards ``target`` (n, j): rad/s, or N·m for torque-driven bodies.

        Returns:
            The command, (n, j), and Verdict flags (n,).

        Raises:
            BadArgumentError: the target has another shape.
        """
        ...


@singledispatch
def make_kinematics(body: Body) -> Kinematics | None:
    """The kinematics of a body with a tool; None for any other body."""
    return None


@make_kinematics.register
def _(body: ArmSpec) -> Kinematics:
    return Kinematics(body)


@singledispatch
def make_gate(body: Body, limits: Limits, dt: float, n: int) -> Gate:
    """The gate of n bodies.

    Args:
        body: its kind selects the gate: of velocities, unless the body is driven by torques.
        limits: those of the body, perhaps with a smaller tool box.
        dt: s between two ticks.
        n: number of bodies.

    Raises:
        BadArgumentError: ``dt`` is not finite and positive.
    """
    return SafetyGate(limits, dt, n, make_kinematics(body), promise=np.inf)


@make_gate.register
def _(body: Walker, limits: Limits, dt: float, n: int) -> Gate:
    return TorqueGate(limits, n)


def make_arm_gate(
    arm: ArmSpec, limits: Limits, dt: float, kinematics: Kinematics | None = None
) -> SafetyGate:
    """The gate of one real arm, with every check: all commands to a driver pass such a gate.

    Args:
        arm: the driven arm.
        limits: those of the arm, perhaps with a smaller tool box.
        dt: s between two ticks.
        kinematics: of the arm; None: they are read. Gates of the same one share their clearance.

    Raises:
        BadArgumentError: the tick is too long to keep the tool's box, or the URDF does not fit.
    """
    kinematics = kinematics or Kinematics(arm)
    return SafetyGate(limits, dt, 1, kinematics, keep_links_clear=True)
