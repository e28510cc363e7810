"""Joint moves between rest and rest, planned inside the limits; they pass through the gate like everything else."""

import numpy as np
import ruckig

from robots.arm import Limits
from robots.signals import Array, Setpoint

CALM = 0.5  # share of velocity, acceleration and jerk a planned move uses: nobody waits for homing
RETURN = 5.0  # 1/s, how fast a move returns to its plan
ARRIVED = 1e-3  # rad


class Move:
    """A jerk-limited move of one arm to joint positions, by Ruckig; call it every tick for joint velocities."""

    def __init__(self, limits: Limits, start: Array, goal: Array) -> None:
        """``start`` and ``goal`` (j,) rad; ValueError for a goal outside the limits."""
        if not ((goal >= limits.q_low) & (goal <= limits.q_high)).all():
            raise ValueError(
                f"cannot move to {goal}: allowed are {limits.q_low} to {limits.q_high}"
            )
        j = len(goal)
        wanted = ruckig.InputParameter(j)
        wanted.current_position, wanted.target_position = start.tolist(), goal.tolist()
        wanted.max_velocity = (CALM * limits.dq).tolist()
        wanted.max_acceleration = (CALM * limits.ddq).tolist()
        wanted.max_jerk = (CALM * limits.jerk).tolist()
        self.goal, self._plan = goal, ruckig.Trajectory(j)
        result = ruckig.Ruckig(j).calculate(wanted, self._plan)
        if result not in (ruckig.Result.Working, ruckig.Result.Finished):
            raise ValueError(f"no move from {start} to {goal}: {result}")
        self.duration: float = self._plan.duration  # s

    def __call__(self, time: float, setpoint: Setpoint) -> Array:
        """Joint velocities (1, j) at ``time`` s after the start."""
        position, velocity, _ = self._plan.at_time(min(time, self.duration))
        return np.asarray(velocity)[None] + RETURN * (np.asarray(position)[None] - setpoint.q)

    def arrived(self, time: float, setpoint: Setpoint) -> bool:
        """Whether the plan has ended and the arm is told to stand at its goal."""
        return time >= self.duration and bool(np.abs(setpoint.q[0] - self.goal).max() < ARRIVED)
