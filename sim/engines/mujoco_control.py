"""The control signals of MuJoCo's actuators, for each kind of body.

A new kind of body registers its own: ``@actuator_control.register``. Axes: n worlds, k ticks,
s substeps per tick, j joints.
"""

from functools import singledispatch

import mujoco
import numpy as np

from robots.arm import ArmSpec, Body, Walker
from robots.errors import BadArgumentError
from robots.signals import Array, Setpoint, Torque
from sim.engines.base import require_command


@singledispatch
def actuator_control(
    body: Body,
    command: Setpoint | Torque,
    model: mujoco.MjModel,
    substeps: int,
) -> Array:
    """The control signal of each actuator in each substep, (k, n, s, j).

    Args:
        body: what is driven.
        command: fields (k, n, j).
        model: the scene's, with one actuator for each joint.
        substeps: physics steps in each tick.

    Raises:
        TypeError: the body is driven by the other kind of command.
        BadArgumentError: nothing is registered for this kind of body.
    """
    kind = type(body).__name__
    raise BadArgumentError(f"{body.name}: MuJoCo cannot drive a {kind}, none is registered")


@actuator_control.register
def _(
    body: ArmSpec,
    command: Setpoint | Torque,
    model: mujoco.MjModel,
    substeps: int,
) -> Array:
    """Targets of the servos, rad.

    A setpoint is to be reached when the tick ends: before that, the target lies behind it by
    dq · remaining time. MuJoCo compares it with the position at the beginning of a substep, so the
    time that remains is taken there: the joints are then where they should be, whatever the step.
    The target is also moved ahead by damping / stiffness · dq, so that a servo whose
    damping acts against the velocity acts as if it were damped relative to dq.
    """
    setpoint = require_command(body, command, Setpoint)
    substeps_left = np.arange(substeps, 0, -1)
    remaining = model.opt.timestep * substeps_left  # s from a substep's beginning to the tick's end
    lead = body.damping / body.stiffness - remaining[:, None]  # s, (s, j)
    q = setpoint.q[:, :, None]
    dq = setpoint.dq[:, :, None]
    return np.asarray(q + dq * lead)


@actuator_control.register
def _(
    body: Walker,
    command: Setpoint | Torque,
    model: mujoco.MjModel,
    substeps: int,
) -> Array:
    """Torques as shares of the motors' gears.

    An infinite one becomes NaN, which MuJoCo reports: it would clip infinity to 1.
    """
    torque = require_command(body, command, Torque)
    gear = model.actuator_gear[:, 0]
    share = torque.tau / gear
    share = np.where(np.isfinite(share), share, np.nan)
    return np.repeat(share[:, :, None], substeps, 2)
