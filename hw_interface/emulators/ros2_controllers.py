"""The controllers of an emulated arm under ros2_control: their manager, and a trajectory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hw_interface.drivers.ros2_trajectory import Point
from robots.signals import Array

if TYPE_CHECKING:
    from hw_interface.drivers.ros2_messages import JointTrajectory

ACTIVE = "active"
INACTIVE = "inactive"


@dataclass
class Controller:
    """A controller that is loaded and configured."""

    name: str
    kind: str  # its class in ROS 2
    interfaces: tuple[str, ...] = ()  # that it commands
    state: str = INACTIVE

    @property
    def claimed(self) -> tuple[str, ...]:
        """The interfaces that it has claimed."""
        return self.interfaces if self.state == ACTIVE else ()


@dataclass
class Controllers:
    """Those that are loaded, and a manager that switches them strictly: all as asked, or none."""

    loaded: list[Controller]
    broken: str = field(default="")  # why the hardware lets none be activated; empty: it does

    def find(self, name: str) -> Controller | None:
        """The controller of this name."""
        return next((each for each in self.loaded if each.name == name), None)

    def switch(self, activate: Sequence[str], deactivate: Sequence[str]) -> str:
        """Switch controllers; returns why nothing was switched, or an empty text."""
        for name in (*activate, *deactivate):
            if self.find(name) is None:
                return f"{name} is not loaded"
        starting = [each for each in self.loaded if each.name in activate]
        stopping = [each for each in self.loaded if each.name in deactivate]
        if starting and self.broken:
            return self.broken

        for one in starting:
            if one.state == ACTIVE and one not in stopping:
                return f"{one.name} is already active"
        for one in stopping:
            if one.state != ACTIVE:
                return f"{one.name} is not active"

        staying = [each for each in self.loaded if each not in (*starting, *stopping)]
        taken = {interface: each.name for each in staying for interface in each.claimed}
        for one in starting:
            for interface in one.interfaces:
                if interface in taken:
                    return f"{one.name} needs {interface}, which {taken[interface]} has claimed"
                taken[interface] = one.name

        for one in stopping:
            one.state = INACTIVE
        for one in starting:
            one.state = ACTIVE
        return ""


def points_of(message: "JointTrajectory", joints: Sequence[str]) -> list[Point]:
    """The points of a message in the arm's order, checked as the controller does.

    Velocities are NaN where a point has none.

    Raises:
        ValueError: the controller refuses the message, or a number is not finite.
    """
    names = list(message.joint_names)
    if sorted(names) != sorted(joints):
        raise ValueError("the joints are not those of the controller")
    if not message.points:
        raise ValueError("there is no point")
    order = [names.index(joint) for joint in joints]
    points: list[Point] = []
    for point in message.points:
        speeds = point.velocities or [np.nan] * len(names)
        if len(point.positions) != len(names) or len(speeds) != len(names):
            raise ValueError("a point has no number for each joint")
        if not np.isfinite([*point.positions, *point.velocities]).all():
            raise ValueError("a number is not finite")
        time = point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec
        if points and time <= points[-1].time:
            raise ValueError("times do not increase")
        points.append(Point(time, np.array(point.positions)[order], np.array(speeds)[order]))
    if np.nan_to_num(points[-1].dq).any():
        raise ValueError("the last point has a velocity")
    return points


class Trajectory:
    """Points that the joints pass, with cubics between them; the last one is held."""

    def __init__(self, start: float, points: Sequence[Point], here: Point) -> None:
        """Begin at a time.

        Args:
            start: s, on the emulator's clock.
            points: with increasing times.
            here: where the joints are measured at the start. The way begins there, unless the
                first point is at time 0.
        """
        self._start = start
        self._points = list(points)
        if points[0].time > 0:
            self._points.insert(0, Point(0.0, here.q, here.dq))

    def sample(self, now: float) -> Array:
        """Positions (j,) rad at a time, s."""
        passed = now - self._start
        for before, after in zip(self._points, self._points[1:], strict=False):
            if passed < after.time:
                return between(before, after, max(passed, before.time))
        return self._points[-1].q


def between(before: Point, after: Point, time: float) -> Array:
    """The cubic through two points with their velocities, or the line where one has none (NaN)."""
    span = after.time - before.time
    share = (time - before.time) / span
    way = after.q - before.q
    line: Array = before.q + share * way
    if not (np.isfinite(before.dq).all() and np.isfinite(after.dq).all()):
        return line
    rest = 1 - share
    first = share * rest**2 * (span * before.dq - way)
    second = share**2 * rest * (way - span * after.dq)
    return line + first + second
