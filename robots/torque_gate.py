"""The gate of bodies that are driven by torques. Axes: n bodies, j joints."""

import numpy as np
from numpy.typing import NDArray

from robots.arm import Limits
from robots.joint_steps import clip
from robots.safety import LIMITED, UNUSABLE, checked_target
from robots.signals import Array, Mask, Setpoint, Torque


class TorqueGate:
    """Keeps joint torques within their limits; used like a ``SafetyGate``."""

    def __init__(self, limits: Limits, n: int) -> None:
        self.limits = limits
        self._nan = np.full((n, len(limits.tau)), np.nan)

    @property
    def setpoint(self) -> Setpoint:
        """NaN, (n, j): a torque-driven joint has no target position."""
        return Setpoint(self._nan, self._nan, self._nan)

    def reset(self, q: Array, mask: Mask | None = None) -> None:
        """Do nothing: the limits of a torque do not depend on the past."""

    def __call__(self, target: Array) -> tuple[Torque, NDArray[np.int64]]:
        """Limit the torques ``target`` (n, j) N·m of one tick; rows that are not finite become 0.

        Returns:
            The torques (n, j) N·m and Verdict flags (n,).

        Raises:
            BadArgumentError: the target has another shape.
        """
        target = checked_target(target, self._nan.shape)
        limit = self.limits.tau
        tau = clip(target, -limit, limit)
        is_kept = tau == target  # False of NaN
        if is_kept.all():
            return Torque(tau), np.zeros(len(target), dtype=np.int64)
        is_finite = np.isfinite(target).all(-1, keepdims=True)
        is_limited = is_finite & ~is_kept.all(-1, keepdims=True)
        verdict = ~is_finite * UNUSABLE | is_limited * LIMITED  # (n, 1)
        return Torque(np.where(is_finite, tau, 0.0)), verdict[:, 0]
