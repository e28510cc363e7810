"""A move of one arm along waypoints, from rest to rest; it replans if the arm cannot follow."""

import numpy as np

from hw_interface.control.events import Event, Report
from robots.arm import ArmSpec, Limits
from robots.bodies import make_arm_gate
from robots.clearance import Clearance, clearance_of
from robots.driver import REACHED
from robots.kinematics import Kinematics
from robots.motion import Move, explain_block
from robots.safety import SafetyGate
from robots.signals import Array, Setpoint

PROGRESS = 0.01  # rad that the setpoint must move within PATIENCE; ours
PATIENCE = 1.0  # s without that progress, after which the move counts as blocked; ours
LONGEST = 3.0  # longest duration of a move, as a multiple of the planned one; ours
PARKED = 0.05  # rad from the rest pose; ours
AT_REST = 1e-6  # rad/s, below which a setpoint counts as at rest


class GuidedMove:
    """The velocities of one move for the gate, tick by tick.

    If the setpoint cannot follow the plan, because the gate limits it or the loop has stalled, it
    brakes and the rest of the path is planned again. The arm therefore stays on the path.
    """

    def __init__(self, clearance: Clearance, path: Array) -> None:
        """Prepare to move along ``path``, (k, j) waypoints or (j,) a goal.

        Args:
            clearance: of the arm, to name what blocks it; built once in advance, because building
                it takes longer than a tick.
            path: (k, j) or (j,) rad.

        Raises:
            BadArgumentError: a waypoint is outside the position limits.
        """
        self.arrived = False  # whether the setpoint is at the goal, and at rest
        self.blocked = ""  # why the move is blocked; empty while it is not
        self._clearance = clearance
        self._limits = clearance.kinematics.arm.move_limits
        self._path = path
        self._move: Move | None = None
        self._at_goal = False
        self._braking = False  # whether it comes to rest before the rest of the path is replanned
        self._plan_time = 0.0  # s since the present plan began
        self._time = 0.0  # s since the move began
        self._longest = 0.0  # s that the move may take
        self._last_progress = path  # rad, the setpoint (j,) at its last progress
        self._waited = 0.0  # s without progress
        Move(self._limits, np.atleast_2d(path)[0], path)

    @property
    def time(self) -> float:
        """Time since the move began, s."""
        return self._time

    @property
    def has_begun(self) -> bool:
        """Whether the move has begun; it begins once the setpoint is at rest."""
        return self._move is not None

    @property
    def ended(self) -> bool:
        """Whether it has arrived or is blocked."""
        return self.arrived or bool(self.blocked)

    def begin(self, setpoint: Setpoint) -> None:
        """Plan from a setpoint at rest."""
        self._move = self._plan(setpoint)
        self._longest = LONGEST * self._move.duration + PATIENCE
        self._last_progress = setpoint.q[0]

    def _plan(self, setpoint: Setpoint) -> Move:
        """The rest of the way, from a setpoint at rest."""
        self._plan_time = 0.0
        self._braking = False
        return Move(self._limits, setpoint.q[0], self._path)

    def velocity(self, gate: SafetyGate) -> Array:
        """Joint velocities (1, j) rad/s for the next tick of the gate."""
        setpoint = gate.setpoint
        standstill = np.zeros_like(setpoint.q)
        move = self._move
        if move is None:
            return standstill
        self._time += gate.dt
        if self._at_goal or move.arrived(self._plan_time, setpoint):
            self._at_goal = True
            self.arrived = is_standing(setpoint)
            return standstill
        if self._braking and is_standing(setpoint):
            move = self._move = self._plan(setpoint)
        velocity = move(self._plan_time, setpoint)
        self._count_progress(setpoint, gate.dt)
        if self._waited > PATIENCE or self._time > self._longest:
            reason = explain_block(self._clearance, gate.limits, setpoint.q[0], velocity[0])
            self.blocked = f"{reason}, after {self._time:.1f} s"
        if not self._braking and move.lags(self._plan_time, setpoint):
            self._path = move.waypoints_after(self._plan_time)
            self._braking = True
        if self._braking:
            return standstill
        self._plan_time += gate.dt
        return velocity

    def _count_progress(self, setpoint: Setpoint, dt: float) -> None:
        """Count the time, s, since the setpoint last moved on by ``PROGRESS``."""
        q = setpoint.q[0]
        self._waited += dt
        if np.abs(q - self._last_progress).max() > PROGRESS:
            self._last_progress = q
            self._waited = 0.0


def is_standing(setpoint: Setpoint) -> bool:
    """Whether a setpoint (1, j) is at rest."""
    return bool(np.abs(setpoint.dq).max() < AT_REST)


class Mover:
    """The gates of one arm, and its moves from rest to rest.

    The arm may start anywhere. A move therefore has its own limits, ``ArmSpec.move_limits``, and an
    episode has those of its family. The gate in use changes only at rest.
    """

    def __init__(self, arm: ArmSpec, limits: Limits, dt: float, report: Report) -> None:
        """Create the gates for ticks of ``dt`` s; ``limits`` are those of an episode."""
        self._arm = arm
        self.kinematics = Kinematics(arm)
        self._clearance = clearance_of(self.kinematics)
        self._report = report
        self._move_gate = make_arm_gate(arm, arm.move_limits, dt, self.kinematics)
        self._episode_gate = make_arm_gate(arm, limits, dt, self.kinematics)
        self._move: GuidedMove | None = None
        self.gate = self._move_gate  # the one in use
        self.arrived = False  # whether the newest move has arrived
        self.failure = ""  # why the newest move did not arrive
        self._last_tick = np.inf  # s, when the newest tick was

    def end_stall(self, now: float, longest: float) -> None:
        """After a stall of the loop, set the gate to rest: the arm stopped at the last command.

        Args:
            now: s, of this tick.
            longest: s between two ticks without a stall; up to three periods are never a stall.
        """
        elapsed = now - self._last_tick
        self._last_tick = now
        if elapsed > max(longest, 3 * self.gate.dt):
            self.gate.reset(self.gate.setpoint.q)

    @property
    def is_standing(self) -> bool:
        """Whether the setpoint is at rest."""
        return is_standing(self.gate.setpoint)

    @property
    def is_moving(self) -> bool:
        """Whether a move is under way."""
        return self._move is not None

    def is_parked(self, measured: Array) -> bool:
        """Whether the arm is at rest in its rest pose, where its torque may be switched off.

        Args:
            measured: (j,) rad; a soft arm sags below the setpoint.
        """
        setpoint = self.gate.setpoint
        held = setpoint.q[0]
        distance = float(np.abs(held - self._arm.rest).max())
        sag = float(np.abs(measured - held).max())
        return is_standing(setpoint) and distance < PARKED and sag < REACHED

    def begin(self, path: Array) -> None:
        """Begin a move along ``path``, see ``GuidedMove``, once the setpoint is at rest."""
        self._move = GuidedMove(self._clearance, path)
        self.arrived = False
        self.failure = ""

    def abort(self) -> None:
        """Cancel the move; the arm brakes."""
        self._move = None

    def velocity(self) -> Array:
        """Joint velocities (1, j) rad/s of the move, which ends on arrival or if it is blocked."""
        setpoint = self.gate.setpoint
        standstill = np.zeros_like(setpoint.q)
        move = self._move
        if move is None:
            return standstill
        if not move.has_begun:
            if not is_standing(setpoint):
                return standstill
            self._use(self._move_gate)
            move.begin(self.gate.setpoint)
        velocity = move.velocity(self.gate)
        if not move.ended:
            return velocity
        self._move = None
        self.arrived = move.arrived
        if move.arrived:
            self._use(self._episode_gate)
        else:
            self.failure = f"the way is blocked: {move.blocked}"
            self._report(Event.BLOCKED, move.time)
        return standstill

    def _use(self, gate: SafetyGate) -> None:
        """Switch to another gate, at rest."""
        if gate is not self.gate:
            gate.reset(self.gate.setpoint.q)
            self.gate = gate
