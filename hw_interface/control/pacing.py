"""Pacing: sleep until absolute times, under a real-time scheduler where that is permitted."""

import ctypes
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from hw_interface.control.layout import LATENESS
from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Family

PRIORITY = 50  # of SCHED_FIFO, below the kernel's own threads
MCL_CURRENT = 1
MCL_FUTURE = 2


class Pacer:
    """Wakes once per tick. Missed ticks are counted and skipped, not run in a burst."""

    def __init__(self, dt: float, lateness: NDArray[np.float32]) -> None:
        """``dt`` is the period, s; ``lateness`` (LATENESS,) s is a ring, filled tick by tick."""
        self.dt = dt
        self.missed_ticks = 0
        self.max_lateness = 0.0  # s
        self._lateness = lateness
        self._due = 0.0  # s, monotonic
        self.restart()

    def restart(self) -> None:
        """Make the next tick due one period from now."""
        self._due = time.monotonic()

    def wait(self, tick: int) -> float:
        """Sleep until the tick numbered ``tick`` is due; returns by how much it is late, s."""
        self._due += self.dt
        remaining = self._due - time.monotonic()
        while remaining > 0:
            time.sleep(remaining)
            remaining = self._due - time.monotonic()
        late = -remaining
        self._lateness[tick % LATENESS] = late
        self.max_lateness = max(self.max_lateness, late)
        if late > self.dt:
            missed = int(late / self.dt)
            self.missed_ticks += missed
            self._due += missed * self.dt
        return late


def become_realtime() -> bool:
    """Ask for SCHED_FIFO and locked memory; returns whether the scheduler was granted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        return False
    # locked memory avoids page faults; the loop also runs without it
    ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE)
    return True


@contextmanager
def realtime(priority: int = PRIORITY) -> Iterator[None]:
    """This thread, and threads that it starts here, run under SCHED_FIFO, if that is permitted.

    Args:
        priority: of SCHED_FIFO, 1 to 99.
    """
    policy = os.sched_getscheduler(0)
    before = os.sched_getparam(0)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setscheduler(0, policy, before)


def measure_loop(dt: float, seconds: float) -> tuple[bool, Array]:
    """Run an empty loop in this process, which becomes a real-time one.

    Args:
        dt: its period, s.
        seconds: for how long.

    Returns:
        Whether SCHED_FIFO was granted, and the lateness of each tick (ticks,) s.
    """
    is_realtime = become_realtime()
    pacer = Pacer(dt, np.zeros(LATENESS, dtype=np.float32))
    lateness = [pacer.wait(tick) for tick in range(math.ceil(seconds / dt))]
    return is_realtime, np.array(lateness)


def count_ticks_per_action(family: Family, dt: float) -> int:
    """The number of ticks of ``dt`` s in each action of a family.

    Raises:
        BadArgumentError: the number is not whole.
    """
    ticks = round(family.dt / dt)
    if abs(family.dt / dt - ticks) > 1e-6:
        message = f"{family.name} acts every {family.dt} s"
        raise BadArgumentError(f"{message}, which is no multiple of the arm's {dt} s")
    return ticks
