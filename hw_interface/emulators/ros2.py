"""An emulated arm under ros2_control, over DDS: a broadcaster, a controller and their manager.

It publishes ``joint_states`` in another order than the catalog's and with one joint more. It takes
commands as a position ``forward_command_controller`` does, publishes the states of its controllers,
and tells the controller's parameters. It is no ROS 2 node: ``ros2 node list`` does not show it.
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
    LATCHED,
    SERVICE,
    join,
    make_reader,
    make_writer,
    take,
    topic_name,
)
from hw_interface.drivers.ros2_options import Ros2Options, check_options, joints_of
from hw_interface.emulators import Physics
from robots.arm import ArmSpec
from robots.errors import BadArgumentError

POLL = 2e-4  # s between two looks at the clock
LATEST = 0.05  # s that a cycle may be late and is still caught up
EXTRA_JOINT = "gripper"  # a joint of the hardware that is none of the arm's
BROADCASTER = "joint_state_broadcaster"
FAULTS = ("silence", "stale", "missing", "nan", "deactivated")


@dataclass(frozen=True)
class Ros2EmulatorOptions(Ros2Options):
    """ROS 2's names of the arm, its rate, and a fault that is to happen."""

    rate: float = 200.0  # Hz, update_rate of the controller manager
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
        self.fault = ""  # the one that is on now; a test may set it
        self.goals = 0
        self.outside = 0
        self.handled = clock()  # s, up to which time has been simulated
        self.order = tuple(sorted(joints_of(self.options, arm)))  # of the commands
        self._arm = arm
        self._physics = physics
        self._clock = clock
        self._names = joints_of(self.options, arm)
        self._stamp = self.handled  # s, of the joint states
        self._first_command = np.inf  # s
        self._states: dict[str, str] = {}  # that were published last, of the controllers
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._open()

    def _open(self) -> None:
        """Create the readers and writers."""
        options = self.options
        space = options.namespace
        controller = options.controller
        participant = join(options.domain, options.port)
        self._broadcaster = make_writer(
            participant, topic_name(space, options.states), messages.JointStates, COMMAND
        )
        activity = topic_name(space, f"{options.manager}/activity")
        self._manager = make_writer(participant, activity, messages.Activity, LATCHED)
        commands = topic_name(space, f"{controller}/commands")
        self._commands = make_reader(participant, commands, messages.Commands, COMMAND_READER)
        service = f"{controller}/get_parameters"
        request = topic_name(space, f"{service}Request", "rq")
        reply = topic_name(space, f"{service}Reply", "rr")
        self._requests = make_reader(participant, request, messages.GetParameters, SERVICE)
        self._answers = make_writer(participant, reply, messages.Parameters, SERVICE)
        self._publish_activity()

    @property
    def port(self) -> str:
        """The network interface."""
        return self.options.port

    @property
    def is_active(self) -> bool:
        """Whether the controller takes commands."""
        return self.fault != "deactivated"

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
        self._publish_activity()
        self._take_commands(now)
        self._answer()
        passed = now - self.handled
        self._physics.advance(min(passed, LATEST))
        self._publish_states(now)
        self.handled = now

    def _take_commands(self, now: float) -> None:
        """Follow the newest command, if the controller is active."""
        for command in take(self._commands):
            q = np.full(len(self._names), np.nan)
            if len(command.data) != len(self.order) or not self.is_active:
                continue
            for name, value in zip(self.order, command.data, strict=True):
                q[self._names.index(name)] = value
            limits = self._arm.limits
            is_inside = (q >= limits.q_low - 1e-9) & (q <= limits.q_high + 1e-9)  # not if NaN
            self.goals += len(q)
            self.outside += int((~is_inside).sum())
            self._first_command = min(self._first_command, now)
            if np.isfinite(q).all():
                self._physics.write(q)

    def _answer(self) -> None:
        """Tell the controller's parameters."""
        known = {
            "joints": messages.ParameterValue(
                messages.STRING_ARRAY, string_array_value=list(self.order)
            ),
            "interface_name": messages.ParameterValue(messages.STRING, string_value="position"),
        }
        for request in take(self._requests):
            found = [known[name] for name in request.names if name in known]
            is_whole = len(found) == len(request.names)
            values = found if is_whole else []
            self._answers.write(messages.Parameters(request.guid, request.seq, values))

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

    def _publish_activity(self) -> None:
        """Publish the states of the controllers, if one has changed."""
        own = messages.ACTIVE if self.is_active else "inactive"
        states = {BROADCASTER: messages.ACTIVE, self.options.controller: own}
        if states != self._states:
            self._states = states
            found = []
            for name, label in states.items():
                number = 3 if label == messages.ACTIVE else 2  # as in lifecycle_msgs/msg/State
                found.append(messages.NamedState(name, messages.State(number, label)))
            self._manager.write(messages.Activity(controllers=found))

    def close(self) -> None:
        """Stop; may be called twice."""
        self._closed.set()
        self._idle.wait()
