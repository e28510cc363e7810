"""The connection to the controller of a Franka arm, by the client ``franky`` (``libfranka``).

The controller wants a command every millisecond, which Python cannot promise. The client's own
thread, in C++, answers it. It plans towards the velocity that was asked for last, within the limits
of velocity, acceleration and jerk, holds it for ``EXPIRY``, and then brakes to a standstill by
itself: a Python program that hangs stops the arm. If the whole process stops or dies, the
controller gets no commands and stops the arm by a reflex.
"""

import contextlib
import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import franky
import numpy as np

from hw_interface.drivers.bounded import Bounded
from hw_interface.drivers.franka_modes import RobotMode
from hw_interface.drivers.payload import Payload
from robots.arm import ArmSpec
from robots.signals import Array

EXPIRY = 12  # ms, three ticks, for which a velocity is held once reached; then the arm brakes
STANDING = 86_400_000  # ms, a day, for which the arm stands in a motion without a new velocity
ANSWER_PATIENCE = 5.0  # s, for a call that moves nothing
STOP_PATIENCE = 2.0  # s, to brake
POLL = 2e-4  # s between two looks for a new state; one is due every ms
# N·m: external torque on a joint that is a collision, where the joint's limit is not lower; the
# client's default
COLLISION = 20.0
# The client plans with this many times the gate's acceleration and jerk, as far as its own maxima
# allow. Without a reserve it falls up to 0.06 rad behind the setpoints, with it at most 0.008 rad.
RESERVE = 2.0


@contextmanager
def plain_errors(peer: str = "arm") -> Iterator[None]:
    """Raise the client's errors as those of the driver protocol.

    Args:
        peer: what is at the other end of the link.

    Raises:
        OSError: the connection is lost.
        RuntimeError: the controller refuses, or a motion was aborted.
    """
    try:
        yield
    except franky.NetworkException as error:
        raise OSError(f"the link to the {peer} is lost: {error}") from error
    except franky.Exception as error:
        raise RuntimeError(str(error)) from error
    except RuntimeError as error:  # of the library below the client, such as "Net Exception"
        raise OSError(f"the link to the {peer} is lost: {error}") from error


def set_limit(limit: Any, value: Array, name: str, reserve: float = 1.0) -> None:
    """Give the client a limit of the arm (j,), times ``reserve`` as far as its maximum allows.

    Raises:
        RuntimeError: it is above what the client plans with: the arm would fall behind its targets.
    """
    highest = np.array(limit.max)
    if (value > highest).any():
        raise RuntimeError(f"the client plans with {name} up to {highest}, the arm has {value}")
    with plain_errors():
        limit.set(np.minimum(reserve * value, highest))


class FrankaLink:
    """One connection. ``state`` is the client's, with the names of ``libfranka``."""

    def __init__(self, address: str, arm: ArmSpec) -> None:
        """Connect, and give the client and the controller the arm's limits; nothing moves.

        Raises:
            OSError: no controller answers.
            RuntimeError: it speaks another version of the protocol, or refuses the limits.
        """
        opened: list[Any] = []

        def connect() -> None:
            with plain_errors():
                # without a real-time kernel the client's thread still asks for SCHED_FIFO
                realtime = franky.RealtimeConfig.Ignore
                opened.append(franky.Robot(address, realtime_config=realtime))

        Bounded(connect, "answer").wait(ANSWER_PATIENCE)
        (self._robot,) = opened
        limits = arm.limits
        robot = self._robot
        joints = slice(len(arm.tool_joints))  # a hand is none of them
        set_limit(robot.joint_velocity_limit, limits.dq[joints], "velocities")
        set_limit(robot.joint_acceleration_limit, limits.ddq[joints], "accelerations", RESERVE)
        set_limit(robot.joint_jerk_limit, limits.jerk[joints], "jerks", RESERVE)
        with plain_errors():
            self.fastest: Array = np.array(robot.joint_velocity_limit.get())  # (j,) rad/s
            torques = np.minimum(limits.tau[joints], COLLISION)
            robot.set_collision_behavior(torques, limits.force)

    def close(self) -> None:
        """Close the connection, even where something still refers to this object.

        The client would wait for the end of a motion, and this process with it. A motion that does
        not end keeps its connection until the process ends.
        """
        robot = self._robot
        self._robot = None
        if robot is not None and robot.is_in_control:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(robot))

    @property
    def state(self) -> Any:
        """The newest state.

        Raises:
            OSError: none comes.
        """
        with plain_errors():
            return self._robot.state

    def await_state(self, after: float, patience: float) -> tuple[Any, float]:
        """The newest state and its stamp, s; waits up to ``patience`` s for one after ``after``."""
        deadline = time.monotonic() + patience
        while True:
            state = self.state
            stamp = float(state.time.to_sec())
            if stamp > after or time.monotonic() > deadline:
                return state, stamp
            time.sleep(POLL)

    def set_load(self, payload: Payload) -> None:
        """Tell the controller what the arm carries, and check that it has taken it.

        Raises:
            OSError: the link is lost.
            RuntimeError: the controller refuses, or reports another load.
        """
        with plain_errors():
            inertia = payload.inertia.T.flatten()  # by columns
            self._robot.set_load(payload.mass, list(payload.center), inertia)

        def read() -> list[float]:
            state = self.state
            return [state.m_load, *state.F_x_Cload]

        payload.await_set(read)

    @property
    def moves(self) -> bool:
        """Whether a motion runs."""
        return bool(self._robot.is_in_control)

    def stream(self, velocity: Array) -> None:
        """Go on with this velocity (j,) rad/s, for ``EXPIRY``; begins a motion if none runs.

        Raises:
            OSError: the link is lost.
            RuntimeError: the last motion was aborted, or this one is refused.
        """
        held = np.clip(velocity, -self.fastest, self.fastest)
        # The motion does not end with the velocity: while one motion ends and the next begins, the
        # client's state cannot be read.
        waypoints = [
            franky.JointVelocityWaypoint(held, hold_target_duration=franky.Duration(EXPIRY)),
            franky.JointVelocityWaypoint(
                np.zeros_like(held), hold_target_duration=franky.Duration(STANDING)
            ),
        ]
        motion = franky.JointVelocityWaypointMotion(waypoints)
        with plain_errors():
            self._robot.move(motion, asynchronous=True)

    def brake(self) -> None:
        """Brake to a standstill and end the motion; blocks.

        Raises:
            OSError: the link is lost.
            RuntimeError: the motion was aborted, or does not end.
        """
        with plain_errors():
            if self._robot.is_in_control:
                self._robot.move(franky.JointVelocityStopMotion(), asynchronous=True)
            has_ended = self._robot.join_motion(STOP_PATIENCE)
        if not has_ended:
            raise RuntimeError("the motion does not end")

    def recover(self) -> None:
        """End a reflex.

        Raises:
            OSError: the link is lost.
            RuntimeError: the controller refuses.
        """
        with contextlib.suppress(Exception):
            self._robot.join_motion(STOP_PATIENCE)  # it reports the error of the aborted motion
        with plain_errors():
            self._robot.recover_from_errors()
        deadline = time.monotonic() + ANSWER_PATIENCE
        while int(self.state.robot_mode) == RobotMode.REFLEX:  # its answer may be early
            if time.monotonic() > deadline:
                raise RuntimeError("the controller did not end the reflex: look at Desk")
            time.sleep(POLL)
