"""Which joints lean on something after a fault without contact, and where they are let go."""

import numpy as np

from robots.arm import Limits
from robots.kinematics import Kinematics
from robots.signals import Array, JointState, Mask

STANDS = 0.02  # rad/s, below which a measured joint stands; a Dynamixel servo's own unit is 0.024
ROUNDING = 1e-6  # share of a torque limit: an upright axis carries no weight, but for rounding
# A joint whose torque is at most so much above that of its weight only sags; ours: gears take some
# of a servo's current, and the limit's share covers the current's resolution.
WEIGHT_MARGIN = 1.25
TORQUE_MARGIN = 0.05
PROBED = 0.01  # rad from its setpoint, from which a joint is probed; ours: a tool's 5 mm
STEP = 0.01  # rad by which the setpoint goes ahead of itself: 0.1 rad/s at the retreat's gain
FOLLOWED = 0.005  # rad; ours: 3 units of a Dynamixel servo
# rad, less than which a setpoint was lowered until a joint that hangs on it followed; ours: twice
# ``FOLLOWED``, and twice the lag of a soft servo
HANGS = 0.02


class Lean:
    """The joints of one arm that lean on something, and the goals of their setpoints.

    A joint that stands off its setpoint although its weight does not pull it that way goes back to
    where it was measured. One that stands below its setpoint may sag, or press upward on something.
    If its weight explains its torque, it sags, and keeps its setpoint: it would sink a little with
    every fault. If not, it carries a load or presses, and is probed: its setpoint is lowered. What
    hangs on it follows at once, and is lifted again. What presses stays where it is until it is let
    go; there the setpoint stays.
    """

    def __init__(
        self, limits: Limits, kinematics: Kinematics, setpoint: Array, state: JointState
    ) -> None:
        """Judge a setpoint (j,) rad that stands, and the newest reading."""
        self._held = setpoint.copy()
        self._measured = state.q.copy()
        weight = kinematics.gravity(state.q[None])[0]  # (j,) N·m that hold the arm up
        weight[np.abs(weight) < ROUNDING * limits.tau] = 0.0
        self._up = np.sign(weight)
        is_below = (self._held - state.q) * weight > 0
        stands = np.abs(state.dq) < STANDS
        # of an arm whose URDF has no masses it is not known what sags
        leans = stands & ~is_below & weight.any()
        self._goal = np.where(leans, state.q, self._held)

        explained = WEIGHT_MARGIN * np.abs(weight) + TORQUE_MARGIN * limits.tau
        only_sags = np.abs(state.tau) <= explained  # False for NaN
        is_far = np.abs(self._held - state.q) > PROBED
        self._probed: Mask = stands & is_below & is_far & ~only_sags

    def goal(self, setpoint: Array, measured: Array) -> Array:
        """Where the setpoint is to go next, (j,) rad.

        Args:
            setpoint: (j,) rad, now.
            measured: (j,) rad, now.
        """
        lowered = np.abs(self._held - setpoint)
        fallen = self._up * (self._measured - measured)
        has_followed = self._probed & (fallen > FOLLOWED)
        hangs = has_followed & (lowered < HANGS)
        let_go = has_followed & ~hangs
        self._goal = np.where(let_go, setpoint, self._goal)
        self._probed &= ~has_followed
        remaining = self._measured - setpoint
        ahead = setpoint + np.clip(remaining, -STEP, STEP)
        return np.where(self._probed, ahead, self._goal)
