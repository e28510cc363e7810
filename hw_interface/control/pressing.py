"""Find joints of an arm at rest that press against something, and release the contact."""

import numpy as np

from robots.arm import Limits
from robots.kinematics import Kinematics
from robots.signals import Array, JointState, Mask

STANDS = 0.02  # rad/s, below which a joint is at rest; a Dynamixel servo's resolution is 0.024
ROUNDING = 1e-6  # share of a torque limit: smaller gravity torques, as of a vertical axis, are 0
# A joint only sags if its torque is at most WEIGHT_MARGIN times that of its weight plus
# TORQUE_MARGIN times its limit; ours: friction in the gears takes some of a servo's current, and
# the limit's share covers the resolution of the current.
WEIGHT_MARGIN = 1.25
TORQUE_MARGIN = 0.05
FAR = 0.01  # rad from its setpoint beyond which a joint is tested; ours: about 5 mm at the tool
STEP = 0.01  # rad from the setpoint to its next goal: 0.1 rad/s at the retreat's gain
FOLLOWED = 0.005  # rad by which a joint must move to have followed; ours: 3 ticks of a Dynamixel
# rad; a joint that carries a load follows before its setpoint has moved this far; ours: twice
# ``FOLLOWED``, and twice the lag of a soft servo
SUPPORTED = 0.02


class PressingJoints:
    """The joints of one arm that press on something, and the goals of the arm's setpoint.

    If the arm's controller holds the weight, only contact can keep a joint away from its setpoint;
    the setpoint then moves back to the measured position.

    On any other arm a joint also sags under its weight and its load. If the weight in the URDF
    explains the size and direction of a joint's torque, the joint sags and keeps its setpoint. A
    joint near its setpoint keeps it too. Every other joint is tested: its setpoint moves towards
    the measured position. A joint that carries a load follows at once, since only its servo
    supports the load; its setpoint then moves back. A joint that presses stays where it is until
    its contact is released; its setpoint stops there, at the latest at the measured position.
    """

    def __init__(
        self,
        limits: Limits,
        kinematics: Kinematics,
        setpoint: Array,
        state: JointState,
        holds_weight: bool,
    ) -> None:
        """Decide which joints are tested.

        Args:
            limits: of the arm.
            kinematics: of the arm, with its masses.
            setpoint: (j,) rad, at rest.
            state: the newest reading.
            holds_weight: see ``Capabilities``.
        """
        self._held = setpoint.copy()
        self._measured = state.q.copy()
        self._released: Mask = np.zeros(len(setpoint), dtype=bool)
        stands = np.abs(state.dq) < STANDS
        if holds_weight:
            self._tested: Mask = np.zeros_like(stands)
            self._goal = np.where(stands, state.q, setpoint)
            return
        weight = kinematics.gravity(state.q[None])[0]  # (j,) N·m that hold the arm up
        weight[np.abs(weight) < ROUNDING * limits.tau] = 0.0
        is_below = (setpoint - state.q) * weight > 0
        explained = WEIGHT_MARGIN * np.abs(weight) + TORQUE_MARGIN * limits.tau
        only_sags = is_below & (np.abs(state.tau) <= explained)  # False for NaN
        is_far = np.abs(setpoint - state.q) > FAR
        self._tested = stands & is_far & ~only_sags
        self._goal = self._held

    @property
    def found(self) -> bool:
        """Whether a joint was found to press; known once the setpoint has arrived at its goal."""
        return bool((self._tested | self._released).any())

    def goal(self, setpoint: Array, measured: Array) -> Array:
        """The next goal of the setpoint, (j,) rad.

        Args:
            setpoint: (j,) rad, now.
            measured: (j,) rad, now.
        """
        shift = np.abs(setpoint - self._held)  # rad, of the setpoint in the test so far
        direction = np.sign(self._measured - self._held)
        followed = direction * (measured - self._measured) > FOLLOWED
        released = self._tested & followed & (shift >= SUPPORTED)
        self._released |= released
        self._goal = np.where(released, setpoint, self._goal)
        self._tested &= ~followed
        # All setpoints arrive at the same time: those of joints that press with one tool then
        # release it together. If one were ahead, its joint would move, and push the others back.
        remaining = np.where(self._tested, self._measured - setpoint, 0.0)
        farthest = np.abs(remaining).max()
        ahead = setpoint + remaining * STEP / max(STEP, farthest)
        return np.where(self._tested, ahead, self._goal)
