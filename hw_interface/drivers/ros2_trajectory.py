"""A command as a short trajectory that ends at rest, for a ``joint_trajectory_controller``."""

from dataclasses import dataclass

import numpy as np

from robots.arm import Limits
from robots.signals import Array


@dataclass(frozen=True)
class Point:
    """Where the joints are to be at a time."""

    time: float  # s after the start of the trajectory
    q: Array  # (j,) rad
    dq: Array  # (j,) rad/s


def trajectory_to_rest(last: Point, q: Array, dq: Array, dt: float, limits: Limits) -> list[Point]:
    """From the last command to this one in one tick, and on to a stop.

    The stop is carried out only if no further trajectory replaces this one. All joints then brake
    together, along the straight line on which the gate keeps the way to a stop free. The joint that
    needs longest brakes with its limit of acceleration. The cubic between two points has constant
    acceleration there.

    Args:
        last: the command before; its time is not used.
        q: (j,) rad, this command.
        dq: (j,) rad/s, its velocity.
        dt: s between two commands.
        limits: of the arm.

    Returns:
        The last command, this one, and where the joints rest; without the third if they stand now.
    """
    points = [Point(0.0, last.q, last.dq), Point(dt, q, dq)]
    braking = float((np.abs(dq) / limits.ddq).max())  # s
    if braking > 0:
        rest = np.clip(q + 0.5 * braking * dq, limits.q_low, limits.q_high)
        points.append(Point(dt + braking, rest, np.zeros_like(dq)))
    return points
