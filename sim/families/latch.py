"""Knock a latched door or drawer open as wide as a target says.

A panel stands closed before the arm. It is a door with its hinge on the left or on the right, or a
drawer that slides away; a ball catch holds it, and only a knock that is hard enough frees it. The
tool stops where the panel was: how wide the panel opens depends on the knock's speed, on the energy
that the latch takes, and on the panel's inertia, friction and damping. One opening shows the
kind, the hinge and how far the panel moves on; a panel that stays closed tells that more is needed.
"""

import numpy as np

from robots.actions import ActionMap
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.knock import Knock, KnockRanges
from robots.rotations import yaw_about_z
from robots.scene import TABLE, Joint, Scene, SceneObject
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily, require_zone
from sim.families.rewards import closeness_value
from sim.families.splits import checkerboard
from sim.randomization import Parameter, categorical, draw, log_uniform, uniform, values_at

KNOCKS = KnockRanges(speed=(0.1, 0.9), offset=(-0.015, 0.015))
AHEAD = 0.12  # m, from the start of the tool to the closed panel
PANEL = (0.01, 0.13, 0.025)  # m, half extents along x, y and z
# m, from the closed panel's middle plane back to where the tool is told to stop; a ball of 2 cm
# touches the panel 3 cm before that plane, the end of a stylus 2 cm
STOP = 0.025
LEVER = 0.1  # m from the hinge, where forces of a door are meant
HINGE = Joint(limits=(-2.0, 2.0), latch_width=0.1)
SLIDE = Joint("slide", (1.0, 0.0, 0.0), limits=(-0.02, 0.25), latch_width=0.1 * LEVER)

KIND = Parameter(
    "panel.joint", categorical(0, 1), "1", "0 a door on a hinge, 1 a drawer", choices=(0, 1)
)
LATCH = Parameter(
    "panel.latch_force",
    uniform(1.0, 4.0),
    "N",
    "what the latch holds; of a door 10 cm from its hinge",
    (0.0, 6.0),
    heldout=uniform(4.0, 5.0),
)
TARGET = Parameter("marker.opening", uniform(0.08, 0.14), "m", "how wide to open it", (0.03, 0.2))
# Held-out panels have other combinations of halves of these ranges.
PHYSICS = (
    Parameter(
        "panel.joint_y",
        uniform(-0.12, -0.055, 0.055, 0.12),
        "m",
        "of a door's hinge from the middle of the panel: negative on the right",
        (-0.13, 0.13),
    ),
    Parameter(
        "panel.friction_force",
        log_uniform(0.3, 1.0),
        "N",
        "dry friction of the joint; of a door 10 cm from its hinge",
        (0.05, 3.0),
    ),
    Parameter(
        "panel.damping_force",
        log_uniform(0.1, 0.5),
        "N·s/m",
        "damping of the joint; of a door 10 cm from its hinge",
        (0.0, 5.0),
    ),
    Parameter("panel.mass", log_uniform(0.2, 0.5), "kg", "of the panel", (0.05, 2.0)),
)

# Columns of the observation.
PANEL_X = 0
PANEL_Y = 1
SIN_YAW = 2
COS_YAW = 3
TARGET_OPENING = 4


class Latch(BaseFamily):
    """One knock per episode, in one decision, at a closed door or drawer behind a latch.

    The panel opens away from the arm. Whether it is a door or a drawer cannot be seen. How wide it
    is open is how far that end of it has moved that has moved furthest.
    """

    name = "latch"
    dt = 0.1
    action_repeat = 20
    tick = 0.01
    horizon = 1
    episodes = 3
    goal_names = ("target.opening",)
    task_names = (
        "panel.joint",
        "panel.joint_y",
        "panel.joint_friction",
        "panel.joint_damping",
        "panel.joint_latch",
        "panel.mass",
        "marker.opening",
    )
    parameters = (KIND, LATCH, TARGET, *PHYSICS)
    tolerance = 0.02  # m, a panel open to within this is open as wide as wanted
    max_error = 0.15  # m, larger errors count as this one: the reward stays bounded

    def __init__(self, arm: ArmSpec = PANDA) -> None:
        """Build the scene, the action map and the observation for an arm.

        Raises:
            BadArgumentError: the arm's catalog entry has no push zone, or the arm is too slow.
        """
        zone = require_zone(arm, arm.push_zone, "push_zone")
        fastest = KNOCKS.speed[1]
        if arm.limits.tool_speed < fastest:
            raise BadArgumentError(
                f"latch knocks at up to {fastest} m/s; the tool of {arm.name!r} moves at"
                f" {arm.limits.tool_speed} m/s at most"
            )
        x = zone.start + AHEAD
        self.place = (x, 0.0, zone.height)  # m, the middle of the closed panel
        self.ready = zone.ready
        self.body = arm
        self.limits = arm.limits.narrowed(zone.tool_box)
        panel = SceneObject(
            "panel",
            "box",
            PANEL,
            friction=0.3,
            restitution=0.1,
            position=self.place,
            joints=(HINGE, SLIDE),
        )
        self.scene = Scene(arm, (panel,), (TABLE,), timestep=0.005, contact_timestep=0.001)
        self.action: ActionMap = Knock(arm, self.limits, KNOCKS, x - STOP, zone.height)
        self.obs = Spec.of(
            ("panel.x", x - 0.1, x + 0.2, "m"),
            ("panel.y", -0.1, 0.1, "m"),
            ("panel.sin_yaw", -1, 1, "1"),
            ("panel.cos_yaw", -1, 1, "1"),
            ("target.opening", 0, 0.2, "m"),
        )

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Doors and drawers; physics on the split's fields of a checkerboard.

        Held-out panels combine halves of the ranges in ways that no training panel does, and their
        latches hold more.
        """
        kind, latch, target, *physics = self.parameters
        drawn = draw((kind, latch, target), rng, n, split)
        share = checkerboard(rng, n, len(physics), split, fields=2)
        y, friction, damping, mass = values_at(physics, share).T
        is_door = drawn["panel.joint"] == 0
        # a force at a lever is a torque; damping has a second lever, of the speed
        lever = np.where(is_door, LEVER, 1.0)
        columns = (
            drawn["panel.joint"],
            y,
            lever * friction,
            lever**2 * damping,
            lever * drawn["panel.latch_force"],
            mass,
            drawn["marker.opening"],
        )
        return Task(self.task_names, np.stack(columns, -1), np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The panel closed, and the tool in front of it."""
        n = len(task)
        return Start(q=np.tile(self.ready, (n, 1)), object_pos=np.tile(self.place, (n, 1)))

    def marker(self, task: Task) -> Array:
        """A point as far behind the middle of the closed panel as it is to open."""
        opening = task["marker.opening"]
        zero = np.zeros_like(opening)
        return self.place + np.stack([opening, zero, zero], -1)

    def observe(self, signals: Signals) -> Array:
        """Place and yaw of the panel, and the target opening, (n, 5)."""
        yaw = yaw_about_z(signals.object_quat)
        target = signals.marker[:, 0] - self.place[0]
        place = signals.object_pos[:, :2]
        return np.column_stack([place, np.sin(yaw), np.cos(yaw), target])

    def opening(self, obs: ArrayLike) -> ArrayLike:
        """How far that end of the panel has moved that has moved furthest, m (...,)."""
        x = obs[..., PANEL_X] - self.place[0]
        y = obs[..., PANEL_Y] - self.place[1]
        half = PANEL[1]
        # of the panel's ends at y = half and y = -half when it is closed, the shifts squared
        turned_x = -half * obs[..., SIN_YAW]
        turned_y = half * (obs[..., COS_YAW] - 1)
        left = (x + turned_x) ** 2 + (y + turned_y) ** 2
        right = (x - turned_x) ** 2 + (y - turned_y) ** 2
        larger = (left + right + abs(left - right)) / 2
        return larger**0.5

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """The value of the opening after the knock minus its value before.

        The value lies in [0, 1]: one half falls linearly with the error of the opening, the other
        half is proportional to the closeness.
        """
        return self._value(next_obs) - self._value(obs)

    def _value(self, obs: ArrayLike) -> ArrayLike:
        """1 at the target, nearly 0 at ``max_error`` or beyond."""
        return closeness_value(self._error(obs), self.tolerance, self.max_error)

    def _error(self, obs: ArrayLike) -> ArrayLike:
        """From the opening to the target, m (...,)."""
        return abs(self.opening(obs) - obs[..., TARGET_OPENING])

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Open to within 2 cm of the target, at the end."""
        return self._error(obs) <= self.tolerance

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """How far the opening is from the target."""
        return {"opening_error_m": self._error(obs)}
