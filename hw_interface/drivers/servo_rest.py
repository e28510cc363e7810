"""How servos come to rest: a servo that is far from its goal holds where it is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from hw_interface.drivers.serial_bus import TRIES
from hw_interface.drivers.servo_calibration import TICK
from robots.driver import REACHED
from robots.signals import Array


class Motion(NamedTuple):
    """Goals and measurements of the joints' servos, (j,) each."""

    goal: Array  # ticks
    position: Array  # ticks
    stands: bool  # whether every velocity is that of a servo at rest


def let_go(
    read_motion: Callable[[], Motion | None],
    write_goals: Callable[[list[int]], None],
    lowest: Array,
    highest: Array,
    last: Array,
) -> bool:
    """Make the present position the goal of each servo that is far from its goal.

    Sync writes are not acknowledged, so the goals are read back.

    Args:
        read_motion: asks the servos; None if they did not answer.
        write_goals: writes one goal per joint, in ticks.
        lowest: (j,) ticks, the lowest goals that are allowed.
        highest: (j,) ticks.
        last: (j,) ticks, the last measured positions: the goals if the servos do not answer.

    Returns:
        Whether every servo is known to stand at its goal.

    Raises:
        OSError: nothing can be sent.
    """
    for _ in range(TRIES):
        motion = read_motion()
        if motion is None:
            write_goals([int(goal) for goal in last])
            continue
        is_far = np.abs(motion.goal - motion.position) * TICK > REACHED
        if not is_far.any():
            return motion.stands
        allowed = np.clip(motion.position, lowest, highest)
        goals = np.where(is_far, allowed, motion.goal)
        write_goals([int(goal) for goal in goals])
    return False
