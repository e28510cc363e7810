"""Joints that do not move as commanded: dead, weak or inverted ones.

A fault is a task parameter; a task without the parameter does not have the fault:

``disturbance.gain.JOINT``   factor of the joint's commanded motion: 1 healthy, 0 no motion, as if
                             braked, negative in the other direction

Axes: n worlds, k ticks, j joints.
"""

import numpy as np

from robots.arm import Body
from robots.errors import BadArgumentError
from robots.signals import Array, Mask, Setpoint, Torque
from robots.world import Task


def gain_name(joint: str) -> str:
    """The task parameter that is the gain of a joint's motion."""
    return f"disturbance.gain.{joint}"


class JointFaults:
    """Turns the gate's commands for the joints of n worlds into the motion of faulty joints.

    A joint with gain g that began an episode at q0 and is commanded to q goes to q0 + g·(q - q0),
    or to its limit if that lies beyond it. The gate does not know the fault: it limits the command.
    """

    def __init__(self, body: Body, n: int) -> None:
        """Begin without faults."""
        self._body = body
        self._low = body.limits.q_low
        self._high = body.limits.q_high
        self._gain = np.ones((n, len(body.joints)))  # (n, j)
        self._start = np.zeros_like(self._gain)  # (n, j) rad or m
        self._any = False

    def begin(self, task: Task, q: Array, rows: Mask) -> None:
        """Set the gains of some worlds, and where their joints begin.

        Args:
            task: one row per world.
            q: (n, j) rad or m; of a walker's, root joints come first.
            rows: (n,) the worlds that begin an episode.

        Raises:
            BadArgumentError: a gain is not finite.
        """
        for i, joint in enumerate(self._body.joints):
            name = gain_name(joint)
            if name not in task.names:
                self._gain[rows, i] = 1.0
                continue
            gain = task[name][rows]
            if not np.isfinite(gain).all():
                raise BadArgumentError(f"{name} must be finite, got {gain}")
            self._gain[rows, i] = gain
        self._any = bool((self._gain != 1).any())
        driven = q[:, -self._gain.shape[1] :]
        self._start[rows] = driven[rows]

    def restart(self, q: Array) -> None:
        """Measure motion from ``q`` (n, j) rad or m, where the joints were stopped and hold."""
        self._start = q.copy()

    def __call__(self, command: Setpoint | Torque) -> Setpoint | Torque:
        """The motion of the joints under a command; both have fields (k, n, j).

        Raises:
            BadArgumentError: a joint that is driven by a torque has a fault.
        """
        if not self._any:
            return command
        if not isinstance(command, Setpoint):
            name = gain_name(self._body.joints[0])
            raise BadArgumentError(f"{self._body.name} is driven by torques: {name} is for arms")
        gain = self._gain
        is_healthy = gain == 1
        commanded = command.q - self._start
        target = self._start + gain * commanded
        reached = np.clip(target, self._low, self._high)
        moves = is_healthy | (target == reached)
        q = np.where(is_healthy, command.q, reached)
        dq = np.where(moves, gain * command.dq, 0.0)
        ddq = np.where(moves, gain * command.ddq, 0.0)
        return Setpoint(q, dq, ddq)
