"""Moves from rest to rest, which the policy's process plans and the control process runs."""

from dataclasses import dataclass

import numpy as np

from hw_interface.control.client import TIMEOUT, ControlClient
from hw_interface.control.events import Mode
from hw_interface.control.guided_move import LONGEST
from hw_interface.control.layout import Record
from hw_interface.control.requests import Request, object_pose
from robots.clearance import Clearance
from robots.driver import REACHED
from robots.errors import ArmError
from robots.kinematics import Kinematics
from robots.motion import Move
from robots.paths import WAYPOINTS, plan_path
from robots.signals import Array
from robots.world import Start


@dataclass(frozen=True)
class MovePlan:
    """A move from rest to rest along straight lines between waypoints."""

    path: Array  # (k, j) rad, from where the arm stands to the goal
    motion: Move  # along it


class ArmMoves:
    """Plans moves around the table and the arm itself, and has them carried out."""

    def __init__(self, kinematics: Kinematics, control: ControlClient, seed: int) -> None:
        """``seed`` is that of the search for a path."""
        self._arm = kinematics.arm
        self._control = control
        self._clearance = Clearance(kinematics)
        self._rng = np.random.default_rng([seed, 1])

    def begin_episode(self, start: Start, task: Array) -> Record:
        """Move to an episode's start, with its task (p,), and have the object placed.

        Returns:
            The state on arrival; its mode is ARMED unless something has happened.

        Raises:
            ArmError: there is no free way, it is refused, or the arm is blocked.
        """
        plan = self.plan(start.q[0])
        pose = object_pose(start)
        return self._move(Request.BEGIN_EPISODE, plan, object_pose=pose, task=task)

    def plan(self, goal: Array) -> MovePlan:
        """A free way from where the arm stands to ``goal`` (j,) rad.

        Raises:
            BadArgumentError: the goal is outside the limits.
            ArmError: no free way was found.
        """
        begin = self._standing_at(self._control.state)
        path = plan_path(self._clearance, begin, goal, self._rng)
        return MovePlan(path, Move(self._arm.move_limits, begin, path[1:]))

    def move_to(self, goal: Array) -> None:
        """Move to ``goal`` (j,) rad, and stand there.

        Raises:
            BadArgumentError: the goal is outside the limits.
            ArmError: there is no free way, it is refused, or the arm does not arrive.
        """
        self.follow(self.plan(goal))

    def follow(self, plan: MovePlan) -> None:
        """Move as planned, and stand at the goal.

        Raises:
            ArmError: the arm was moved since, the move is refused, or the arm does not arrive.
        """
        state = self._move(Request.MOVE, plan)
        arrived = state["arrived_seq"] == state["last_request_seq"]
        if state["mode"] != Mode.IDLE or not arrived:
            where = self._control.explain_mode()
            raise ArmError(f"the arm did not arrive, it is in {where}")

    def park(self, torque_off: bool = False) -> None:
        """Move to the arm's rest pose; then, if asked, switch its motors off.

        Raises:
            ArmError: as for ``move_to``, or the motors cannot be switched off.
        """
        self.move_to(self._arm.rest)
        if torque_off:
            self._control.request(Request.TORQUE_OFF)

    def _move(self, kind: Request, plan: MovePlan, **values: Array) -> Record:
        """Request a move, and wait for its end; returns the state then."""
        goal = plan.path[-1]
        between = plan.path[1:-1]
        shift = self._standing_at(self._control.state) - plan.path[0]
        if np.abs(shift).max() >= REACHED:
            raise ArmError("the arm no longer stands where the move was planned to begin")
        waypoints = np.zeros((WAYPOINTS, len(goal)))
        waypoints[: len(between)] = between
        seq = self._control.request(
            kind, q=goal, waypoints=waypoints, waypoint_count=len(between), **values
        )

        def ended(state: Record) -> bool:
            left_idle = state["mode"] != Mode.IDLE
            return bool(left_idle or state["ended_seq"] >= seq)

        timeout = TIMEOUT + LONGEST * plan.motion.duration
        state = self._control.wait_for(ended, "reach its goal", timeout)
        if state["failed_seq"] >= seq:
            has_arrived = state["arrived_seq"] >= seq
            what = "was not armed at its start" if has_arrived else "did not reach its goal"
            raise ArmError(f"the arm {what}: {self._control.shared.reason}")
        return state

    def _standing_at(self, state: Record) -> Array:
        """Where the next move will begin, (j,) rad: at the setpoint, unless the arm was moved."""
        q: Array = state["q"]
        q_set: Array = state["q_set"]
        distance = np.abs(q - q_set).max()
        return q_set if distance < REACHED else q
