"""The last reading of an arm, after it was stopped."""

import time

import numpy as np

from robots.driver import Driver
from robots.signals import JointState

SETTLED = 0.01  # rad/s, below which a measured joint counts as at rest
MAX_READINGS = 100


def settle(driver: Driver, state: JointState, pause: float) -> JointState:
    """Read until the joints are at rest, at most ``MAX_READINGS`` times, ``pause`` s apart.

    Returns:
        The last reading; ``state`` if the joints are at rest already.

    Raises:
        OSError: the link is lost.
    """
    for _ in range(MAX_READINGS):
        if np.abs(state.dq).max() < SETTLED:
            break
        time.sleep(pause)
        state = driver.read()
    return state
