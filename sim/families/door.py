"""Push a door of unknown hinge open to a target angle.

A push turns the door by an angle that depends on how far from the hinge the tool pushes, and the
door swings on after the tool has stopped, by an angle that depends on its inertia and on the
friction and damping of the hinge. How the panel has moved in one push reveals where its hinge is,
and how far it swings on.
"""

import numpy as np

from robots.actions import ActionMap
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.rotations import yaw_about_z
from robots.scene import TABLE, Joint, Scene, SceneObject
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.straight_push import PushRanges, StraightPush
from robots.world import Start, Task
from sim.families.base import BaseFamily, require_zone
from sim.families.rewards import closeness_value
from sim.families.splits import checkerboard
from sim.randomization import Parameter, draw, log_uniform, uniform, values_at

SPEED = 0.3  # m/s of a push
AHEAD = 0.12  # m, from the start of pushes to the closed door
PANEL = (0.01, 0.13, 0.025)  # m, half extents along x, y and z
MOST_OPEN = 2.0  # rad, to either side: the stops of the hinge
MARKER = 0.15  # m, from the middle of the closed door to the marker that shows the target angle

TARGET = Parameter("marker.angle", uniform(0.35, 0.8), "rad", "of the opened door", (0.1, 1.2))
# m, of a push beside the middle: where the hinge is not known, a push cannot be so close to it that
# the tool jams there. A lever of less than 3 cm takes more than the 30 N that stop a Panda.
BESIDE = 0.015
# The physics of a door; held-out doors have other combinations of halves of these ranges.
PHYSICS = (
    Parameter(
        "door.joint_y",
        uniform(-0.12, -0.055, 0.055, 0.12),
        "m",
        "of the hinge from the middle of the panel: negative on the right",
        (-0.13, 0.13),
    ),
    Parameter(
        "door.joint_friction", log_uniform(0.03, 0.3), "N·m", "dry friction of the hinge", (0, 0.5)
    ),
    Parameter(
        "door.joint_damping", log_uniform(0.003, 0.03), "N·m·s/rad", "of the hinge", (0, 0.1)
    ),
    Parameter("door.mass", log_uniform(0.1, 0.5), "kg", "of the panel", (0.05, 2.0)),
)

# Columns of the observation.
YAW = 2
TARGET_ANGLE = 3


class Door(BaseFamily):
    """One straight push per episode at a closed door, in one decision, to a target angle.

    The door opens away from the arm. Where its hinge is cannot be seen: on the left side or on the
    right one, and how far from the edge. A trial has one door and one target angle.
    """

    name = "door"
    dt = 0.1
    action_repeat = 22  # the longest push takes 1.6 s
    tick = 0.02
    horizon = 1
    episodes = 3
    goal_names = ("target.angle",)
    task_names = (
        "door.joint_y",
        "door.joint_friction",
        "door.joint_damping",
        "door.mass",
        "marker.angle",
    )
    parameters = (TARGET, *PHYSICS)
    tolerance = np.radians(5)  # rad, a door this close to its target angle is at it
    max_error = 0.6  # rad, larger errors count as this one: the reward stays bounded

    def __init__(self, arm: ArmSpec = PANDA) -> None:
        """Build the scene, the action map and the observation for an arm.

        Raises:
            BadArgumentError: the arm's catalog entry has no push zone.
        """
        zone = require_zone(arm, arm.push_zone, "push_zone")
        x = zone.start + AHEAD
        self.place = (x, 0.0, zone.height)  # m, the middle of the closed door
        self.ready = zone.ready
        self.body = arm
        self.limits = arm.limits.narrowed(zone.tool_box)
        hinge = Joint(limits=(-MOST_OPEN, MOST_OPEN))
        panel = SceneObject(
            "door",
            "box",
            PANEL,
            friction=0.3,
            restitution=0.1,
            position=self.place,
            joints=(hinge,),
        )
        self.scene = Scene(arm, (panel,), (TABLE,), timestep=0.005, contact_timestep=0.0025)
        ranges = PushRanges(
            offset=(-BESIDE, BESIDE),
            direction=(-0.15, 0.15),
            end=(zone.start, x + 0.15),
        )
        self.action: ActionMap = StraightPush(arm, self.limits, ranges, x, zone.height, SPEED)
        self.obs = Spec.of(
            ("door.x", x - 0.1, x + 0.1, "m"),
            ("door.y", -0.1, 0.1, "m"),
            ("door.yaw", -MOST_OPEN, MOST_OPEN, "rad"),
            ("target.angle", 0, MOST_OPEN, "rad"),
        )

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Target angles, and doors on the split's fields of a checkerboard.

        Held-out doors combine halves of the ranges in ways that no training door does.
        """
        target, *physics = self.parameters
        drawn = draw([target], rng, n, split)
        share = checkerboard(rng, n, len(physics), split, fields=2)
        columns = np.column_stack([values_at(physics, share), drawn["marker.angle"]])
        return Task(self.task_names, columns, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The door closed, and the tool in front of it."""
        n = len(task)
        return Start(q=np.tile(self.ready, (n, 1)), object_pos=np.tile(self.place, (n, 1)))

    def marker(self, task: Task) -> Array:
        """A point on a line from the middle of the closed door, turned as far as it is to open."""
        angle = task["marker.angle"]
        zero = np.zeros_like(angle)
        shift = MARKER * np.stack([np.sin(angle), np.cos(angle), zero], -1)
        return self.place + shift

    def observe(self, signals: Signals) -> Array:
        """Place and yaw of the panel, and the target angle, (n, 4)."""
        yaw = yaw_about_z(signals.object_quat)
        shift = signals.marker - self.place
        target = np.arctan2(shift[:, 0], shift[:, 1])
        return np.column_stack([signals.object_pos[:, :2], yaw, target])

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """The value of the angle after the push minus the value of the angle before.

        The value lies in [0, 1]: one half falls linearly with the error of the angle, the other
        half is proportional to the closeness.
        """
        return self._value(next_obs) - self._value(obs)

    def _value(self, obs: ArrayLike) -> ArrayLike:
        """1 at the target angle, nearly 0 at ``max_error`` or beyond."""
        return closeness_value(_error(obs), self.tolerance, self.max_error)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Open to within 5 degrees of the target angle, to either side."""
        return _error(obs) <= self.tolerance

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """How far the opened angle is from the target angle."""
        return {"angle_error_rad": _error(obs)}


def _error(obs: ArrayLike) -> ArrayLike:
    """From the opened angle to the target angle, rad (...,)."""
    opened = abs(obs[..., YAW])
    return abs(opened - obs[..., TARGET_ANGLE])
