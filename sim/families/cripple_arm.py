"""Move the tool to an observed goal with an arm whose joints do not all move as commanded."""

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from robots.actions import AXES, JointVelocity
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from robots.zones import ReachZone
from sim.families.base import require_zone
from sim.families.optional_latency import LATENCY, OptionalLatency
from sim.families.splits import heldout
from sim.joint_faults import gain_name
from sim.randomization import Parameter, draw, uniform

SPEED = 0.6  # rad/s, of a joint at an action of 1; ours, the farthest goal takes a second
POSTURE_NOISE = 0.1  # rad, around the middle posture, in which an episode begins
MIN_LEVER = 0.08  # m of the tool per rad, of joints that can be faulty; ours
MIN_JOINTS = 4  # that move the tool: with two faulty ones, others remain to reach the goal
MARGIN = 0.05  # m, from the outermost goal to where goals may be at most
INVERTED = Parameter(
    "fault.inverted",
    uniform(-1.0, -0.5),
    "1",
    "motion of the inverted joint as a factor of the commanded one",
    allowed=(-1.0, 1.0),
)
WEAK = Parameter(
    "fault.weak",
    uniform(0.0, 0.5),
    "1",
    "motion of the weak joint as a factor of the commanded one; 0 is dead",
    allowed=(-1.0, 1.0),
)
MARKER = tuple(f"marker.{axis}" for axis in AXES)


class CrippleArm(OptionalLatency):
    """Go to a goal and stay there, with an inverted joint and another one that is weak or dead.

    Each joint has a hidden gain of its commanded motion: 1 is healthy, 0 dead, as if braked, and
    negative inverted. Two joints that are faulty together in a held-out task are never faulty
    together in training.
    """

    name = "cripple_arm"
    dt = 0.1
    tick = 0.05
    horizon = 20
    episodes = 2
    goal_names = tuple(f"target.{axis}" for axis in AXES)

    def __init__(self, arm: ArmSpec = PANDA) -> None:
        """Find the joints that matter, and build the action map and the observation of an arm.

        Raises:
            BadArgumentError: the arm's catalog entry has no reach zone, or too few joints move
                the tool.
        """
        zone = require_zone(arm, arm.reach_zone, "reach_zone")
        self.zone = zone
        self.ready = zone.ready
        self.goal_radius = zone.goal_radius
        self.body = arm
        self.limits = arm.limits
        self.scene = Scene(arm, timestep=0.002)
        self.action = JointVelocity(arm, np.minimum(SPEED, arm.limits.dq))
        self.faulty = joints_that_move_the_tool(arm, zone.ready)
        gains = [gain_name(arm.joints[joint]) for joint in self.faulty]
        self.own_names = (*gains, *MARKER)
        self.parameters = (INVERTED, WEAK, *_goals(zone), LATENCY)
        self.obs = _observation(arm, zone)
        joints = len(arm.joints)
        self._tool = slice(joints, joints + 3)
        self._target = slice(joints + 6, joints + 9)

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """An inverted and a weak joint, and a goal in the zone, all drawn uniformly.

        Held-out tasks have two faulty joints that are never faulty together in training.
        """
        inverted, weak, *goals = self.own_parameters
        count = len(self.faulty)
        possible = faulty_pairs(count, split)
        pairs = rng.choice(possible, n)
        inverted_joint, weak_joint = pairs.T
        rows = np.arange(n)
        gains = np.ones((n, count))
        gains[rows, inverted_joint] = inverted.of(split).draw(rng, n)
        gains[rows, weak_joint] = weak.of(split).draw(rng, n)
        goal = draw(goals, rng, n, split)
        values = np.column_stack([gains, *goal.values()])
        return self.make_tasks(rng, values)

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Near the middle posture; the noise makes it harder to read the fault from a posture."""
        shape = (len(task), len(self.ready))
        noise = rng.uniform(-POSTURE_NOISE, POSTURE_NOISE, shape)
        q = self.ready + noise
        return Start(np.clip(q, self.limits.q_low, self.limits.q_high))

    def marker(self, task: Task) -> Array:
        """The goal, (n, 3) m."""
        return task.columns(*MARKER)

    def observe(self, signals: Signals) -> Array:
        """Joint positions, the tool's position and velocity, and the goal, (n, j + 9)."""
        columns = (signals.q, signals.tool_pos, signals.tool_vel, signals.marker)
        return np.concatenate(columns, 1)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Minus the distance to the goal, m."""
        return -self._distance(next_obs)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within ``goal_radius`` m of the goal."""
        return self._distance(obs) <= self.goal_radius

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Distance from the tool to the goal."""
        return {"distance_m": self._distance(obs)}

    def _distance(self, obs: ArrayLike) -> ArrayLike:
        """From the tool to the goal, m (...,)."""
        difference = obs[..., self._tool] - obs[..., self._target]
        return (difference**2).sum(-1) ** 0.5


def joints_that_move_the_tool(arm: ArmSpec, q: Array) -> tuple[int, ...]:
    """Numbers of the joints that move the tool by ``MIN_LEVER`` at least, at ``q`` (j,) rad.

    Raises:
        BadArgumentError: they are fewer than ``MIN_JOINTS``.
    """
    _, _, jacobian = Kinematics(arm).forward_jacobian(q[None])
    linear = jacobian[0, :3]
    lever = np.linalg.norm(linear, axis=0)
    joints = np.flatnonzero(lever >= MIN_LEVER)
    if len(joints) < MIN_JOINTS:
        raise BadArgumentError(
            f"{arm.name!r} has {len(joints)} joints that move the tool, {MIN_JOINTS} are needed"
        )
    return tuple(joints.tolist())


def faulty_pairs(count: int, split: str) -> NDArray[np.int64]:
    """Which of ``count`` joints are inverted and weak together in a split, (k, 2).

    Neighbors are held out, in either order: each joint and the next one, and the first and the
    last. Each joint is therefore in two of the held-out pairs.
    """
    pairs = []
    for pair in permutations(range(count), 2):
        apart = abs(pair[0] - pair[1])
        is_heldout = apart in (1, count - 1)
        if is_heldout == heldout(split):
            pairs.append(pair)
    return np.array(pairs)


def _goals(zone: ReachZone) -> list[Parameter]:
    """Where goals lie along each axis."""
    low = zone.center - zone.half_range
    high = zone.center + zone.half_range
    goals = []
    for name, lowest, highest in zip(MARKER, low.tolist(), high.tolist(), strict=True):
        allowed = (lowest - MARGIN, highest + MARGIN)
        goals.append(Parameter(name, uniform(lowest, highest), "m", "of the goal", allowed))
    return goals


def _observation(arm: ArmSpec, zone: ReachZone) -> Spec:
    """The columns of an observation, see ``CrippleArm.observe``."""
    reach = 1.0  # rad around the middle posture
    columns = []
    for joint, q in zip(arm.joints, zone.ready.tolist(), strict=True):
        columns.append((joint, q - reach, q + reach, "rad"))
    half_size = zone.half_range + MARGIN
    low = zone.center - half_size
    high = zone.center + half_size
    box = list(zip(AXES, low.tolist(), high.tolist(), strict=True))
    for axis, lowest, highest in box:
        columns.append((f"tool.{axis}", lowest, highest, "m"))
    for axis in AXES:
        columns.append((f"tool.v{axis}", -zone.speed, zone.speed, "m/s"))
    for axis, lowest, highest in box:
        columns.append((f"target.{axis}", lowest, highest, "m"))
    return Spec.of(*columns)
