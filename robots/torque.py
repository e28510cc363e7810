"""Bodies driven by torque: what an action means to them, and the gate before their joints."""

import numpy as np
from numpy.typing import NDArray

from robots.arm import Body, Limits, Setpoint, Torque
from robots.signals import Array
from robots.world import Spec, Verdict


class JointTorque:
    """Each joint's torque, as a share of its limit."""

    def __init__(self, body: Body) -> None:
        self.scale = body.limits.tau
        names = tuple(f"{joint}.torque" for joint in body.joints)
        self.spec = Spec(names, -self.scale, self.scale, ("N·m",) * len(names))

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """(n, a) in [-1, 1] to N·m (n, j)."""
        return np.clip(action, -1, 1) * self.scale


class TorqueGate:
    """Keeps torques within their limits; the verbs are the ``SafetyGate``'s."""

    def __init__(self, limits: Limits, n: int) -> None:
        self.limits = limits
        self._nowhere = np.full((n, len(limits.tau)), np.nan)

    @property
    def setpoint(self) -> Setpoint:
        """Torques tell no joint where to be: NaN, (n, j)."""
        return Setpoint(self._nowhere, self._nowhere, self._nowhere)

    def reset(self, q: Array, mask: NDArray[np.bool_] | None = None) -> None:
        """Nothing: a torque is allowed whatever came before it."""

    def __call__(self, target: Array) -> tuple[Torque, NDArray[np.int64]]:
        """One tick of torques ``target`` (n, j) N·m; a row that is not finite pushes nothing. Verdict flags (n,)."""
        target = np.asarray(target, dtype=np.float64)
        if target.shape != self._nowhere.shape:
            raise ValueError(f"the gate takes targets of shape {self._nowhere.shape}, got {target.shape}")
        finite = np.isfinite(target).all(-1, keepdims=True)
        wish = np.where(finite, target, 0.0)
        tau = np.clip(wish, -self.limits.tau, self.limits.tau)
        limited = (tau != wish).any(-1, keepdims=True)
        verdict = ~finite * int(Verdict.DROPPED | Verdict.HELD) | limited * int(Verdict.LIMITED)
        return Torque(tau), verdict[:, 0]
