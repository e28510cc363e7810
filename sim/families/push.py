"""Push an object of unknown physics over a table to a target pose.

Center of mass, friction, mass, size and shape of the object are unknown. A slow push depends little
on mass and on the friction of the table (Mason 1986, "Mechanics and planning of manipulator pushing
operations"). The center of mass determines in which direction the object turns; the friction at the
tool determines whether the tool slides along the face. The motion of the object in one push reveals
both for the next push.
"""

import numpy as np

from robots.actions import ActionMap
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.scene import TABLE, Scene, SceneObject
from robots.signals import Array, ArrayLike, Spec
from robots.straight_push import PushRanges, StraightPush
from robots.world import Start, Task
from sim.families.base import require_zone
from sim.families.object_on_table import (
    COS_YAW,
    SIN_YAW,
    ObjectOnTable,
    distance_to_target,
)
from sim.families.rewards import closeness_value
from sim.families.splits import checkerboard
from sim.outlines import SHAPES
from sim.own_objects import draw_objects
from sim.randomization import Parameter, categorical, draw, log_uniform, uniform, values_at

SPEED = 0.3  # m/s of a push, so slow that objects hardly slide on after the tool has stopped
AHEAD = 0.12  # m, from the start of pushes to the middle of the places where objects begin
OBJECT = SceneObject("object", "outline", (0.04, 0.04, 0.025))
MOST_COM = 1 / 3  # share of half the object's shorter side
PLACE_NOISE = 0.02  # m, of the object's place at the start, along x and along y
YAW_NOISE = 0.5  # rad, of its yaw


SHAPE = Parameter(
    "object.shape",
    categorical(0, 2),
    "1",
    "0 box, 1 cross, 2 cylinder, 3 L, 4 T",
    choices=tuple(range(len(SHAPES))),
)
SIZE_Z = Parameter("object.size_z", uniform(0.02, 0.03), "m", "half the height", (0.015, 0.05))
TARGET_FORWARD = Parameter(
    "target.forward", uniform(0.08, 0.14), "m", "from the middle of the starts along x", (0.0, 0.15)
)
TARGET_SIDEWAYS = Parameter(
    "target.sideways",
    uniform(-0.04, 0.04),
    "m",
    "from the middle of the starts along y",
    (-0.1, 0.1),
)
VISIBLE = (SHAPE, SIZE_Z, TARGET_FORWARD, TARGET_SIDEWAYS)
# The physics of an object; held-out objects have other combinations of halves of these ranges.
PHYSICS = (
    Parameter("object.size_x", uniform(0.035, 0.05), "m", "half the length", (0.02, 0.055)),
    Parameter("object.size_y", uniform(0.035, 0.05), "m", "half the width", (0.02, 0.055)),
    Parameter("object.mass", log_uniform(0.1, 0.5), "kg", "of the object", (0.02, 2.0)),
    Parameter(
        "object.friction", log_uniform(0.2, 0.8), "1", "on the table and on the tool", (0.05, 1.0)
    ),
    Parameter(
        "object.com_share_x",
        uniform(-MOST_COM, MOST_COM),
        "1",
        "center of mass along the length, as a share of half the shorter side",
        (-0.8, 0.8),
    ),
    Parameter(
        "object.com_share_y",
        uniform(-MOST_COM, MOST_COM),
        "1",
        "center of mass along the width, as a share of half the shorter side",
        (-0.8, 0.8),
    ),
)


class Push(ObjectOnTable):
    """One straight push per episode, in one decision, to a place and a yaw of zero.

    A trial has one object and one target; the object's place and yaw at the start are new in each
    episode.
    """

    name = "push"
    action_repeat = 18  # the longest push takes 1.6 s
    tick = 0.02
    task_names = (
        "object.shape",
        "object.size_x",
        "object.size_y",
        "object.size_z",
        "object.mass",
        "object.friction",
        "object.com_x",
        "object.com_y",
        "marker.x",
        "marker.y",
    )
    parameters = (*VISIBLE, *PHYSICS)
    target_radius = 0.02  # m, an object this close to the target counts as on the target
    target_yaw = np.radians(15)  # rad, an object turned by less counts as straight
    max_error = 0.2  # m, larger errors count as this one: the reward stays bounded

    def __init__(self, arm: ArmSpec = PANDA) -> None:
        """Build the scene, the action map and the observation for an arm.

        Raises:
            BadArgumentError: the arm's catalog entry has no push zone.
        """
        zone = require_zone(arm, arm.push_zone, "push_zone")
        x = zone.start + AHEAD
        self.mark = (x, 0.0)  # m, the middle of the places where objects begin
        self.ready = zone.ready
        self.body = arm
        self.limits = arm.limits.narrowed(zone.tool_box)
        self.scene = Scene(arm, (OBJECT,), (TABLE,), timestep=0.005, contact_timestep=0.0025)
        ranges = PushRanges(
            offset=(-0.06, 0.06),
            direction=(-0.5, 0.5),
            end=(zone.start, x + 0.15),
        )
        self.action: ActionMap = StraightPush(arm, self.limits, ranges, x, zone.height, SPEED)
        self.obs = Spec.of(
            ("object.x", x - 0.05, x + 0.2, "m"),
            ("object.y", -0.1, 0.1, "m"),
            ("object.sin_yaw", -1, 1, "1"),
            ("object.cos_yaw", 0, 1, "1"),
            ("target.x", x - 0.05, x + 0.2, "m"),
            ("target.y", -0.1, 0.1, "m"),
        )

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Objects and targets; physics on the split's fields of a checkerboard.

        Held-out objects combine halves of the ranges in ways that no training object does.
        """
        if self.own_objects:
            drawn = draw(self.parameters, rng, n, split)
            drawn |= draw_objects(self.own_objects, rng, n, split)
        else:
            drawn = self._draw(rng, n, split)
        drawn["marker.x"] = self.mark[0] + drawn["target.forward"]
        drawn["marker.y"] = self.mark[1] + drawn["target.sideways"]
        columns = np.stack([drawn[name] for name in self.task_names], -1)
        return Task(self.task_names, columns, np.arange(n))

    def _draw(self, rng: np.random.Generator, n: int, split: str) -> dict[str, Array]:
        """All declared parameters by name, and the center of mass, (n,) each."""
        visible, physics = self.parameters[: len(VISIBLE)], self.parameters[len(VISIBLE) :]
        drawn = draw(visible, rng, n, split)
        share = checkerboard(rng, n, len(physics), split, fields=2)
        values = values_at(physics, share)
        for parameter, column in zip(physics, values.T, strict=True):
            drawn[parameter.name] = column
        shorter = np.minimum(drawn["object.size_x"], drawn["object.size_y"])
        drawn["object.com_x"] = shorter * drawn["object.com_share_x"]
        drawn["object.com_y"] = shorter * drawn["object.com_share_y"]
        return drawn

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The object near its mark, turned, and the tool behind it."""
        n = len(task)
        place = self.mark + rng.uniform(-PLACE_NOISE, PLACE_NOISE, (n, 2))
        yaw = rng.uniform(-YAW_NOISE, YAW_NOISE, n)
        return self.start_at(task, place, yaw)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """The value of the pose after the push minus the value of the pose before.

        The error of a pose is √(distance² + (r · yaw)²), where r makes the tolerated yaw count as
        the tolerated distance. The value lies in [0, 1]: one half falls linearly with the error,
        the other half is proportional to the closeness.
        """
        return self._value(next_obs) - self._value(obs)

    def _value(self, obs: ArrayLike) -> ArrayLike:
        """1 on the target, nearly 0 at ``max_error`` or beyond."""
        per_radian = self.target_radius / self.target_yaw
        error = (distance_to_target(obs) ** 2 + (per_radian * _yaw(obs)) ** 2) ** 0.5
        return closeness_value(error, self.target_radius, self.max_error)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within 2 cm of the target and 15 degrees of a yaw of zero, at the end, at rest."""
        is_there = distance_to_target(obs) <= self.target_radius
        is_straight = _yaw(obs) <= self.target_yaw
        return is_there & is_straight

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Distance from the object to the target, and how far it is turned."""
        return {"distance_m": distance_to_target(obs), "yaw_rad": _yaw(obs)}


def _yaw(obs: ArrayLike) -> ArrayLike:
    """The object's yaw error, (...,), as the chord of the angle.

    It is 2 · sin(yaw / 2): less than the angle by 0.3 % at 15 degrees, by 10 % at 90 degrees.
    """
    return (obs[..., SIN_YAW] ** 2 + (1 - obs[..., COS_YAW]) ** 2) ** 0.5
