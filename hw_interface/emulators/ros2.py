"""An emulated arm under ros2_control, over DDS: a broadcaster, two controllers and their manager.

It publishes ``joint_states`` in another order than the catalog's and with one joint more. It takes
commands as a position ``forward_command_controller`` and as a ``joint_trajectory_controller`` do,
publishes the states of its controllers, lists them and switches them. It is no ROS 2 node:
``ros2 node list`` does not show it.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw_interface.drivers import ros2_messages as messages
from hw_interface.drivers.ros2_dds import (
    COMMAND,
    COMMAND_READER,
    join,
    make_reader,
    make_writer,
    take,
    topic_name,
)
from hw_interface.drivers.ros2_options import (
    CONTROLLERS,
    Ros2Options,
    check_options,
    controller_of,
    joints_of,
)
from hw_interface.drivers.ros2_trajectory import Point
from hw_interface.emulators import Physics
from hw_interface.emulators.ros2_controllers import (
    ACTIVE,
    INACTIVE,
    Controller,
    Controllers,
    Trajectory,
    points_of,
)
from hw_interface.emulators.ros2_manager import ManagerNode
from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.signals import Array

POLL = 2e-4  # s between two looks at the clock
LATEST = 0.05  # s that a cycle may be late and is still caught up
EXTRA_JOINT = "gripper"  # a joint of the hardware that is none of the arm's
BROADCASTER = "joint_state_broadcaster"
KINDS = {
    "forward": "position_controllers/JointGroupPositionController",
    "trajectory": "joint_trajectory_controller/JointTrajectoryController",
}
BROKEN = "the hardware is in an error"
FAULTS = ("silence", "stale", "missing", "nan", "deactivated")


@dataclass(frozen=True)
class Ros2EmulatorOptions(Ros2Options):
    """ROS 2's names of the arm, its rate, and a fault that is to happen."""

    rate: float = 200.0  # Hz, update_rate of the controller manager
    active: str = ""  # the controller that is active from the beginning
    fault: str = ""  # one of ``FAULTS``
    after: float = 10.0  # s after the first command, when the fault begins


class Ros2Emulator:
    """An Emulator: one arm, with the controllers that the driver needs."""

    Options = Ros2EmulatorOptions
    holds_weight = False

    def __init__(
        self,
        arm: ArmSpec,
        physics: Physics,
        options: Ros2EmulatorOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Join the domain.

        Args:
            arm: the arm.
            physics: its joints.
            options: names, rate and fault.
            clock: returns monotonic time, s; also the clock of the stamps.

        Raises:
            BadArgumentError: an impossible option.
            OSError: the network interface cannot be used.
        """
        self.options = options or Ros2EmulatorOptions()
        check_options(self.options)
        if self.options.fault not in ("", *FAULTS):
            known = ", ".join(FAULTS)
            raise BadArgumentError(f"there is no fault {self.options.fault!r}, but {known}")
        if not 1 <= self.options.rate <= 1000:
            raise BadArgumentError(f"rate is 1 to 1000 Hz, got {self.options.rate}")
        names = CONTROLLERS | {self.options.stream: controller_of(self.options)}
        broadcaster = Controller(BROADCASTER, f"{BROADCASTER}/JointStateBroadcaster", state=ACTIVE)
        self._forward = Controller(names["forward"], KINDS["forward"])
        self._follower = Controller(names["trajectory"], KINDS["trajectory"])
        self.controllers = Controllers([broadcaster, self._forward, self._follower])
        self.fault = ""  # the one that is on now; a test may set it
        self.goals = 0
        self.outside = 0
        self.handled = clock()  # s, up to which time has been simulated
        self.refused = ""  # why a trajectory was refused, the last one that was
        self.order = tuple(sorted(joints_of(self.options, arm)))
        if self.options.active and self.controllers.switch([self.options.active], []):
            raise BadArgumentError(f"there is no controller {self.options.active!r}")
        self._arm = arm
        self._physics = physics
        self._clock = clock
        self._names = joints_of(self.options, arm)
        self._stamp = self.handled  # s, of the joint states
        self._first_command = np.inf  # s
        self._trajectory: Trajectory | None = None
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._open()

    def _open(self) -> None:
        """Create the readers and writers."""
        options = self.options
        space = options.namespace
        participant = join(options.domain, options.port)
        states = topic_name(space, options.states)
        self._broadcaster = make_writer(participant, states, messages.JointStates, COMMAND)
        positions = topic_name(space, f"{self._forward.name}/commands")
        self._commands = make_reader(participant, positions, messages.Commands, COMMAND_READER)
        ways = topic_name(space, f"{self._follower.name}/joint_trajectory")
        self._trajectories = make_reader(
            participant, ways, messages.JointTrajectory, COMMAND_READER
        )
        self._manager = ManagerNode(participant, space, options.manager, self.controllers)

    @property
    def port(self) -> str:
        """The network interface."""
        return self.options.port

    @property
    def order(self) -> tuple[str, ...]:
        """The joints of the two controllers, in the order of a list of numbers."""
        return self._order

    @order.setter
    def order(self, joints: tuple[str, ...]) -> None:
        self._order = joints
        for controller in (self._forward, self._follower):
            controller.interfaces = tuple(f"{joint}/position" for joint in joints)

    def serve(self) -> None:
        """Run the controllers until closed."""
        self._idle.clear()
        try:
            period = 1 / self.options.rate
            while not self._closed.is_set():
                now = self._clock()
                if now - self.handled < period:
                    time.sleep(POLL)
                else:
                    self._update(now)
        finally:
            self._idle.set()

    def _update(self, now: float) -> None:
        """One cycle of the controller manager; a late one is caught up for ``LATEST`` s only."""
        if now - self._first_command > self.options.after and self.options.fault:
            self.fault = self.options.fault
        self._break_or_mend()
        self._manager.answer()
        self._take_commands(now)
        self._take_trajectories(now)
        passed = now - self.handled
        self._physics.advance(min(passed, LATEST))
        self._publish_states(now)
        self.handled = now

    def _break_or_mend(self) -> None:
        """An error of the hardware ends the controllers, and none can be activated."""
        self.controllers.broken = BROKEN if self.fault == "deactivated" else ""
        if self.controllers.broken:
            self._forward.state = self._follower.state = INACTIVE

    def _take_commands(self, now: float) -> None:
        """Follow the newest list of positions, if its controller is active."""
        for command in take(self._commands):
            q = np.full(len(self._names), np.nan)
            if len(command.data) != len(self.order) or self._forward.state != ACTIVE:
                continue
            for name, value in zip(self.order, command.data, strict=True):
                q[self._names.index(name)] = value
            self._count(q, now)
            if np.isfinite(q).all():
                self._physics.write(q)

    def _take_trajectories(self, now: float) -> None:
        """Follow the newest trajectory, if its controller is active."""
        if self._follower.state != ACTIVE:
            take(self._trajectories)
            self._trajectory = None
            return
        for message in take(self._trajectories):
            try:
                points = points_of(message, self._names)
            except ValueError as problem:
                self.refused = str(problem)
                continue
            for point in points:
                self._count(point.q, now)
            q, dq, _ = self._physics.read()
            self._trajectory = Trajectory(now, points, Point(0.0, q, dq))
        if self._trajectory is not None:
            # as the controller does: where the joints are to be at its next cycle
            self._physics.write(self._trajectory.sample(now + 1 / self.options.rate))

    def _count(self, q: Array, now: float) -> None:
        """Count a position target that arrived."""
        limits = self._arm.limits
        is_inside = (q >= limits.q_low - 1e-9) & (q <= limits.q_high + 1e-9)  # not if NaN
        self.goals += len(q)
        self.outside += int((~is_inside).sum())
        self._first_command = min(self._first_command, now)

    def _publish_states(self, now: float) -> None:
        if self.fault == "silence":
            return
        if self.fault != "stale":
            self._stamp = now
        q, dq, tau = self._physics.read()
        if self.fault == "nan":
            q[-1] = np.nan
        names = [*reversed(self._names), EXTRA_JOINT]
        values = [[*reversed(each.tolist()), 0.0] for each in (q, dq, tau)]
        if self.fault == "missing":
            names, values = names[1:], [each[1:] for each in values]
        seconds = int(self._stamp)
        stamp = messages.Time(seconds, round(1e9 * (self._stamp - seconds)) % 1_000_000_000)
        self._broadcaster.write(messages.JointStates(messages.Header(stamp), names, *values))

    def close(self) -> None:
        """Stop; may be called twice."""
        self._closed.set()
        self._idle.wait()
