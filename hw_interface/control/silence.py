"""Detects measurements that are missing now, though the arm made them before or declares them."""

import numpy as np

from robots.signals import Array, Mask


class Silence:
    """For how long measurements (k,) have been missing; each loss is reported once.

    A measurement that was neither made before nor declared does not count.
    """

    def __init__(self, promised: Mask, timeout: float) -> None:
        """No measurement was made yet.

        Args:
            promised: (k,) measurements that the arm declares; they count from the first reading on.
            timeout: s, after which a loss is reported.
        """
        self._promised = promised
        self._timeout = timeout
        self._stamps: Array = np.full(promised.shape, np.nan)  # s, of the last one of each
        self._was_reported = False  # whether the present loss was

    def newly_lost_for(self, measured: Mask, stamp: float) -> float:
        """For how long a measurement has been missing, s; 0 if none is, or if that was reported.

        Args:
            measured: (k,) whether each measurement is in the reading.
            stamp: of the reading, s.
        """
        begins = self._promised & np.isnan(self._stamps)
        stamps = np.where(measured | begins, stamp, self._stamps)
        self._stamps = np.minimum(stamps, stamp)  # the arm's clock may restart
        silent = stamp - self._stamps  # NaN where there was no measurement yet
        late = silent > self._timeout
        was_reported = self._was_reported
        self._was_reported = bool(late.any())
        if was_reported or not late.any():
            return 0.0
        return float(silent[late].max())
