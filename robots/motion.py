"""Planned joint moves from rest to rest; like every other command they pass through the gate."""

import numpy as np
import ruckig

from robots.arm import ArmSpec, Limits
from robots.clearance import Clearance
from robots.errors import ArmError, BadArgumentError
from robots.safety import may_start
from robots.signals import Array, Mask, Setpoint

LIMIT_FRACTION = 0.5  # of the velocity, acceleration and jerk limits: homing need not be fast
RETURN_GAIN = 5.0  # 1/s, of the return to the plan
ARRIVED_TOLERANCE = 1e-3  # rad
SHORTEST = 1e-6  # rad; a joint that moves by less does not limit the speed
LAG = 0.02  # rad, how far the setpoint may be behind the plan
SPEED_SAMPLES = 200  # of a move's planned speed: misses its peak by at most 1 %
LOOK_AHEAD = (0.05, 0.1, 0.2, 0.4)  # rad ahead, where the bound that blocks a setpoint is searched


class Move:
    """A jerk-limited move of one arm along straight lines, with a stop at each waypoint."""

    def __init__(self, limits: Limits, start: Array, goal: Array) -> None:
        """Plan the move by Ruckig.

        Args:
            limits: of the arm.
            start: (j,) rad, where the arm is at rest.
            goal: (j,) rad, or (k, j) waypoints of which the last is the goal.

        Raises:
            BadArgumentError: a waypoint is outside the position limits, or there is no plan.
        """
        waypoints = np.atleast_2d(goal)
        inside = (waypoints >= limits.q_low) & (waypoints <= limits.q_high)  # False for NaN
        if not inside.all():
            raise BadArgumentError(
                f"cannot move to {goal}: allowed are {limits.q_low} to {limits.q_high}"
            )
        self._waypoints = waypoints
        self.goal = waypoints[-1]
        self._lines: list[_Line] = []
        self.duration = 0.0  # s
        begin = start
        for end in waypoints:
            line = _Line(limits, begin, end)
            self._lines.append(line)
            self.duration += line.duration
            begin = end

    def __call__(self, time: float, setpoint: Setpoint) -> Array:
        """Joint velocities (1, j) rad/s for the gate, ``time`` s after the start.

        The planned velocity, plus a term proportional to the setpoint's distance to the plan.
        """
        q, dq = self._planned(time)
        return dq[None] + RETURN_GAIN * (q[None] - setpoint.q)

    def highest_speed(self) -> Array:
        """The highest planned speed of each joint on the way, (j,) rad/s."""
        times = np.linspace(0.0, self.duration, SPEED_SAMPLES)
        speeds = [np.abs(self._planned(time)[1]) for time in times]
        highest: Array = np.max(speeds, 0)
        return highest

    def lags(self, time: float, setpoint: Setpoint) -> bool:
        """Whether the setpoint is so far from the plan that it could leave the straight lines."""
        q, _ = self._planned(time)
        return bool(np.abs(q - setpoint.q[0]).max() > LAG)

    def waypoints_after(self, time: float) -> Array:
        """The waypoints, (k, j) rad, that are still ahead ``time`` s after the start."""
        passed, _ = self._line_at(time)
        return self._waypoints[passed:]

    def arrived(self, time: float, setpoint: Setpoint) -> bool:
        """Whether the plan has ended and the last setpoint is at the goal."""
        distance = np.abs(setpoint.q[0] - self.goal).max()
        return time >= self.duration and bool(distance < ARRIVED_TOLERANCE)

    def _planned(self, time: float) -> tuple[Array, Array]:
        """Planned positions and velocities, (j,) each."""
        passed, time_on_line = self._line_at(time)
        return self._lines[passed].at_time(time_on_line)

    def _line_at(self, time: float) -> tuple[int, float]:
        """The number of finished lines ``time`` s after the start, and the s on the next line."""
        last = len(self._lines) - 1
        passed = 0
        while passed < last and time > self._lines[passed].duration:
            time -= self._lines[passed].duration
            passed += 1
        return passed, time


class _Line:
    """A straight line in joint space from rest to rest, as fast as the slowest joint allows.

    One share of the path is planned for all joints. With Ruckig's own synchronization of joints,
    those that move little may get out of proportion, and the tool leaves the line.
    """

    def __init__(self, limits: Limits, start: Array, goal: Array) -> None:
        """Plan by Ruckig from ``start`` to ``goal``, (j,) each."""
        self._start = start
        self._way = goal - start
        request = ruckig.InputParameter(1)
        request.current_position = [0.0]
        request.target_position = [1.0]
        request.max_velocity = [self._slowest(limits.dq)]
        request.max_acceleration = [self._slowest(limits.ddq)]
        request.max_jerk = [self._slowest(limits.jerk)]
        self._share = ruckig.Trajectory(1)
        result = ruckig.Ruckig(1).calculate(request, self._share)
        if result not in (ruckig.Result.Working, ruckig.Result.Finished):
            raise BadArgumentError(f"no move from {start} to {goal}: {result}")
        self.duration: float = self._share.duration  # s

    def _slowest(self, limit: Array) -> float:
        """The limit on the share's derivative with which every joint keeps its ``limit`` (j,)."""
        distance = np.maximum(np.abs(self._way), SHORTEST)
        return float(np.min(LIMIT_FRACTION * limit / distance))

    def at_time(self, time: float) -> tuple[Array, Array]:
        """Positions and velocities, (j,) each, ``time`` s after the start."""
        share, rate, _ = self._share.at_time(min(time, self.duration))
        return self._start + share[0] * self._way, rate[0] * self._way


def check_measured(arm: ArmSpec, q: Array) -> None:
    """Refuse an arm that stands at ``q`` (j,), too far outside its position limits to begin.

    Raises:
        ArmError: the message names the first such joint.
    """
    inside = may_start(q, arm.limits)
    if not inside.all():
        raise ArmError(f"{describe_outside(arm, q, inside)}: move it back by hand")


def describe_outside(arm: ArmSpec, q: Array, inside: Mask) -> str:
    """The first joint of ``q`` (j,) that is not ``inside`` (j,), and what its limits allow."""
    limits = arm.limits
    joint = int(np.argmin(inside))
    allowed = f"allowed are {limits.q_low[joint]:.4g} to {limits.q_high[joint]:.4g}"
    return f"the joint {arm.joints[joint]} is at {q[joint]:.4g} rad, {allowed}"


def explain_block(clearance: Clearance, limits: Limits, q: Array, dq: Array) -> str:
    """What prevents the arm at ``q`` (j,) from moving on with ``dq`` (j,), in words.

    It is the first bound that the joints, the tool or the links would violate a little further on.
    """
    largest = float(np.abs(dq).max())
    direction = dq / largest if largest > 0 else dq
    kinematics = clearance.kinematics
    here = kinematics.position(q[None])[0]
    slack = clearance.slack(q[None])
    allowed = np.minimum(slack, 0.0)  # (c, 1) m
    for distance in LOOK_AHEAD:
        ahead = q + distance * direction
        for i, joint in enumerate(kinematics.arm.joints):
            if dq[i] > 0 and ahead[i] > limits.q_high[i]:
                return f"the joint {joint} is at its upper limit of {limits.q_high[i]:.4g}"
            if dq[i] < 0 and ahead[i] < limits.q_low[i]:
                return f"the joint {joint} is at its lower limit of {limits.q_low[i]:.4g}"
        tool = kinematics.position(ahead[None])[0]
        for axis, name in enumerate("xyz"):
            low, high = limits.tool_box[axis]
            if tool[axis] > max(high, here[axis]):
                return f"the tool is at the upper {name} face of its box, {high:.4g} m"
            if tool[axis] < min(low, here[axis]):
                surface = "table, which is the lower z" if name == "z" else f"lower {name}"
                return f"the tool is at the {surface} face of its box, {low:.4g} m"
        slack = clearance.slack(ahead[None])
        closer = slack < allowed
        if closer.any():
            return f"a link is close to the {clearance.names[int(np.argmax(closer))]}"
    return "it did not keep up in time"
