"""A grasp as one action: where on an object, and how hard.

Grasps are usually planned and learned as such primitives (Mahler et al. 2017, "Dex-Net 2.0"): a
policy chooses the grasp, and a controller executes it. Here that is a memoryless map, like
``robots/strike.py``: the next motion depends on the setpoint only. The same action, posted again
in every control period, therefore takes the object from one place to the other.
"""

from dataclasses import dataclass

import numpy as np

from robots.actions import ToolVelocity
from robots.arm import ArmSpec, Limits
from robots.joint_steps import clip
from robots.rotations import cross
from robots.signals import Array, Mask, Setpoint
from robots.zones import LiftZone


@dataclass(frozen=True)
class GraspRanges:
    """What the columns of an action mean at -1 and 1."""

    offset: tuple[float, float]  # m, of the grasp along x from the middle of the pick place
    force: tuple[float, float]  # N, of each finger


@dataclass(frozen=True)
class Heights:
    """z of the tool, m."""

    grasp: float
    carry: float  # between the places
    release: float


class PickAndPlace(ToolVelocity):
    """The gripper takes an object at one place and puts it down at another, along the y axis.

    It goes down at its grasp with open fingers, closes them, goes up, across, and down, opens them
    and goes up again. The tool keeps its orientation. Where it is and how far the fingers are
    apart determine what comes next. A grasp without force is none: then the arm stands still.
    """

    GAIN = 8.0  # 1/s, of the approach to a place
    TURN_GAIN = 6.0  # 1/s, of the return to the orientation
    SPEED = 0.4  # m/s along each axis at most
    TOLERANCE = 0.003  # m, within which the tool is at a place
    LEAST_FORCE = 2.0  # N, full speed from it on
    FINGER_GAIN = 15.0  # 1/s
    FINGER_TOLERANCE = 0.0005  # m, within which the fingers are where they should be

    def __init__(
        self,
        arm: ArmSpec,
        limits: Limits,
        ranges: GraspRanges,
        zone: LiftZone,
        heights: Heights,
        half_width: float,
    ) -> None:
        """Create the map of one arm.

        Args:
            arm: with a gripper.
            limits: with the tool's box.
            ranges: of the action.
            zone: where to pick and to place; its ``ready`` pose has the tool's orientation.
            heights: of the tool.
            half_width: m, of the object between the fingers.
        """
        assert arm.gripper is not None, "families require one"
        x, y = zone.pick
        speeds = dict.fromkeys(("x", "y", "z"), (-self.SPEED, self.SPEED))
        super().__init__(arm, limits, speeds, (x, y, heights.carry))
        columns = [("grasp.offset", *ranges.offset, "m"), ("grasp.force", *ranges.force, "N")]
        self._set_columns(columns)
        self._gripper = arm.gripper
        self._zone = zone
        self._heights = heights
        self._half_width = half_width
        _, rotation, _ = self.kinematics.forward_jacobian(zone.ready[None])
        self._orientation = rotation[0]

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """Actions (n, 2) in [-1, 1] to joint velocities (n, j): rad/s, and m/s of the fingers."""
        pos, rotation, jacobian = self.kinematics.forward_jacobian(setpoint.q)
        offset, force = self._middle + self._half_range * clip(action.T, -1.0, 1.0)
        fingers = setpoint.q[:, -1]
        target, width = self._next_goal(pos.T, fingers, offset, force)
        velocity = clip(self.GAIN * (target - pos.T), -self.SPEED, self.SPEED)
        turn = self.TURN_GAIN * _rotation_error(rotation, self._orientation)
        twist = np.concatenate([velocity, turn.T])  # (6, n)
        dq = self._joint_velocity(twist, jacobian.T, setpoint.q.T).T
        dq[:, -1] = self._finger_velocity(width - fingers)
        moves = clip(force / self.LEAST_FORCE, 0.0, 1.0)
        dq *= moves[:, None]
        is_nan = np.isnan(action).any(-1)
        dq[is_nan] = np.nan
        return dq

    def _finger_velocity(self, distance: Array) -> Array:
        """Velocities (n,) m/s of the driven finger, ``distance`` (n,) m before its goal."""
        speed = self._gripper.speed
        return clip(self.FINGER_GAIN * distance, -speed, speed)

    def standstill(self, setpoint: Setpoint) -> Array:
        """A grasp in the middle, without force, (n, 2)."""
        return np.tile((0.0, -1.0), (len(setpoint.q), 1))

    def _next_goal(
        self, pos: Array, fingers: Array, offset: Array, force: Array
    ) -> tuple[Array, Array]:
        """Where to go next.

        Args:
            pos: (3, n) m, of the tool.
            fingers: (n,) m, of the driven finger.
            offset: (n,) m, of the grasp.
            force: (n,) N, of each finger.

        Returns:
            The tool's goal (3, n) m and the fingers' goal (n,) m.
        """
        x, y, z = pos
        pick_x, pick_y = self._zone.pick
        place_x, place_y = self._zone.place
        heights = self._heights
        opened = self._gripper.opened
        closed = self._gripper.squeeze(self._half_width, force)
        is_closed = fingers < closed + self.FINGER_TOLERANCE
        is_open = fingers > opened - self.FINGER_TOLERANCE
        is_at_place = np.abs(y - place_y) < np.abs(y - pick_y)

        grasp_x = pick_x + offset
        is_over_grasp = self._is_at(x, grasp_x) & self._is_at(y, pick_y)
        is_over_place = self._is_at(x, place_x) & self._is_at(y, place_y)
        is_up = z > heights.carry - self.TOLERANCE
        is_at_grasp = is_over_grasp & self._is_at(z, heights.grasp)
        is_at_release = is_over_place & self._is_at(z, heights.release)

        # to the grasp with open fingers, and up with closed ones
        picks = ~is_at_place & ~is_closed
        lifts = ~is_at_place & is_closed & ~is_up
        # down at the place with closed fingers, and up with open ones
        lowers = is_over_place & is_closed
        leaves = is_at_place & ~is_closed

        goal_x = np.where(picks, grasp_x, place_x)
        goal_x = np.where(lifts, x, goal_x)
        goal_y = np.where(picks, pick_y, place_y)
        goal_y = np.where(lifts, y, goal_y)
        goal_z = np.full_like(z, heights.carry)
        goal_z = np.where(picks & is_over_grasp, heights.grasp, goal_z)
        goal_z = np.where(lowers, heights.release, goal_z)
        goal_z = np.where(leaves & ~is_open, z, goal_z)

        opens = (leaves | is_at_release) | (picks & ~is_at_grasp)
        width = np.where(opens, opened, closed)
        return np.stack([goal_x, goal_y, goal_z]), width

    def _is_at(self, value: Array, goal: Array | float) -> Mask:
        near: Mask = np.abs(value - goal) < self.TOLERANCE
        return near


def _rotation_error(rotation: Array, goal: Array) -> Array:
    """The rotation vector from orientations (n, 3, 3) to ``goal`` (3, 3), (n, 3) rad, if small.

    Half the sum of the cross products of the axes; its length is sin(angle).
    """
    crosses = [cross(rotation[:, :, axis], goal[:, axis]) for axis in range(3)]
    error: Array = np.sum(crosses, axis=0) / 2
    return error
