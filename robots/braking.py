"""How the safety gate stops an arm: along a straight line in joint space. Batched.

Axes: n arms, j joints; arms come last, as inside the gate.
"""

import numpy as np

from robots.arm import Limits
from robots.joint_steps import TINY, State, clip, per_arm
from robots.signals import Array, Mask

ROUNDING = 1e-9  # ticks, tolerance for rounding errors


class StraightBraking:
    """Brings all joints to rest together, within their limits of acceleration and jerk.

    First the joints coast: their accelerations go to 0 in proportion, in as few ticks as the jerk
    limits allow. Then all velocities shrink in proportion, so that the joints move along a straight
    line, on which they come to rest. The end point is known before the braking begins.
    """

    def __init__(self, limits: Limits, dt: float, n: int) -> None:
        """Prepare the braking of n arms with ticks of ``dt`` s."""
        ddq = limits.ddq
        step = limits.jerk * dt  # rad/s², largest change of an acceleration in a tick
        build_up_times = ddq / limits.jerk
        build_up = float(build_up_times.max())  # s
        build_up_ticks = np.ceil(build_up / dt - ROUNDING)
        ticks = max(float(build_up_ticks), 1.0)
        self._dt = dt
        self._coast_ticks = ticks  # at most

        # s, for which the joints travel on at full speed: while they coast, and half of the time in
        # which the deceleration builds up and ends
        self.lag = dt
        if ticks > 1:
            self.lag = (ticks + 1) * dt + build_up / 2

        # (j,) rad: how far beside the line the joints coast. After k ticks from the acceleration a
        # that is a·dt²·(k - 1)·(k - 2)/6: none, if the jerk limit allows a stop of the acceleration
        # within two ticks.
        in_one_tick = ddq * dt**2
        self.offset = in_one_tick * (ticks - 1) * (ticks - 2) / 6

        # (j,) rad/s: how much faster than its target a joint may become while all coast together.
        # It reaches its target if its acceleration ends as fast as it can, after k ticks; with the
        # ticks K of the slowest joint it gains another step·dt·k·(K - k)/2.
        most = ticks**2 // 4  # of k·(K - k)
        self.overshoot = step * dt * most / 2

        self._ddq_max = per_arm(ddq, n)
        self._two_ddq = per_arm(2 * ddq, n)
        self._step = per_arm(step, n)

    def line(self, state: State) -> tuple[Array, Array]:
        """The straight line along which joints in this state come to rest.

        Returns:
            The largest displacement along the line, (j, n) rad, and the time that it would take
            without slowing down, (n,) s.

        Coasting for k ticks from the acceleration a changes the velocity by a·dt·(k - 1)/2, and the
        joints then lie on the line that leads from q in the direction of the new velocity, up to
        ``offset``. Braking from v at the deceleration a takes the distance v²/(2·a); the slowest
        joint decides, because all brake together.
        """
        _, dq, ddq = state
        velocity = dq
        if self._coast_ticks > 1:
            ticks = self._ticks_to_coast(ddq)
            coasting_time = self._dt / 2 * (ticks - 1)
            velocity = dq + ddq * coasting_time
        speed = np.abs(velocity)
        times = speed / self._two_ddq
        time = times.max(0) + self.lag
        displacement: Array = velocity * time
        return displacement, time

    def tick(self, state: State, on_line: Mask) -> tuple[State, Mask]:
        """One tick of braking.

        Args:
            state: of k <= n arms.
            on_line: (k,), the arms that have finished coasting.

        Returns:
            The next state, and the arms that have finished coasting by then.
        """
        q, dq, ddq = state
        k = len(on_line)
        ddq_max = self._ddq_max[:, :k]
        step = self._step[:, :k]
        ticks = self._ticks_to_coast(ddq)
        has_coasted = ticks == 1
        on_line = on_line | has_coasted
        remaining = 1 - 1 / ticks
        coasting = ddq * remaining
        rate = self._rate(dq, ddq)
        braking = -rate * dq
        wanted = np.where(on_line, braking, coasting)
        low = np.maximum(ddq - step, -ddq_max)
        high = np.minimum(ddq + step, ddq_max)
        next_ddq = clip(wanted, low, high)  # cuts no more than rounding
        next_dq = dq + next_ddq * self._dt
        next_q = q + next_dq * self._dt
        return (next_q, next_dq, next_ddq), on_line

    def _ticks_to_coast(self, ddq: Array) -> Array:
        """Ticks in which accelerations (j, n) can go to 0, (n,); at least 1."""
        n = ddq.shape[1]
        step = self._step[:, :n]
        ratio = np.abs(ddq) / step
        largest = ratio.max(0)
        ticks = np.ceil(largest - ROUNDING)
        at_least_one: Array = np.maximum(ticks, 1.0)
        return at_least_one

    def _rate(self, dq: Array, ddq: Array) -> Array:
        """The fastest common deceleration over velocity on the line, (n,) 1/s.

        As in ``JointSteps.toward``, the deceleration is small enough to be ramped down before
        the velocities are 0, here in units of the velocities themselves.
        """
        n = dq.shape[1]
        ddq_max = self._ddq_max[:, :n]
        step = self._step[:, :n]
        speed = np.abs(dq) + TINY
        direction = np.sign(dq)
        deceleration = -direction * ddq
        highest = np.minimum(deceleration + step, ddq_max)
        fastest_rates = highest / speed
        fastest = fastest_rates.min(0)
        lowest = deceleration - step
        slowest_rates = lowest / speed
        slowest = np.maximum(slowest_rates.max(0), 0.0)

        steps = step / speed  # 1/s
        half_step = steps.min(0) / 2
        one_tick = 1 / self._dt  # 1/s, this rate would take one tick
        root = np.sqrt(one_tick / half_step + 0.25)
        ticks = np.floor(root + 0.5)
        no_overshoot = one_tick / ticks + half_step * ticks - half_step
        rate: Array = clip(no_overshoot, slowest, fastest)
        return rate
