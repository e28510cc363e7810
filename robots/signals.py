"""What can be measured: a simulator gives it, and so does an arm with a tracker."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Signals:
    """One fresh reading of n worlds in the arm's base frame, SI units, quaternions (w, x, y, z).

    A body without a tool or a world without an object has NaN there, never a made-up number. The joints of a walker's
    root stand before the driven ones in q and dq, which are then (n, r + j).
    """

    q: Array  # (n, j) rad or m
    dq: Array  # (n, j) rad/s or m/s
    tau: Array  # (n, j) N·m or N
    tool_pos: Array  # (n, 3) m
    tool_quat: Array  # (n, 4)
    tool_vel: Array  # (n, 3) m/s
    object_pos: Array  # (n, 3) m
    object_quat: Array  # (n, 4)
    object_vel: Array  # (n, 6) m/s, rad/s
    marker: Array  # (n, 3) m, where the visible target lies
    stamp: Array  # (n,) s since the episode began

    def __len__(self) -> int:
        return len(self.stamp)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "Signals":
        """The readings of some worlds."""
        return Signals(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})
