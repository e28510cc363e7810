"""Strike an object of unknown physics so that it comes to rest on a target.

Friction, mass, restitution, size and shape of the object are unknown. The target lies out of the
arm's reach and the tool is stopped at a line, so there is only one strike; the motion of the object
after it reveals its physics. Distance ~ (tool speed · (1 + restitution))² / (2 · friction · g).
"""

import numpy as np

from robots.actions import ActionMap
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.scene import FLAT_OBJECT, TABLE, Scene
from robots.signals import Array, ArrayLike, Spec
from robots.strike import Strike, StrikeRanges
from robots.world import Start, Task
from sim.families.base import require_zone
from sim.families.object_on_table import (
    TARGET_X,
    TARGET_Y,
    ObjectOnTable,
    distance_to_target,
)
from sim.families.splits import heldout
from sim.outlines import SHAPES
from sim.own_objects import draw_objects
from sim.randomization import Parameter, categorical, draw, log_uniform, uniform

# An object with low friction and high restitution reaches the nearest target at 0.35 m/s; one with
# high friction and low restitution reaches the furthest at 1.0 m/s, which is about the speed that
# the arm's acceleration limits allow on the way to the object.
STRIKES = StrikeRanges(speed=(0.0, 1.05), direction=(-0.2, 0.2))
PIVOT = 0.04  # m beyond the mark: objects of every shape are sent to targets at either side


SHAPE = Parameter(
    "object.shape",
    categorical(0, 1),
    "1",
    "0 box, 1 cross, 2 cylinder, 3 L, 4 T",
    choices=tuple(range(len(SHAPES))),
    heldout=categorical(2, 3, 4),
)
FRICTION = Parameter(
    "object.friction",
    log_uniform(0.05, 0.13),
    "1",
    "of the object on the table",
    (0.01, 1.0),
    heldout=log_uniform(0.04, 0.05, 0.13, 0.155),  # below and above the trained range
)
SIZE_X = Parameter(
    "object.size_x",
    uniform(0.03, 0.05),
    "m",
    "half the extent along the strike",
    (0.01, 0.08),
    heldout=uniform(0.05, 0.055),
)
SIZE_Y = Parameter(
    "object.size_y",
    uniform(0.03, 0.06),
    "m",
    "half the extent across",
    (0.01, 0.1),
    heldout=uniform(0.06, 0.065),
)
SIZE_Z = Parameter("object.size_z", uniform(0.018, 0.025), "m", "half the height", (0.01, 0.05))
MASS = Parameter(
    "object.mass",
    uniform(0.2, 0.5),
    "kg",
    "of the object",
    (0.01, 5.0),
    heldout=uniform(0.15, 0.2),
)
RESTITUTION = Parameter(
    "object.restitution",
    uniform(0.2, 0.6),
    "1",
    "share of the speed that a blow returns",
    (0.0, 1.0),
)
CENTER_OF_MASS = Parameter(
    "object.com_y", uniform(-0.005, 0.005), "m", "center of mass, across", (-0.01, 0.01)
)
AHEAD = Parameter(
    "target.ahead", uniform(0.4, 0.5), "m", "from the mark to the target along x", (0.3, 0.6)
)
ASIDE = Parameter(
    "target.aside", uniform(-0.08, 0.08), "m", "from the mark to the target along y", (-0.15, 0.15)
)
# Of the object, in the order in which they are drawn.
OBJECT = (SHAPE, FRICTION, SIZE_X, SIZE_Y, SIZE_Z, MASS, RESTITUTION, CENTER_OF_MASS)


class Slide(ObjectOnTable):
    """One strike per episode, in one decision; a trial has one object and one target."""

    name = "slide"
    # After a strike of 0.5 s, an object that stops on the target does so within 1.7 s (the one with
    # the lowest friction): at the end of the decision it is at rest.
    action_repeat = 24
    tick = 0.01
    task_names = (
        "object.shape",
        "object.size_x",
        "object.size_y",
        "object.size_z",
        "object.mass",
        "object.friction",
        "object.restitution",
        "object.com_y",
        "marker.x",
        "marker.y",
    )
    parameters = (*OBJECT, AHEAD, ASIDE)
    target_radius = 0.05  # m, an object this close to the target counts as on the target
    max_distance = 0.6  # m, larger distances count as this one: the reward stays bounded

    def __init__(self, arm: ArmSpec = PANDA) -> None:
        """Build the scene, the action map and the observation for an arm.

        Raises:
            BadArgumentError: the arm's catalog entry has no strike zone.
        """
        zone = require_zone(arm, arm.strike_zone, "strike_zone")
        x = zone.mark
        self.mark = (x, 0.0)  # m, where the object stands
        self.ready = zone.ready
        self.body = arm
        self.limits = arm.limits.narrowed(zone.tool_box)
        self.scene = strike_scene(arm)
        self.action: ActionMap = Strike(arm, self.limits, STRIKES, x + PIVOT, zone.height)
        self.obs = Spec.of(
            ("object.x", x - 0.1, x + 0.9, "m"),
            ("object.y", -0.3, 0.3, "m"),
            ("object.sin_yaw", -1, 1, "1"),
            ("object.cos_yaw", -1, 1, "1"),
            ("target.x", x + 0.35, x + 0.6, "m"),
            ("target.y", -0.15, 0.15, "m"),
        )

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Objects and targets; held-out objects are slipperier or rougher and of new shapes."""
        if self.own_objects:
            drawn = draw(self.parameters, rng, n, split)
            drawn |= draw_objects(self.own_objects, rng, n, split)
        else:
            drawn = self._draw(rng, n, split)
        ahead, aside = self.target(drawn)
        drawn["marker.x"] = self.mark[0] + ahead
        drawn["marker.y"] = self.mark[1] + aside
        values = np.stack([drawn[name] for name in self.task_names], -1)
        return Task(self.task_names, values, np.arange(n))

    def target(self, drawn: dict[str, Array]) -> tuple[Array, Array]:
        """The targets of drawn parameters from the mark along x and along y, (n,) m each."""
        return drawn["target.ahead"], drawn["target.aside"]

    def _draw(self, rng: np.random.Generator, n: int, split: str) -> dict[str, Array]:
        """All declared parameters by name, (n,) each."""
        shape, *others = self.parameters
        drawn = draw([shape], rng, n, split)
        if heldout(split):
            rng.random(n)  # not used: held-out tasks of a seed are those of earlier versions
        return drawn | draw(others, rng, n, split)

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The object at its mark with 1 mm of placement noise, the tool behind it."""
        place = self.mark + rng.normal(0, 1e-3, (len(task), 2))
        return self.start_at(task, place, np.zeros(len(task)))

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """The gain of a strike, as a share of a perfect strike's gain.

        The value of a state is minus its distance to the target, as a share of the mark's distance,
        plus half of its closeness. The reward is the increase of this value, divided by that of a
        strike that ends on the target.
        """
        at_mark = self._from_mark(obs)
        before = self._bounded_distance(obs)
        after = self._bounded_distance(next_obs)

        progress = (before - after) / at_mark
        closer = self._closeness(after) - self._closeness(before)
        gain = progress + 0.5 * closer
        perfect = 1.5 - 0.5 * self._closeness(at_mark)
        return gain / perfect

    def _from_mark(self, obs: ArrayLike) -> ArrayLike:
        """From the mark to the target, m (...,)."""
        x = obs[..., TARGET_X] - self.mark[0]
        y = obs[..., TARGET_Y] - self.mark[1]
        return (x**2 + y**2) ** 0.5

    def _closeness(self, distance: ArrayLike) -> ArrayLike:
        """1 at a distance (...,) of 0 m, 0.5 at the target's radius; it makes centimeters count."""
        return 1 / (1 + (distance / self.target_radius) ** 2)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within 5 cm of the target: an object that is there at the end is at rest."""
        return distance_to_target(obs) <= self.target_radius

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Distance from the object to the target."""
        return {"distance_m": distance_to_target(obs)}

    def _bounded_distance(self, obs: ArrayLike) -> ArrayLike:
        return distance_to_target(obs).clip(max=self.max_distance)


def strike_scene(arm: ArmSpec) -> Scene:
    """An arm, a table and a flat object, in steps so fine that impacts do not depend on them."""
    return Scene(
        arm,
        (FLAT_OBJECT,),
        (TABLE,),
        timestep=0.005,
        contact_timestep=0.0005,
    )
