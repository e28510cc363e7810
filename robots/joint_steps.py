"""One tick of the joints within their limits of acceleration and jerk. Batched.

Axes: n arms, j joints; arms come last. Constants are repeated n times: arithmetic without
broadcasting takes a third of the time.
"""

import numpy as np

from robots.arm import Limits
from robots.signals import Array, Mask

State = tuple[Array, Array, Array]  # (q, dq, ddq) of the joints, (j, n) each

TINY = 1e-300  # added above and below, it makes 0/0 equal to 1 and changes no other quotient


class JointSteps:
    """Takes joints towards a velocity, as fast as their limits allow."""

    def __init__(self, limits: Limits, dt: float, n: int) -> None:
        """Prepare the steps of n arms with ticks of ``dt`` s."""
        step = limits.jerk * dt  # rad/s², largest change of an acceleration in a tick
        self._dt = dt
        self._ddq_max = per_arm(limits.ddq, n)
        self._ddq_step = per_arm(step, n)
        self._half_ddq_step = per_arm(step / 2, n)

    def toward(self, state: State, target: Array, urgent: Mask) -> State:
        """The fastest next tick to ``target`` (j, n) rad/s within acceleration and jerk.

        It does not overshoot. From an acceleration a that is ramped down by δ = jerk·dt per tick,
        the velocity still grows by dt·((m + 1)·a - δ·m·(m + 1)/2), m = ⌊a/δ⌋. Solved for the a that
        ends exactly at the target: a = error/(m + 1) + δ·m/2, with error = (target - dq)/dt and
        m + 1 = ⌊√(2·error/δ + 1/4) + 1/2⌋.

        The joints change in proportion, so that the tool keeps its direction. Joints that are
        ``urgent`` (j, n), because they are near a bound, change as fast as each of them can.
        """
        q, dq, ddq = state
        dt = self._dt
        ddq_max = self._ddq_max
        step = self._ddq_step
        half_step = self._half_ddq_step
        low = np.maximum(ddq - step, -ddq_max)
        high = np.minimum(ddq + step, ddq_max)

        difference = target - dq
        error = difference / dt  # rad/s², this acceleration would take one tick
        sign = np.sign(error)
        magnitude = np.abs(error) + TINY
        steps = magnitude / half_step
        root = np.sqrt(steps + 0.25)
        ticks = np.floor(root + 0.5)  # m + 1
        ramp_down = half_step * ticks - half_step  # δ·m/2
        no_overshoot = magnitude / ticks + ramp_down
        fastest = clip(sign * no_overshoot, low, high)

        toward = fastest * sign + TINY
        made_up = toward / magnitude  # fraction of its error; 1 without an error
        fraction = made_up.min(0, initial=1.0)
        fraction = np.maximum(fraction, 0.0)
        together = clip(fraction * error, low, high)

        next_ddq = np.where(urgent, fastest, together)
        next_dq = dq + next_ddq * dt
        next_q = q + next_dq * dt
        return next_q, next_dq, next_ddq


def per_arm(value: Array, n: int) -> Array:
    """(j,) to (j, n)."""
    return np.repeat(value[:, None], n, 1)


def clip(x: Array, low: Array | float, high: Array | float) -> Array:
    """Like np.clip, in half the time."""
    return np.minimum(np.maximum(x, low), high)
