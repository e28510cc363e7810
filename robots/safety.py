"""The safety gate: every joint command passes it, in simulation and on the arm. Batched.

Axes: n arms, j joints. It enforces limits; it performs no safety function.
"""

import numpy as np
from numpy.typing import NDArray

from robots.arm import Limits
from robots.braking import StraightBraking
from robots.clear_line import ClearLine
from robots.errors import BadArgumentError
from robots.joint_steps import JointSteps, State, clip, per_arm
from robots.kinematics import Kinematics
from robots.signals import Array, Mask, Setpoint, Verdict
from robots.tool_box import PROMISE, ToolBox

CUT_TOLERANCE = 1e-9  # rad/s, a smaller change of a request is rounding
# How far outside its position limits a joint may start, as a fraction of its range. An arm that
# rests on a stop or in a cradle may be slightly outside: a ViperX in its sleep pose by 0.03 rad.
START_TOLERANCE = 0.02
UNUSABLE = int(Verdict.DROPPED | Verdict.HELD)
LIMITED = int(Verdict.LIMITED)
BOX_BRAKE = int(Verdict.LIMITED | Verdict.HELD)


class SafetyGate:
    """Turns requested joint velocities into setpoints that keep every limit, tick by tick.

    Every setpoint keeps the limits of position, velocity, acceleration and jerk, and the tool's
    speed and box; on the straight line in joint space between two setpoints the box is kept to
    ``promise``. The links can be kept clear too, see ``Clearance``. The gate only
    enters states from which the joints, braking together along a straight line in joint space, come
    to rest inside all limits; otherwise they brake along the last such line. Each step starts from
    the last setpoint, never from a measurement. For a prismatic joint, read m in place of rad.
    """

    setpoint: Setpoint  # the last command, (n, j)

    def __init__(
        self,
        limits: Limits,
        dt: float,
        n: int,
        kinematics: Kinematics | None = None,
        promise: float = PROMISE,
        keep_links_clear: bool = False,
    ) -> None:
        """Create the gate of n arms, at rest at joint positions 0 until ``reset``.

        Args:
            limits: of each of the arms.
            dt: s between two ticks.
            n: number of arms.
            kinematics: of the tool; None: there is no tool, and its box is not checked.
            promise: m, the farthest that the tool may leave its box between two setpoints.
            keep_links_clear: whether links are kept clear of the table and of each other.

        Raises:
            BadArgumentError: ``dt`` is not finite and positive, the promise cannot be kept with
                this tick, or links are to be kept clear without a tool.
        """
        if not (np.isfinite(dt) and dt > 0):
            raise BadArgumentError(f"the gate's tick must be finite and positive, got {dt} s")
        self.limits = limits
        self.dt = dt
        dq = limits.dq
        ddq = limits.ddq
        jerk = limits.jerk

        # s, for which the joints continue at full speed while the deceleration builds up
        build_up = 2 * ddq / jerk
        lag = float(build_up.max()) + 3 * dt
        # s, within which all joints can stop together
        braking = dq / (2 * ddq)
        joint_stop_time = float(braking.max()) + lag
        slack = ddq * joint_stop_time  # rad/s, see _braking_speed

        self._q_low = per_arm(limits.q_low, n)
        self._q_high = per_arm(limits.q_high, n)
        self._two_ddq = per_arm(2 * ddq, n)
        self._slack = per_arm(slack, n)
        self._slack_squared = per_arm(slack**2, n)

        self._steps = JointSteps(limits, dt, n)
        self._braking = StraightBraking(limits, dt, n)
        self._dq_max = per_arm(_highest_target(limits, self._braking.overshoot), n)
        self._on_line = np.zeros(n, dtype=bool)  # arms that brake and have coasted
        self._box: ToolBox | None = None
        if kinematics is not None:
            self._box = ToolBox(limits, kinematics, self._braking, dt, n)
            _check_promise(promise, self._box.promise, dt)
            self._tool = np.zeros((3, n))  # m, in the box
        self._links = _make_links(self._box, limits, n) if keep_links_clear else None
        zero = np.zeros_like(self._dq_max)
        self._set_state((zero, zero, zero))
        self._locate_tool()

    def reset(self, q: Array, mask: Mask | None = None) -> None:
        """Begin at rest at ``q`` (n, j) rad, for all arms or for those in ``mask`` (n,).

        A joint may start outside its limits by ``START_TOLERANCE`` of its range, and the tool
        anywhere outside its box. From there they may move back, but never further out.

        Raises:
            BadArgumentError: a position is further outside its limits, or not a number.
        """
        q = np.asarray(q, dtype=np.float64)
        if mask is None:
            mask = np.ones(len(q), dtype=bool)
        _check_start(q[mask], self.limits)
        position = np.ascontiguousarray(q.T)
        zero = np.zeros_like(position)
        start = (position, zero, zero)
        state = _choose(mask, start, self._state)
        self._set_state(state)
        self._on_line &= ~mask
        self._locate_tool()

    def __call__(self, target: Array) -> tuple[Setpoint, NDArray[np.int64]]:
        """Take one tick towards joint velocities ``target`` (n, j) rad/s.

        An arm with a target that is not finite brakes to a standstill.

        Returns:
            The setpoint, (n, j) each, and Verdict flags (n,).

        Raises:
            BadArgumentError: the target has another shape.
        """
        target = checked_target(target, self.setpoint.q.shape)
        requested = np.ascontiguousarray(target.T)
        verdict = np.zeros(len(target), dtype=np.int64)
        finite = np.isfinite(requested)
        if not finite.all():
            dropped = ~finite.all(0)
            requested = np.where(dropped, 0.0, requested)
            verdict |= dropped * UNUSABLE

        q = self._q
        dq = self._dq
        below = q - self._q_low
        above = self._q_high - q
        slowest = -self._braking_speed(below)
        fastest = self._braking_speed(above)
        allowed = clip(requested, slowest, fastest)
        change = np.abs(allowed - requested)
        cut = change > CUT_TOLERANCE
        urgent = cut | (dq < slowest) | (dq > fastest)
        limited = cut.any(0)

        box = self._box
        if box is None:
            self._set_state(self._steps.toward(self._state, allowed, urgent))
            return self.setpoint, verdict | limited * LIMITED
        fraction = box.allowed_fraction(q, self._tool, allowed)
        limited |= fraction < 1
        allowed = fraction * allowed
        toward = allowed
        if self._links is not None:
            limited |= self._links.fraction < 1
            toward = self._links.fraction * allowed
        state = self._steps.toward(self._state, toward, urgent)
        stopped = self._brake_unless_it_can_stop(box, state, allowed)
        return self.setpoint, verdict | limited * LIMITED | stopped * BOX_BRAKE

    def _brake_unless_it_can_stop(self, box: ToolBox, state: State, allowed: Array) -> Mask:
        """Enter ``state``, or brake the arms that could not stop in the box from there, (n,).

        The last state was checked in the same way, so the arm can brake from there. ``allowed``
        (j, n) rad/s are the velocities for which the links' next forecast is made.
        """
        displacement, time = self._braking.line(state)
        leaves, tool = box.would_leave(self._tool, state[0], displacement, time)
        if self._links is not None:
            leaves |= self._links.would_hit(state[0], displacement, allowed)
        self._on_line &= leaves
        if leaves.any():
            rows = np.flatnonzero(leaves)
            q = self._q[:, rows]
            dq = self._dq[:, rows]
            ddq = self._ddq[:, rows]
            last = (q, dq, ddq)
            braked, self._on_line[rows] = self._braking.tick(last, self._on_line[rows])
            for values, braked_values in zip(state, braked, strict=True):
                values[:, rows] = braked_values
            tool[:, rows] = box.position(braked[0])
        if self._links is not None:
            self._links.move(state[0])
        self._set_state(state)
        self._tool = tool
        return leaves

    def _locate_tool(self) -> None:
        """Compute the tool's position in its box, (3, n) m."""
        if self._box is not None:
            self._tool = self._box.position(self._q)
        if self._links is not None:
            self._links.begin(self._q)

    def _set_state(self, state: State) -> None:
        self._state = state
        self._q, self._dq, self._ddq = state
        self.setpoint = Setpoint(self._q.T, self._dq.T, self._ddq.T)

    def _braking_speed(self, distance: Array) -> Array:
        """The highest speed from which a joint stops within ``distance`` (j, n) rad, (j, n) rad/s.

        It solves v²/(2·ddq) + v·T = distance, where T is the time in which all joints stop. The
        joint may thus brake together with all others, however fast they are. With
        slack = ddq·T, v = √(slack² + 2·ddq·distance) - slack.
        """
        room = np.maximum(distance, 0.0)
        root = np.sqrt(self._slack_squared + self._two_ddq * room)
        return np.minimum(root - self._slack, self._dq_max)


def may_start(q: Array, limits: Limits) -> Mask:
    """Which joints may start at ``q`` (..., j): at most ``START_TOLERANCE`` outside; not NaN."""
    tolerance = START_TOLERANCE * (limits.q_high - limits.q_low)
    inside: Mask = (q >= limits.q_low - tolerance) & (q <= limits.q_high + tolerance)
    return inside


def _check_start(q: Array, limits: Limits) -> None:
    joints = np.flatnonzero(~may_start(q, limits).all(0))
    if joints.size:
        first = int(joints[0])
        raise BadArgumentError(
            f"joint {first} cannot start at {q[:, first]}: "
            f"allowed are {limits.q_low[first]} to {limits.q_high[first]}"
        )


def _check_promise(promise: float, kept: float, dt: float) -> None:
    if kept > promise:
        raise BadArgumentError(
            f"with a tick of {dt} s and these limits the tool could leave its box by "
            f"{1000 * kept:.1f} mm, allowed are {1000 * promise:.1f} mm: take a shorter tick"
        )


def _highest_target(limits: Limits, overshoot: Array) -> Array:
    """The highest velocities (j,) rad/s to work toward, from which none exceeds its limit.

    Raises:
        BadArgumentError: the jerk limit of a joint is too low for its other limits.
    """
    highest: Array = limits.dq - overshoot
    too_low = np.flatnonzero(highest < limits.dq / 2)
    if too_low.size:
        joint = int(too_low[0])
        raise BadArgumentError(
            f"joint {joint}: with a jerk of {limits.jerk[joint]:g} an acceleration of "
            f"{limits.ddq[joint]:g} cannot be ended before its velocity exceeds "
            f"{limits.dq[joint]:g}: raise the jerk, or lower the acceleration"
        )
    return highest


def _make_links(box: ToolBox | None, limits: Limits, n: int) -> ClearLine:
    if box is None:
        raise BadArgumentError("keep_links_clear needs an arm with a tool: pass its kinematics")
    return ClearLine(limits, box.kinematics, box.lag, n)


def checked_target(target: Array, shape: tuple[int, ...]) -> Array:
    """A gate's target as an array; BadArgumentError where it has another shape."""
    target = np.asarray(target, dtype=np.float64)
    if target.shape != shape:
        raise BadArgumentError(f"the gate takes targets of shape {shape}, got {target.shape}")
    return target


def _choose(mask: Mask, new: State, old: State) -> State:
    """``new`` for the arms in ``mask`` (n,), ``old`` for the others."""
    q = np.where(mask, new[0], old[0])
    dq = np.where(mask, new[1], old[1])
    ddq = np.where(mask, new[2], old[2])
    return q, dq, ddq
