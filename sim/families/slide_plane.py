"""Strike an object of unknown physics, from any side, so that it comes to rest on a target.

As ``slide``, and the target lies in any direction from the object that the tool can strike in:
ahead, to the left or right, or aslant back. The tool first goes around the object to the opposite
side. Objects are slippery, so that an impact sends them along the normal of the face that is hit:
an object therefore faces its target, roughly.
"""

import numpy as np

from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.signals import Array, Spec
from robots.strike_around import AroundRanges, StrikeAround
from robots.world import Start, Task
from sim.families.base import require_zone
from sim.families.slide import OBJECT, Slide, strike_scene
from sim.randomization import Parameter, uniform

ARC = 0.75 * np.pi  # rad to either side; beyond, targets lie beside the arm's base
RADIUS = 0.17  # m, of the circle on which the tool goes around; the tool begins on it
ROOM = 0.19  # m from the mark to the faces of the tool's box: no object can be pushed to a target
PLACE_NOISE = 0.015  # m, of the object's place at the start, along x and along y
YAW_NOISE = 0.1  # rad, by which the object does not face its target
STRIKES = AroundRanges(
    direction=(-ARC - 0.25, ARC + 0.25),
    speed=(0.0, 1.05),  # as in ``slide``
    offset=(-0.05, 0.05),
)

DISTANCE = Parameter(
    "target.distance", uniform(0.425, 0.475), "m", "from the mark to the target", (0.425, 0.5)
)
BEARING = Parameter(
    "target.bearing",
    uniform(-ARC, ARC),
    "rad",
    "from the x axis to the target, at the mark",
    (-ARC, ARC),
)


class SlidePlane(Slide):
    """One strike per episode, in one decision; a trial has one object and one target."""

    name = "slide_plane"
    # The way around takes up to 1.2 s, the strike 0.3 s, and the object stops 1.7 s after it.
    action_repeat = 32
    parameters = (*OBJECT, DISTANCE, BEARING)

    def __init__(self, arm: ArmSpec = PANDA) -> None:
        """Build the scene, the action map and the observation for an arm.

        Raises:
            BadArgumentError: the arm's catalog entry has no strike zone.
        """
        zone = require_zone(arm, arm.strike_zone, "strike_zone")
        x = zone.mark
        self.mark = (x, 0.0)  # m, the middle of the places where objects begin
        self.ready = zone.ready
        self.body = arm
        box = _tool_box(arm, x, zone.tool_box[2])
        self.limits = arm.limits.narrowed(box)
        self.scene = strike_scene(arm)
        self.action = StrikeAround(arm, self.limits, STRIKES, self.mark, RADIUS, zone.height)
        self.obs = Spec.of(
            ("object.x", x - 0.5, x + 0.5, "m"),
            ("object.y", -0.5, 0.5, "m"),
            ("object.sin_yaw", -1, 1, "1"),
            ("object.cos_yaw", -1, 1, "1"),
            ("target.x", x - 0.5, x + 0.5, "m"),
            ("target.y", -0.5, 0.5, "m"),
        )

    def target(self, drawn: dict[str, Array]) -> tuple[Array, Array]:
        """The targets of drawn parameters from the mark along x and along y, (n,) m each."""
        distance, bearing = drawn["target.distance"], drawn["target.bearing"]
        return distance * np.cos(bearing), distance * np.sin(bearing)

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The object near its mark, roughly facing its target, and the tool between it and the arm.

        It faces along the x axis of its own frame.
        """
        n = len(task)
        shift = rng.uniform(-PLACE_NOISE, PLACE_NOISE, (n, 2))
        place = self.mark + shift
        target = task.columns("marker.x", "marker.y")
        x, y = (target - place).T
        toward_target = np.arctan2(y, x)
        yaw = toward_target + rng.uniform(-YAW_NOISE, YAW_NOISE, n)
        return self.start_at(task, place, yaw)


def _tool_box(arm: ArmSpec, mark: float, height: Array) -> Array:
    """A box (3, 2) m about the mark, as far as the arm's own box goes."""
    low, high = arm.limits.tool_box[0]
    ends = np.clip((mark - ROOM, mark + ROOM), low, high)
    return np.stack([ends, (-ROOM, ROOM), height])
