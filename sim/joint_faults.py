"""Joints that do not move as commanded: dead, weak or inverted ones.

A fault is a task parameter, and absent where the task does not name it:

``disturbance.gain.JOINT``   the joint's motion as a factor of the commanded one: 1 as commanded, 0
                             none, as if braked, negative the other way

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
    """Turns what the gate commands the joints of n worlds into what faulty joints do.

    A joint with gain g that began an episode at q0 and is commanded to q goes to q0 + g·(q - q0),
    or to its limit where that lies beyond. The gate does not know: it limits what is commanded.
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
        """Count motion from ``q`` (n, j) rad or m on: joints were stopped there, and hold."""
        self._start = q.copy()

    def __call__(self, command: Setpoint | Torque) -> Setpoint | Torque:
        """What the joints do under a command with fields (k, n, j); it has such fields, too.

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
