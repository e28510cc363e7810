"""The time of a bus, from its servos' own clocks."""

import numpy as np
from numpy.typing import NDArray

CLOCK_RANGE = 32_768  # ms, after which a servo's clock (Realtime Tick) wraps
MAX_DISAGREEMENT = 50.0  # ms between the servos' steps; ours: only a restarted servo differs more


class ServoClocks:
    """One time for all servos: it advances only if every servo's own clock has advanced."""

    def __init__(self) -> None:
        """The time starts at zero."""
        self.time = 0.0  # s
        self._ticks: NDArray[np.int64] | None = None  # (servos,) ms, of the newest reading
        self._arrival = 0.0  # s, our clock, of the newest reading

    def restart(self) -> None:
        """Accept the next clock values as they are, as after a reboot of a servo; time goes on."""
        self._ticks = None

    def advance(self, ticks: NDArray[np.int64], now: float) -> bool:
        """Take the clocks of one reading.

        Args:
            ticks: (servos,) ms, as read.
            now: s, our own monotonic clock, to count how often the servos' clocks have wrapped.

        Returns:
            Whether the reading is new. It is not if a servo's clock stands still or went back: a
            repeated or late answer, a frozen servo, or a servo that has restarted.
        """
        steps = np.ones(len(ticks), dtype=np.float64)
        if self._ticks is not None:
            expected = 1e3 * (now - self._arrival)
            # of the steps that are equal modulo the clock's range, the one nearest to the expected
            deviation = ticks - self._ticks - expected
            half = CLOCK_RANGE / 2
            steps = np.rint(expected + (deviation + half) % CLOCK_RANGE - half)
        slowest = steps.min()
        if slowest <= 0 or steps.max() - slowest > MAX_DISAGREEMENT:
            return False
        self._ticks = ticks
        self._arrival = now
        self.time += 1e-3 * float(slowest)
        return True
