"""Detects measurements that an arm has made before, or has declared, and that are now missing."""

import numpy as np

from robots.signals import Array, Mask


class Silence:
    """For how long measurements (k,) have been missing; each loss is reported once.

    A measurement that was neither made before nor declared does not count.
    """

    def __init__(self, promised: Mask, timeout: float) -> None:
        """Begin without a measurement.

        Args:
            promised: (k,) declared measurements, which count from the first reading on.
            timeout: s, after which a loss is reported.
        """
        self._promised = promised
        self._timeout = timeout
        self._stamps: Array = np.full(promised.shape, np.nan)  # s, when each was made last
        self._told = False

    def newly_lost_for(self, measured: Mask, stamp: float) -> float:
        """For how long a measurement has been missing, s; 0 if none is, or if it was reported.

        Args:
            measured: (k,) whether each is present in the reading.
            stamp: of the reading, s.
        """
        begins = self._promised & np.isnan(self._stamps)
        stamps = np.where(measured | begins, stamp, self._stamps)
        self._stamps = np.minimum(stamps, stamp)  # the arm's clock may restart
        silent = stamp - self._stamps  # NaN where there was no measurement yet
        late = silent > self._timeout
        was_told = self._told
        self._told = bool(late.any())
        if was_told or not late.any():
            return 0.0
        return float(silent[late].max())
