"""Measurements that an arm has made, or promises to make, and that stay away."""

import numpy as np

from robots.signals import Array, Mask


class Silence:
    """For how long measurements (k,) have stayed away; each loss is told once.

    One that was neither made before nor promised does not count.
    """

    def __init__(self, promised: Mask, timeout: float) -> None:
        """Begin without a measurement.

        Args:
            promised: (k,) those that count from the first reading on.
            timeout: s, after which a loss is told.
        """
        self._promised = promised
        self._timeout = timeout
        self._stamps: Array = np.full(promised.shape, np.nan)  # s, when each was made last
        self._told = False

    def newly_lost_for(self, measured: Mask, stamp: float) -> float:
        """For how long one of them has stayed away, s; 0 where none has or it was told before.

        Args:
            measured: (k,) those of a reading that are there.
            stamp: of the reading, s.
        """
        begins = self._promised & np.isnan(self._stamps)
        stamps = np.where(measured | begins, stamp, self._stamps)
        self._stamps = np.minimum(stamps, stamp)  # the arm's clock may begin anew
        silent = stamp - self._stamps  # NaN where there never was any
        late = silent > self._timeout
        was_told = self._told
        self._told = bool(late.any())
        if was_told or not late.any():
            return 0.0
        return float(silent[late].max())
