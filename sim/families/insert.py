"""Put a peg into a hole whose place, clearance and friction are unknown, by touch.

Schoettler et al. 2020, "Meta-Reinforcement Learning for Robotic Industrial Insertion Tasks", adapt
to unknown offsets, clearances and frictions in simulation and insert on an arm within 20 trials.
"""

import numpy as np

from robots.arm import ArmSpec
from robots.camera import Camera
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.reward import RewardFunction
from robots.scene import Fixture, Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.upright_tool import UprightToolPosition
from robots.world import Start, Task
from sim.families.base import require_zone
from sim.families.optional_latency import LATENCY, OptionalLatency
from sim.families.splits import checkerboard
from sim.peg_arm import hold_peg
from sim.randomization import Parameter, categorical, uniform, values_at

PEG_RADIUS = 0.005  # m
PEG_LENGTH = 0.05  # m, from the tool's point to the peg's end
ABOVE = 0.015  # m, from the hole's rim to the peg's end at the start
LARGEST_OFFSET = 0.015  # m, of the hole from where it is thought to be, along x and along y
ROOM = 0.01  # m, from the outermost hole to the end of the tool's box
WALL = 0.03  # m, half the thickness of the walls around the hole
LOWEST = 0.013  # m, of the lowest setpoint below the rim
# With the peg beside the hole and the setpoint at its lowest, the soft arm presses with this share
# of its limit of force; whatever the actions are, it stays below the limit.
PRESS = 0.5
SPEED = 0.03  # m/s of the setpoint along each axis, at most: a touch is no impact
TIME = 0.1  # s, in which the setpoint covers 63 % of its distance
FORCE = 10.0  # N, that scales the observed forces
TORQUE = 0.5  # N·m
MOST = 2.0  # times these are observed at most: the peak of a touch tells nothing more
# 1/m, of the distance in the reward of training: so little that a search costs less than it wins
GUIDE = 30.0
POSITION = slice(0, 3)  # columns tool.x, tool.y and tool.z of the observation
HEIGHT = 2  # column tool.z
WALLS = ("fixture.left.x", "fixture.right.x", "fixture.front.y", "fixture.back.y")


PEG_SHAPE = Parameter(
    "tool.shape",
    categorical(0, 1),
    "1",
    "of the peg: 0 round with a round end, 1 square with a flat end",
    choices=(0, 1),
)


class Insert(OptionalLatency):
    """Find the hole by touch and put the peg into it; the reward is the peg's depth.

    An action is a target position of the tool, of a soft arm that keeps its peg upright. The hole
    is up to 15 mm from the place for which it is taken, along x and along y.
    """

    name = "insert"
    dt = 0.1
    action_repeat = 2
    tick = 0.02
    horizon = 15
    episodes = 3
    hidden_reward = False  # the depth is measured; only the training's reward knows the hole
    own_names = (*WALLS, "fixture.friction", "tool.shape")
    full_depth = 0.01  # m, of an inserted peg
    parameters = (
        PEG_SHAPE,
        Parameter(
            "hole.x",
            uniform(-LARGEST_OFFSET, LARGEST_OFFSET),
            "m",
            "of the hole from its supposed place along x",
            (-LARGEST_OFFSET, LARGEST_OFFSET),
        ),
        Parameter(
            "hole.y",
            uniform(-LARGEST_OFFSET, LARGEST_OFFSET),
            "m",
            "of the hole from its supposed place along y",
            (-LARGEST_OFFSET, LARGEST_OFFSET),
        ),
        Parameter(
            "hole.clearance",
            uniform(0.0005, 0.002),
            "m",
            "between the peg in the middle and each wall",
            (0.0003, 0.01),
        ),
        Parameter(
            "fixture.friction", uniform(0.1, 0.4), "1", "of the peg on rim and walls", (0.0, 1.0)
        ),
        LATENCY,
    )

    def __init__(self, arm: ArmSpec = PANDA) -> None:
        """Build the arm with its peg, the hole, the action map and the observation.

        Raises:
            BadArgumentError: the arm's catalog entry has no reach zone, or the arm has a gripper.
        """
        zone = require_zone(arm, arm.reach_zone, "reach_zone")
        if arm.gripper is not None:
            raise BadArgumentError(
                f"{arm.name!r} has a gripper; insert fixes its peg to an arm's own tool"
            )
        self.ready = zone.ready
        stiff = PRESS * arm.limits.force / LOWEST
        self.body = hold_peg(arm, zone.ready, PEG_RADIUS, PEG_LENGTH, stiff)
        rim = zone.center[2] - ABOVE - PEG_LENGTH
        # (3,) m, the tool where the peg's end touches a hole in the supposed place
        self.touch = np.array([*zone.center[:2], rim + PEG_LENGTH])
        walls = _walls(self.touch, rim)
        self.scene = Scene(
            self.body,
            fixtures=walls,
            timestep=0.0025,
            measures_wrench=True,
            cameras=(_camera_near(np.array([*zone.center[:2], rim])),),
        )
        reach = LARGEST_OFFSET + ROOM
        low = np.array([-reach, -reach, -LOWEST])
        high = np.array([reach, reach, ABOVE + 0.005])
        relative = np.stack([low, high], -1)
        box = self.touch[:, None] + relative
        self.limits = arm.limits.narrowed(box)
        self.action = UprightToolPosition(
            self.body, self.limits, box, SPEED, TIME, self.body.peg_axis, zone.ready
        )
        self._scale = np.array([FORCE, FORCE, FORCE, TORQUE, TORQUE])
        x, y, z = relative.tolist()
        self.obs = Spec.of(
            ("tool.x", *x, "m"),
            ("tool.y", *y, "m"),
            ("tool.z", *z, "m"),
            ("force.x", -FORCE, FORCE, "N"),
            ("force.y", -FORCE, FORCE, "N"),
            ("force.z", -FORCE, FORCE, "N"),
            ("torque.x", -TORQUE, TORQUE, "N·m"),
            ("torque.y", -TORQUE, TORQUE, "N·m"),
        )

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Holes on the split's fields of a checkerboard, two fields along each axis.

        Held-out holes combine halves of the ranges of place, clearance and friction in ways that
        no training hole does.
        """
        shape, *others = self.own_parameters
        shares = checkerboard(rng, n, len(others), split, fields=2)
        x, y, clearance, friction = values_at(others, shares).T
        x = self.touch[0] + x
        y = self.touch[1] + y
        middle = PEG_RADIUS + clearance + WALL  # m, from the hole's center to that of a wall
        walls = [x - middle, x + middle, y - middle, y + middle]
        shapes = shape.of(split).draw(rng, n)
        columns = np.stack([*walls, friction, shapes], -1)
        return self.make_tasks(rng, columns)

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Always the same posture, with the peg above the place for which the hole is taken."""
        return Start(np.tile(self.ready, (len(task), 1)))

    def observe(self, signals: Signals) -> Array:
        """The tool, relative to where a peg touches the supposed hole, and its wrench, (n, 8).

        Of the wrench, torque about the vertical is left out.
        """
        assert signals.wrench is not None, "the scene asks for it"
        place = signals.tool_pos - self.touch
        bound = MOST * self._scale
        wrench = signals.wrench[:, :5].clip(-bound, bound)
        return np.concatenate([place, wrench], 1)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """The peg's depth, as a share of ``full_depth`` m; 0 above the rim."""
        share = self._depth(next_obs) / self.full_depth
        return share.clip(0.0, 1.0)

    @property
    def training_reward(self) -> RewardFunction:
        """The depth's share, minus 0.3 for each cm from the peg to the inserted place."""
        return self._guided

    def _guided(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """See ``training_reward``."""
        x, y = self.hole(task)
        dx = next_obs[..., 0] - x
        dy = next_obs[..., 1] - y
        dz = (self.full_depth - self._depth(next_obs)).clip(0.0, None)
        distance = (dx**2 + dy**2 + dz**2) ** 0.5
        return self.reward(obs, applied, next_obs, task) - GUIDE * distance

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """The peg is at least ``full_depth`` m deep, at the end."""
        return self._depth(obs) >= self.full_depth

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """How deep the peg is below the rim, 0 above it."""
        return {"depth_m": self._depth(obs).clip(0.0, None)}

    def _depth(self, obs: ArrayLike) -> ArrayLike:
        """Of the peg's end below the rim, m (...,)."""
        return -obs[..., HEIGHT]

    def hole(self, task: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
        """Where the hole of tasks (..., p) is, from its supposed place: x and y, m (...,) each."""
        x = (task[..., 0] + task[..., 1]) / 2 - float(self.touch[0])
        y = (task[..., 2] + task[..., 3]) / 2 - float(self.touch[1])
        return x, y


def _camera_near(hole: Array) -> Camera:
    """A camera close to a hole at (3,) m, which is small."""
    x, y, z = hole.tolist()
    return Camera("hole", (x + 0.32, y - 0.42, z + 0.305), (x, y, z + 0.025))


def _walls(touch: Array, rim: float) -> tuple[Fixture, ...]:
    """Four blocks on the table around a square hole, in its supposed place.

    Each is longer than the hole is wide, so that neighbors overlap: the places of four walls along
    one axis each give the hole any place and width.

    Args:
        touch: (3,) m, of which x and y are the hole's.
        rim: m, the height of the blocks.
    """
    x, y, _ = touch.tolist()
    half = rim / 2
    long = 2 * WALL + LARGEST_OFFSET
    apart = PEG_RADIUS + 0.002 + WALL
    along_y = (WALL, long, half)
    along_x = (long, WALL, half)
    return (
        Fixture("left", "box", along_y, (x - apart, y, half)),
        Fixture("right", "box", along_y, (x + apart, y, half)),
        Fixture("front", "box", along_x, (x, y - apart, half)),
        Fixture("back", "box", along_x, (x, y + apart, half)),
    )
