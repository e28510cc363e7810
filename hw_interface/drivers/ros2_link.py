"""One arm under ros2_control over DDS: its joint states, its commands, its controllers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw_interface.drivers import ros2_messages as messages
from hw_interface.drivers.ros2_dds import (
    LATCHED_READER,
    SENSOR,
    join,
    make_reader,
    take,
    topic_name,
)
from hw_interface.drivers.ros2_manager import Manager
from hw_interface.drivers.ros2_options import Ros2Options, controller_of
from hw_interface.drivers.ros2_streams import ForwardStream, Stream, TrajectoryStream
from robots.arm import Limits
from robots.signals import Array


@dataclass(frozen=True)
class Sample:
    """One joint state, in the order of the arm's joints."""

    q: Array  # (j,) rad
    dq: Array  # (j,) rad/s
    stamp: float  # s, on the clock of the computer that runs ros2_control
    problem: str = ""  # why it cannot be used; q and dq are then NaN


class Ros2Link:
    """Open readers and writers; ``close`` removes them."""

    def __init__(
        self, names: Ros2Options, joints: Sequence[str], limits: Limits, dt: float
    ) -> None:
        """Join the domain; nothing is sent to the arm.

        Args:
            names: where the arm is.
            joints: names of its joints in ROS 2.
            limits: of the arm.
            dt: s between two commands.

        Raises:
            OSError: the network interface cannot be used.
        """
        self.joints = tuple(joints)
        self.controller = controller_of(names)
        self.controllers: dict[str, str] | None = None  # state by name; None: nobody has told
        participant = join(names.domain, names.port)
        space = names.namespace
        states = topic_name(space, names.states)
        activity = topic_name(space, f"{names.manager}/activity")
        self._states = make_reader(participant, states, messages.JointStates, SENSOR)
        self._activity = make_reader(participant, activity, messages.Activity, LATCHED_READER)
        self.manager = Manager(participant, space, names.manager)
        self.stream: Stream
        if names.stream == "trajectory":
            topic = topic_name(space, f"{self.controller}/{TrajectoryStream.topic}")
            self.stream = TrajectoryStream(participant, topic, limits, dt)
        else:
            topic = topic_name(space, f"{self.controller}/{ForwardStream.topic}")
            self.stream = ForwardStream(participant, topic)

    def take(self) -> Sample | None:
        """The newest joint state since the last call; None if none has arrived.

        Raises:
            OSError: the link is closed.
        """
        found: list[messages.JointStates] = take(self._states)
        return to_sample(found[-1], self.joints) if found else None

    def controller_state(self) -> str | None:
        """The state of the controller; ``absent`` if it is not loaded, None if nobody tells."""
        found: list[messages.Activity] = take(self._activity)
        if found:
            newest = found[-1].controllers
            self.controllers = {each.name: each.state.label for each in newest}
        if self.controllers is None:
            return None
        return self.controllers.get(self.controller, "absent")

    def close(self) -> None:
        """Remove readers and writers; the controller holds the last command."""
        del self._states, self._activity, self.stream, self.manager


def to_sample(message: messages.JointStates, joints: Sequence[str]) -> Sample:
    """The joint state in the arm's order, or the reason why it cannot be used."""
    stamp = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
    unknown = np.full(len(joints), np.nan)
    place = {name: k for k, name in enumerate(message.name)}
    missing = [name for name in joints if name not in place]
    if missing:
        return Sample(unknown, unknown, stamp, f"the joint states have no joint {missing[0]!r}")
    size = len(message.name)
    if len(message.position) != size or len(message.velocity) != size:
        problem = "the joint states have no position or no velocity for each joint"
        return Sample(unknown, unknown, stamp, problem)
    order = [place[name] for name in joints]
    q = np.array(message.position)[order]
    dq = np.array(message.velocity)[order]
    for name, value in zip(joints, q + dq, strict=True):
        if not np.isfinite(value):
            problem = f"the state of the joint {name!r} is not finite"
            return Sample(unknown, unknown, stamp, problem)
    return Sample(q, dq, stamp)
