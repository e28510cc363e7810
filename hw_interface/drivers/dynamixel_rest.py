"""How Dynamixel servos come to rest: a servo that is far from its goal holds where it is."""

from collections.abc import Sequence

import numpy as np

from hw_interface.drivers.dynamixel_bus import TRIES, DynamixelBus
from hw_interface.drivers.dynamixel_models import TICK
from hw_interface.drivers.dynamixel_registers import GOAL_POSITION, Register
from robots.driver import REACHED
from robots.signals import Array

# from the goal position to the present position; no other block that is read has this length
MOTION = Register(116, 20)
MOTION_FIELDS = np.dtype(
    {
        "names": ["goal", "velocity", "position"],
        "formats": ["<i4", "<i4", "<i4"],
        "offsets": [0, 12, 16],
    }
)
STANDING = 1  # largest velocity of a servo at rest, in VELOCITY_UNIT (0.024 rad/s): the resolution


def let_go(
    bus: DynamixelBus, ids: Sequence[int], lowest: Array, highest: Array, last: Array
) -> bool:
    """Make the present position the goal of each servo that is far from its goal.

    Sync writes are not acknowledged, so the goals are read back.

    Args:
        bus: the bus of the servos.
        ids: one servo per joint.
        lowest: (j,) ticks, the lowest goals that are allowed.
        highest: (j,) ticks.
        last: (j,) ticks, the last measured positions: the goals if the servos do not answer.

    Returns:
        Whether every servo is known to stand at its goal.

    Raises:
        OSError: nothing can be sent.
    """
    for _ in range(TRIES):
        replies = bus.fast_sync_read(ids, MOTION)
        if replies is None:
            _write_goals(bus, ids, last)
            continue
        data = b"".join(reply.data for reply in replies)
        motion = np.frombuffer(data, MOTION_FIELDS)
        goal = motion["goal"]
        position = motion["position"]
        is_far = np.abs(goal - position) * TICK > REACHED
        if not is_far.any():
            return bool((np.abs(motion["velocity"]) <= STANDING).all())
        allowed = np.clip(position, lowest, highest)
        goals = np.where(is_far, allowed, goal)
        _write_goals(bus, ids, goals)
    return False


def _write_goals(bus: DynamixelBus, ids: Sequence[int], goals: Array) -> None:
    values = [int(goal) for goal in goals]
    bus.sync_write(ids, GOAL_POSITION, values)
