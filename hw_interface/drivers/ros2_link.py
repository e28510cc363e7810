"""One arm under ros2_control over DDS: its joint states, its commands, its controller's state."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from cyclonedds.builtin import BuiltinDataReader, BuiltinTopicDcpsPublication
from cyclonedds.core import DDSException, InstanceState, ReadCondition, SampleState, ViewState

from hw_interface.drivers import ros2_messages as messages
from hw_interface.drivers.ros2_dds import (
    COMMAND,
    LATCHED_READER,
    SENSOR,
    SERVICE,
    join,
    make_reader,
    make_writer,
    take,
    topic_name,
)
from hw_interface.drivers.ros2_options import Ros2Options
from robots.signals import Array

MOST = 1000  # writers in a domain that are looked at


@dataclass(frozen=True)
class Sample:
    """One joint state, in the order of the arm's joints."""

    q: Array  # (j,) rad
    dq: Array  # (j,) rad/s
    stamp: float  # s, on the clock of the computer that runs ros2_control
    problem: str = ""  # why it cannot be used; q and dq are then NaN


class Ros2Link:
    """Open readers and writers; ``close`` removes them."""

    def __init__(self, names: Ros2Options, joints: Sequence[str]) -> None:
        """Join the domain; nothing is sent to the arm.

        Args:
            names: where the arm is.
            joints: names of its joints in ROS 2.

        Raises:
            OSError: the network interface cannot be used.
        """
        self.names = names
        self.joints = tuple(joints)
        self._order: list[int] = []  # index of the arm's joint for each joint of the controller
        participant = join(names.domain, names.port)
        self._participant = participant
        space = names.namespace
        states = topic_name(space, names.states)
        activity = topic_name(space, f"{names.manager}/activity")
        self._commands = topic_name(space, f"{names.controller}/commands")
        self._states = make_reader(participant, states, messages.JointStates, SENSOR)
        self._activity = make_reader(participant, activity, messages.Activity, LATCHED_READER)
        self._writer = make_writer(participant, self._commands, messages.Commands, COMMAND)
        service = f"{names.controller}/get_parameters"
        request = topic_name(space, f"{service}Request", "rq")
        reply = topic_name(space, f"{service}Reply", "rr")
        self._answers = make_reader(participant, reply, messages.Parameters, SERVICE)
        self._asking = make_writer(participant, request, messages.GetParameters, SERVICE)
        self._guid = random.getrandbits(63)
        self._asked = 0
        self._controllers: dict[str, str] | None = None  # state by name

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
            self._controllers = {each.name: each.state.label for each in newest}
        if self._controllers is None:
            return None
        return self._controllers.get(self.names.controller, "absent")

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
        others = [
            each for each in found if each.topic_name == self._commands and each.key != own_key
        ]
        return len(others)

    def parameters(
        self, names: Sequence[str], pause: Callable[[], None], is_over: Callable[[], bool]
    ) -> list[messages.ParameterValue] | None:
        """Parameters of the controller; empty if one is unknown, None if it does not answer."""
        while not (
            self._asking.get_matched_subscriptions() and self._answers.get_matched_publications()
        ):
            if is_over():
                return None
            pause()
        self._asked += 1
        self._asking.write(messages.GetParameters(self._guid, self._asked, list(names)))
        while not is_over():
            for answer in take(self._answers):
                if (answer.guid, answer.seq) == (self._guid, self._asked):
                    return list(answer.values)
            pause()
        return None

    def set_order(self, order: Sequence[str]) -> None:
        """Send commands in this order of the joints, which has each joint once."""
        self._order = [self.joints.index(name) for name in order]

    def send(self, q: Array) -> None:
        """Publish position targets (j,) rad.

        Raises:
            OSError: they could not be sent.
        """
        targets = [float(q[joint]) for joint in self._order]
        try:
            self._writer.write(messages.Commands(data=targets))
        except DDSException as error:
            raise OSError(f"the command could not be sent: {error}") from error

    def close(self) -> None:
        """Remove readers and writers; the controller holds the last command."""
        del self._states, self._activity, self._writer, self._answers, self._asking
        del self._participant


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
