"""How each kind of body is commanded and gated: one function per question, dispatched on the kind.

A new kind of body registers its answers in its own file: ``@make_gate.register``.
"""

from functools import singledispatch
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robots.arm import ArmSpec, Body, Limits, Walker
from robots.kinematics import Kinematics
from robots.safety import SafetyGate, TorqueGate
from robots.signals import Array, Mask, Setpoint, Torque


class Gate(Protocol):
    """Turns requested joint commands into ones that keep every limit, tick by tick."""

    limits: Limits

    @property
    def setpoint(self) -> Setpoint:
        """What the joints were commanded last, (n, j); NaN for torque-driven bodies."""
        ...

    def reset(self, q: Array, mask: Mask | None = None) -> None:
        """Begin at rest at ``q`` (n, j) rad, for all rows or those in ``mask`` (n,)."""
        ...

    def __call__(self, target: Array) -> tuple[Setpoint | Torque, NDArray[np.int64]]:
        """One tick towards ``target`` (n, j); returns the command and Verdict flags (n,)."""
        ...


@singledispatch
def make_kinematics(body: Body) -> Kinematics | None:
    """The kinematics of a body's tool; None for a body without a tool."""
    return None


@make_kinematics.register
def _(body: ArmSpec) -> Kinematics:
    return Kinematics(body)


@singledispatch
def make_gate(body: Body, limits: Limits, dt: float, n: int) -> Gate:
    """The gate before n bodies' joints, for a tick of ``dt`` s."""
    return SafetyGate(limits, dt, n, make_kinematics(body))


@make_gate.register
def _(body: Walker, limits: Limits, dt: float, n: int) -> Gate:
    return TorqueGate(limits, n)
