"""Where an arm is before it is commanded: two readings say so, as a single one may be wrong."""

import numpy as np

from robots.driver import Driver
from robots.signals import JointState

SAME_PLACE = 0.02  # rad between two readings; ours: a soft servo may sag so fast


def read_twice(driver: Driver, tries: int) -> JointState:
    """The second of two fresh readings that agree; one alone may be old or wild.

    Raises:
        RuntimeError: there are no two such readings within ``tries`` after the first.
    """
    earlier = driver.read()
    for _ in range(tries):
        state = driver.read()
        distance = float(np.abs(state.q - earlier.q).max())
        if state.stamp > earlier.stamp and distance < SAME_PLACE:
            return state
        earlier = state
    problem = f"its last readings are {distance:.3f} rad apart, the last at {state.stamp} s"
    raise RuntimeError(f"the arm is enabled, but {problem}")
