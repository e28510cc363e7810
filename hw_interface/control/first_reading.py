"""The first readings of an arm, before it is commanded, and the readings of its object."""

import contextlib

import numpy as np

from hw_interface.control.layout import OBJECT_STATE
from robots.driver import Driver, Tracker
from robots.errors import ArmError
from robots.motion import check_measured
from robots.signals import Array, JointState

SAME_PLACE = 0.02  # rad between two readings that agree; ours: a soft servo may sag this far


def enable_within_limits(driver: Driver, tries: int) -> JointState:
    """Switch the motors on, unless the arm is outside its limits; returns a reading after that.

    Args:
        driver: of the arm, connected.
        tries: readings to wait for two that agree, see ``read_twice``.

    Raises:
        ArmError: the arm is outside its limits; the motors are unchanged.
        OSError: the arm does not answer.
        RuntimeError: the arm refuses, or its readings do not agree, see ``read_twice``.
    """
    try:
        check_measured(driver.arm, driver.read().q)
    except ArmError:  # a single reading may be wrong
        check_measured(driver.arm, driver.read().q)
    driver.enable()
    return read_twice(driver, tries)


def read_twice(driver: Driver, tries: int) -> JointState:
    """The second of two new readings that agree; a single reading may be old or wrong.

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


def read_object(tracker: Tracker) -> tuple[Array, float, float]:
    """An object's pose and twist (13,), their stamp s and age s; NaN where the tracker failed."""
    unknown = np.full(OBJECT_STATE, np.nan)
    with contextlib.suppress(Exception):
        reading = tracker.read()
        stamp = float(reading.stamp)
        age = float(reading.age)
        state = np.concatenate([reading.pos, reading.quat, reading.vel])
        if state.shape == unknown.shape and not np.isnan([stamp, age]).any():
            return state, stamp, age
    return unknown, np.nan, np.nan
