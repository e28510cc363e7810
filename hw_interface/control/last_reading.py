"""The last reading of an arm, after it was stopped."""

import time

import numpy as np

from robots.driver import Driver
from robots.signals import JointState

SETTLED = 0.01  # rad/s, below which a measured joint counts as standing
LONGEST = 100  # readings


def settle(driver: Driver, state: JointState, pause: float) -> JointState:
    """Read until the joints stand, at most ``LONGEST`` times, ``pause`` s apart.

    Returns:
        The last reading; ``state`` where the joints stand already.

    Raises:
        OSError: the link is lost.
    """
    for _ in range(LONGEST):
        if np.abs(state.dq).max() < SETTLED:
            break
        time.sleep(pause)
        state = driver.read()
    return state
