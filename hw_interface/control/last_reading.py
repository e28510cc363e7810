"""What is read of an arm after it was stopped."""

import time

import numpy as np

from robots.driver import Driver
from robots.signals import JointState

SETTLED = 0.01  # rad/s, below which a measured joint counts as standing


def settle(driver: Driver, state: JointState, ticks: int, pause: float) -> JointState:
    """Read until the joints stand, at most ``ticks`` times, ``pause`` s apart.

    Returns:
        The last reading; ``state`` where the joints stand already.

    Raises:
        OSError: the link is lost.
    """
    for _ in range(ticks):
        if np.abs(state.dq).max() < SETTLED:
            break
        time.sleep(pause)
        state = driver.read()
    return state
