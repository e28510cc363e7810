"""The ways in which commands are streamed to a controller of ros2_control."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication
from cyclonedds.core import DDSException, InstanceState, ReadCondition, SampleState, ViewState
from cyclonedds.domain import DomainParticipant

from hw_interface.drivers import ros2_messages as messages
from hw_interface.drivers.ros2_dds import COMMAND, make_writer
from hw_interface.drivers.ros2_trajectory import Point, trajectory_to_rest
from robots.arm import Limits
from robots.signals import Array

MOST = 1000  # writers in a domain that are looked at
NANO = 1_000_000_000

Message = messages.Commands | messages.JointTrajectory


class Stream(ABC):
    """A writer of commands to one controller."""

    topic: str  # of the controller's own names
    kind: type[Message]

    def __init__(self, participant: DomainParticipant, topic: str) -> None:
        """``topic`` is the DDS name; nothing is sent yet."""
        self._participant = participant
        self._topic = topic
        self._writer = make_writer(participant, topic, self.kind, COMMAND)

    @property
    def has_listener(self) -> bool:
        """Whether a controller listens to our commands."""
        return bool(self._writer.get_matched_subscriptions())

    def other_writers(self) -> int:
        """How many others publish commands to this controller."""
        own_key = self._writer.guid
        reader = BuiltinDataReader(self._participant, BuiltinTopicDcpsPublication)
        alive = ReadCondition(reader, ViewState.Any | SampleState.Any | InstanceState.Alive)
        found = reader.read(MOST, alive)
        return sum(each.topic_name == self._topic and each.key != own_key for each in found)

    @abstractmethod
    def set_order(self, joints: Sequence[str], order: Sequence[str]) -> None:
        """Set the names of the arm's joints, and the order in which the controller has them."""

    @abstractmethod
    def send(self, q: Array, dq: Array) -> Array:
        """Send a command to move: positions (j,) rad and velocities (j,) rad/s.

        Returns:
            (j,) rad: where the controller leaves the joints if this is the last command.

        Raises:
            OSError: it could not be sent.
        """

    @abstractmethod
    def hold(self, q: Array) -> None:
        """Send a command to stand at positions (j,) rad.

        Raises:
            OSError: it could not be sent.
        """

    def _write(self, message: Message) -> None:
        try:
            self._writer.write(message)
        except DDSException as error:
            raise OSError(f"the command could not be sent: {error}") from error


class ForwardStream(Stream):
    """Positions, one list for each command, which the controller passes on as they come."""

    topic = "commands"
    kind = messages.Commands

    def set_order(self, joints: Sequence[str], order: Sequence[str]) -> None:
        """Send positions in this order: a list of numbers has no names."""
        self._order = [joints.index(name) for name in order]

    def send(self, q: Array, dq: Array) -> Array:
        """Send the positions, see ``Stream``; the velocities have no place in the message."""
        self.hold(q)
        return q

    def hold(self, q: Array) -> None:
        """Send the positions, see ``Stream``."""
        self._write(messages.Commands(data=[float(q[joint]) for joint in self._order]))


class TrajectoryStream(Stream):
    """A short trajectory for each command, which replaces the one before and ends at rest.

    Its first point is at time 0. The controller then does not begin where it measures the joints:
    a soft arm would sag further with each command.
    """

    topic = "joint_trajectory"
    kind = messages.JointTrajectory

    def __init__(
        self, participant: DomainParticipant, topic: str, limits: Limits, dt: float
    ) -> None:
        """``dt`` is the time between two commands, s."""
        super().__init__(participant, topic)
        self._limits = limits
        self._dt = dt
        self._last: Point | None = None  # the last command

    def set_order(self, joints: Sequence[str], order: Sequence[str]) -> None:
        """Name the joints as the arm does: the controller finds them by their names."""
        self._names = list(joints)

    def send(self, q: Array, dq: Array) -> Array:
        """Send a trajectory from the last command to this one and to rest, see ``Stream``."""
        here = Point(self._dt, q.copy(), dq.copy())
        last = here if self._last is None else self._last
        points = trajectory_to_rest(last, q, dq, self._dt, self._limits)
        self._publish(points)
        self._last = here
        return points[-1].q

    def hold(self, q: Array) -> None:
        """Send a trajectory of one point, see ``Stream``."""
        here = Point(0.0, q.copy(), np.zeros_like(q))
        self._publish([here])
        self._last = here

    def _publish(self, points: Sequence[Point]) -> None:
        """A stamp of zero says that the trajectory starts when it arrives."""
        found = [
            messages.TrajectoryPoint(
                positions=point.q.tolist(),
                velocities=point.dq.tolist(),
                time_from_start=messages.Duration(*divmod(round(NANO * point.time), NANO)),
            )
            for point in points
        ]
        self._write(messages.JointTrajectory(joint_names=self._names, points=found))
