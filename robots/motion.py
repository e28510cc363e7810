"""Planned joint moves from rest to rest; like every other command they pass through the gate."""

import numpy as np
import ruckig

from robots.arm import Limits
from robots.errors import BadArgumentError
from robots.signals import Array, Setpoint

LIMIT_FRACTION = 0.5  # of the velocity, acceleration and jerk limits: homing need not be fast
RETURN_GAIN = 5.0  # 1/s, of the return to the plan
ARRIVED_TOLERANCE = 1e-3  # rad


class Move:
    """A jerk-limited move of one arm to joint positions, planned by Ruckig."""

    def __init__(self, limits: Limits, start: Array, goal: Array) -> None:
        """Plan the move.

        Args:
            limits: of the arm.
            start: (j,) rad, where the arm is at rest.
            goal: (j,) rad.

        Raises:
            BadArgumentError: the goal is outside the position limits, or there is no plan.
        """
        inside = (goal >= limits.q_low) & (goal <= limits.q_high)  # False for NaN
        if not inside.all():
            raise BadArgumentError(
                f"cannot move to {goal}: allowed are {limits.q_low} to {limits.q_high}"
            )
        j = len(goal)
        dq = LIMIT_FRACTION * limits.dq
        ddq = LIMIT_FRACTION * limits.ddq
        jerk = LIMIT_FRACTION * limits.jerk
        request = ruckig.InputParameter(j)
        request.current_position = start.tolist()
        request.target_position = goal.tolist()
        request.max_velocity = dq.tolist()
        request.max_acceleration = ddq.tolist()
        request.max_jerk = jerk.tolist()
        self.goal = goal
        self._plan = ruckig.Trajectory(j)
        result = ruckig.Ruckig(j).calculate(request, self._plan)
        if result not in (ruckig.Result.Working, ruckig.Result.Finished):
            raise BadArgumentError(f"no move from {start} to {goal}: {result}")
        self.duration: float = self._plan.duration  # s

    def __call__(self, time: float, setpoint: Setpoint) -> Array:
        """Joint velocities (1, j) rad/s for the gate, ``time`` s after the start.

        The planned velocity, plus a correction of the setpoint's distance to the plan.
        """
        q, dq, _ = self._plan.at_time(min(time, self.duration))
        planned_q = np.asarray(q)[None]
        planned_dq = np.asarray(dq)[None]
        return planned_dq + RETURN_GAIN * (planned_q - setpoint.q)

    def arrived(self, time: float, setpoint: Setpoint) -> bool:
        """Whether the plan has ended and the last setpoint is at the goal."""
        distance = np.abs(setpoint.q[0] - self.goal).max()
        return time >= self.duration and bool(distance < ARRIVED_TOLERANCE)
