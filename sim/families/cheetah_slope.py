"""The half-cheetah runs over ground of hidden slopes: one of GrBAL's families.

The ground is a row of boxes. Axes: n tasks, r ramps.
"""

import numpy as np

from robots.actions import JointTorque
from robots.arm import Walker, numbers_of
from robots.camera import Camera
from robots.scene import Fixture, Scene
from robots.signals import Array
from robots.world import Start, Task
from sim.families.cheetah import CHEETAH, ForwardCheetah, cheetah_obs
from sim.families.splits import heldout
from sim.randomization import Parameter, categorical, uniform
from sim.slopes import slope_name

# the ground is made of fixtures, and PyBullet does not tilt those
BODY = Walker(**(numbers_of(CHEETAH) | {"needs_mujoco": True, "left_out": ("floor",)}))
DROP = 0.3  # m, that the torso starts higher than on flat ground: at 1 m, as in GrBAL's code

RAMPS = 18
LENGTH = 1.0  # m, of each ramp along x; the first begins at x = 0
FLAT = 100.0  # m, of the level ground before and behind the ramps
HALF_WIDTH = 2.0  # m, along y
HALF_THICKNESS = 0.25  # m, of the boxes, whose upper faces are the ground
NAMES = tuple(f"ramp_{number}" for number in range(RAMPS))
SLOPES = tuple(slope_name(name) for name in NAMES)

# Shapes of the ground.
RANDOM, HILL, BASIN, ASCENT = range(4)
SHAPE = Parameter(
    "ground.shape",
    categorical(RANDOM),
    "1",
    "0 random ramps, 1 a hill, 2 a basin, 3 an ascent",
    choices=(RANDOM, HILL, BASIN, ASCENT),
    heldout=categorical(HILL, BASIN, ASCENT, ASCENT),
)
HEIGHT = Parameter(
    "ground.height",
    uniform(0.2, 1.0),
    "m",
    "from the lowest to the highest point",
    (0.01, 6.0),
    heldout=categorical(0.6, 0.55, 1.0, 4.0),
)
# GrBAL's random ground: six ramps of 2 m, the first 1 m from the start, the first two upward.
NUM_RANDOM = 6
RANDOM_START = 1  # of ``RAMPS``, each 1 m long
RANDOM_LENGTH = 2
UPWARD = 2
RISES = uniform(0.2, 0.6)  # of one ramp, before all are scaled to the ground's height
HILL_LENGTH = 3  # m, of each side of a hill or basin


def ground() -> tuple[Fixture, ...]:
    """Level ground, the ramps, which a task tilts, and again level ground."""
    before = _box("flat_before", -FLAT, FLAT, None)
    boxes = [before]
    for number, name in enumerate(NAMES):
        last = boxes[-1].name
        boxes.append(_box(name, LENGTH * number, LENGTH, last))
    behind = _box("flat_behind", LENGTH * RAMPS, FLAT, NAMES[-1])
    return (*boxes, behind)


def _box(name: str, begin: float, length: float, after: str | None) -> Fixture:
    """A box whose upper face is level at z = 0; ``begin`` and ``length`` in m along x."""
    size = (length / 2, HALF_WIDTH, HALF_THICKNESS)
    position = (begin + length / 2, 0.0, -HALF_THICKNESS)
    return Fixture(name, "box", size, position, after=after)


CAMERA = Camera("beside", (0.0, -8.0, 2.25), (0.0, 0.0, 0.5), follows=1)


class CheetahSlope(ForwardCheetah):
    """Run forward over ground whose slopes are hidden.

    As in GrBAL's code (Nagabandi, Clavera et al. 2019): training has six ramps of 2 m, whose rises
    are random and are scaled to a random height; held out are a hill of 0.6 m, a basin of 0.55 m,
    and an ascent of 18 m by 1 m (gentle) or by 4 m (steep). The ground before and behind is flat.
    Reward, duration and a start 1 m above the ground are those of that code.

    There the ground is a height field with cells of 0.2 m, and ramps begin 0.1 m earlier; here it
    is made of boxes, whose poses are written for each task. An action lasts one step of 10 ms there
    and an episode 1000 actions; here it lasts five steps and an episode 200 actions, and starts
    have Gymnasium's noise.
    """

    name = "cheetah_slope"
    body = BODY
    scene = Scene(BODY, fixtures=ground(), timestep=0.01, cameras=(CAMERA,))
    action = JointTorque(BODY)
    obs = cheetah_obs(height=(-1.0, 2.0))
    episodes = 2
    task_names = SLOPES
    parameters = (SHAPE, HEIGHT)
    min_speed = 2.0

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """The slope of each meter: random ramps in training, four known grounds in held-out tasks.

        A held-out shape has the height at the same place in its list.
        """
        shapes, heights = (parameter.of(split) for parameter in self.parameters)
        if heldout(split):
            count = max(len(shapes.numbers), len(heights.numbers))
            index = rng.integers(count, size=n)
            shape = np.take(shapes.numbers, index, mode="wrap")
            height = np.take(heights.numbers, index, mode="wrap")
        else:
            shape = shapes.draw(rng, n)
            height = heights.draw(rng, n)
        rises = _random_rises(rng, n)
        for kind, known in _KNOWN.items():
            rises[shape == kind] = known
        z = np.zeros((n, RAMPS + 1))  # of the ramps' ends
        z[:, 1:] = np.cumsum(LENGTH * rises, 1)
        scale = height / np.ptp(z, axis=1)
        slopes = rises * scale[:, None]
        return Task(self.task_names, slopes, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """As on flat ground, but higher: no ramp is above the feet."""
        start = super().start(rng, task)
        start.q[:, BODY.root.index("rootz")] += DROP
        return start


def _random_rises(rng: np.random.Generator, n: int) -> Array:
    """Relative rises of the ramps of n random grounds, (n, RAMPS)."""
    rise = RISES.at(rng.random((n, NUM_RANDOM)))
    sign = rng.choice([-1.0, 1.0], (n, NUM_RANDOM))
    sign[:, :UPWARD] = 1.0
    rises = np.zeros((n, RAMPS))
    end = RANDOM_START + NUM_RANDOM * RANDOM_LENGTH
    rises[:, RANDOM_START:end] = np.repeat(sign * rise, RANDOM_LENGTH, 1)
    return rises


def _known_rises() -> dict[int, Array]:
    """Relative rises (RAMPS,) of the shapes that are not random."""
    hill = np.zeros(RAMPS)
    hill[:HILL_LENGTH] = 1.0
    hill[HILL_LENGTH : 2 * HILL_LENGTH] = -1.0
    return {HILL: hill, BASIN: -hill, ASCENT: np.ones(RAMPS)}


_KNOWN = _known_rises()
