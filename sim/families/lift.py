"""Lift a bar of unknown center of mass and put it down on a narrow support.

A bar that is held beside its center of mass turns in the fingers, and one that is put down with its
center of mass beside the support falls off. Mass and friction determine how hard it has to be held.
Where the bar ends shows on which side of the center of mass it was grasped.
"""

import numpy as np

from robots.actions import ActionMap
from robots.arm import ArmSpec
from robots.catalog.panda_hand import PANDA_HAND
from robots.errors import BadArgumentError
from robots.pick_and_place import GraspRanges, Heights, PickAndPlace
from robots.rotations import quaternion_about_z
from robots.scene import TABLE, Fixture, Scene, SceneObject
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily, require_zone
from sim.families.rewards import closeness_value
from sim.families.splits import checkerboard
from sim.randomization import Parameter, log_uniform, uniform, values_at

HALF_WIDTH = 0.015  # m, of the bar between the fingers
HALF_HEIGHT = 0.025  # m
SUPPORT = (0.025, 0.04, 0.04)  # m, half extents along x, y and z
ABOVE = 0.005  # m, of the grasp over the middle of the bar
CLEARANCE = 0.003  # m, between bar and support where the fingers open
CARRY = 0.06  # m, between the support and a bar that is carried level
FARTHEST = 0.09  # m, of a grasp from the middle of the bar
LARGEST_COM = 0.08  # m
PLACE_NOISE = 0.01  # m, of the bar's place at the start, along x and along y
YAW_NOISE = 0.05  # rad, of its yaw
GENTLENESS = 0.2  # reward of the softest grasp against the hardest one

PHYSICS = (
    Parameter("object.size_x", uniform(0.1, 0.13), "m", "half the length", (0.095, 0.14)),
    Parameter("object.mass", log_uniform(0.25, 0.8), "kg", "of the bar", (0.05, 1.0)),
    Parameter("object.friction", log_uniform(0.4, 0.9), "1", "on fingers and support", (0.3, 1.0)),
    Parameter(
        "object.com_x",
        uniform(-LARGEST_COM, LARGEST_COM),
        "m",
        "of the center of mass from the middle, along the bar",
        (-0.09, 0.09),
    ),
)

# Columns of the observation.
X = 0
Y = 1
Z = 2
RISE = 3


class Lift(BaseFamily):
    """Grasp a bar, lift it, and put it down on a support, in one decision.

    A trial has one bar; its place at the start is a little different in each episode.
    """

    name = "lift"
    dt = 0.1
    action_repeat = 50  # the longest motion takes 4.6 s
    tick = 0.02
    horizon = 1
    episodes = 3
    task_names = (
        "object.size_x",
        "object.mass",
        "object.friction",
        "object.com_x",
    )
    parameters = PHYSICS
    height_error = 0.01  # m, a bar this close to the height of one on the support lies on it
    most_rise = 0.1  # sine of the angle between a bar that counts as level and the horizontal
    max_error = 0.15  # m, larger errors count as this one: the reward stays bounded

    def __init__(self, arm: ArmSpec = PANDA_HAND) -> None:
        """Build the scene, the action map and the observation for an arm.

        Raises:
            BadArgumentError: the arm's catalog entry has no lift zone, or no gripper.
        """
        zone = require_zone(arm, arm.lift_zone, "lift_zone")
        if arm.gripper is None:
            raise BadArgumentError(f"{arm.name!r} has no gripper, which lift needs")
        self.zone = zone
        self.body = arm
        self.limits = arm.limits.narrowed(zone.tool_box)
        top = 2 * SUPPORT[2]
        self.goal_height = top + HALF_HEIGHT  # m, of the middle of a bar on the support
        support = Fixture("support", "box", SUPPORT, (*zone.place, SUPPORT[2]), touches_body=False)
        bar = SceneObject(
            "object",
            "box",
            (0.115, HALF_WIDTH, HALF_HEIGHT),
            restitution=0.1,
            position=(*zone.pick, HALF_HEIGHT),
        )
        self.scene = Scene(arm, (bar,), (TABLE, support), timestep=0.005)
        grasp = HALF_HEIGHT + ABOVE
        heights = Heights(
            grasp=grasp,
            carry=top + CARRY + grasp,
            release=top + CLEARANCE + grasp,
        )
        ranges = GraspRanges(offset=(-FARTHEST, FARTHEST), force=(0.0, 30.0))
        self.action: ActionMap = PickAndPlace(arm, self.limits, ranges, zone, heights, HALF_WIDTH)
        x, y = zone.pick
        self.obs = Spec.of(
            ("object.x", x - 0.1, x + 0.1, "m"),
            ("object.y", y - 0.1, zone.place[1] + 0.1, "m"),
            ("object.z", 0.0, self.goal_height + 0.05, "m"),
            ("object.rise", -1, 1, "1"),
        )

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Bars on the split's fields of a checkerboard.

        Held-out bars combine halves of the ranges in ways that no training bar does.
        """
        share = checkerboard(rng, n, len(self.parameters), split, fields=2)
        return Task(self.task_names, values_at(self.parameters, share), np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The bar near its place, slightly turned, and the open gripper over it."""
        n = len(task)
        place = self.zone.pick + rng.uniform(-PLACE_NOISE, PLACE_NOISE, (n, 2))
        yaw = rng.uniform(-YAW_NOISE, YAW_NOISE, n)
        height = np.full((n, 1), HALF_HEIGHT)
        return Start(
            q=np.tile(self.zone.ready, (n, 1)),
            object_pos=np.concatenate([place, height], 1),
            object_quat=quaternion_about_z(yaw),
        )

    def marker(self, task: Task) -> Array:
        """The top of the support."""
        top = (*self.zone.place, 2 * SUPPORT[2])
        return np.tile(top, (len(task), 1))

    def observe(self, signals: Signals) -> Array:
        """The bar's position, and the sine of its angle to the horizontal, (n, 4)."""
        w, x, y, z = signals.object_quat.T
        rise = 2 * (x * z - w * y)  # z of the bar's long axis
        return np.concatenate([signals.object_pos, rise[:, None]], 1)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Closeness to lying level on the support, less the force of the fingers.

        The error is √(height error² + (r · rise)²), where r makes the tolerated rise count as the
        tolerated height error. The closeness lies in [0, 1]: one half falls linearly with the
        error, the other half is steep near 0. The hardest grasp costs 0.2.
        """
        placed = closeness_value(self._error(next_obs), self.height_error, self.max_error)
        force = (applied[..., 1] + 1) / 2
        return placed - GENTLENESS * force

    def _error(self, obs: ArrayLike) -> ArrayLike:
        per_rise = self.height_error / self.most_rise
        height = obs[..., Z] - self.goal_height
        return (height**2 + (per_rise * obs[..., RISE]) ** 2) ** 0.5

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """The bar lies on the support, level, released."""
        height = obs[..., Z] - self.goal_height
        lies = height**2 <= self.height_error**2
        is_level = obs[..., RISE] ** 2 <= self.most_rise**2
        return lies & is_level

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """How far the bar's middle is from the height of one on the support."""
        height = obs[..., Z] - self.goal_height
        return {"height_error_m": (height**2) ** 0.5}
