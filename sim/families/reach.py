"""Move the tool to a hidden goal in front of the arm, which only the reward reveals."""

import numpy as np

from robots.actions import ToolVelocity
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import require_zone
from sim.families.optional_latency import LATENCY, OptionalLatency
from sim.families.splits import checkerboard
from sim.randomization import Parameter, uniform, values_at

MARGIN = 0.05  # m, from the outermost goal to the end of the tool box
POSITION = slice(0, 3)  # columns tool.x, tool.y and tool.z of the observation
GOAL = slice(0, 3)  # columns goal.x, goal.y and goal.z of the task


class Reach(OptionalLatency):
    """Go to a hidden goal in a box in front of the arm; the reward is minus the distance."""

    name = "reach"
    dt = 0.1
    tick = 0.05
    horizon = 20
    episodes = 3
    own_names = ("goal.x", "goal.y", "goal.z")
    hidden_reward = True

    def __init__(self, arm: ArmSpec = PANDA) -> None:
        """Build the tool box, the action map and the observation for an arm.

        Raises:
            BadArgumentError: the arm's catalog entry has no reach zone.
        """
        zone = require_zone(arm, arm.reach_zone, "reach_zone")
        self.zone = zone
        self.ready = zone.ready
        self.goal_radius = zone.goal_radius
        low = zone.center - zone.half_range - MARGIN
        high = zone.center + zone.half_range + MARGIN
        self.parameters = (*_goals(self.own_names, low, high), LATENCY)
        speed = zone.speed
        self.body = arm
        self.scene = Scene(arm, timestep=0.002)
        box = np.stack([low, high], -1)
        self.limits = arm.limits.narrowed(box)
        speeds = dict.fromkeys("xyz", (-speed, speed))
        self.action = ToolVelocity(arm, self.limits, speeds, zone.center.tolist())
        x, y, z = box
        self.obs = Spec.of(
            ("tool.x", *x, "m"),
            ("tool.y", *y, "m"),
            ("tool.z", *z, "m"),
            ("tool.vx", -speed, speed, "m/s"),
            ("tool.vy", -speed, speed, "m/s"),
            ("tool.vz", -speed, speed, "m/s"),
        )

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Goals in the whole box, on the split's fields of a checkerboard."""
        goal = values_at(self.own_parameters, checkerboard(rng, n, 3, split))
        return self.make_tasks(rng, goal)

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Always the same posture."""
        return Start(np.tile(self.ready, (len(task), 1)))

    def observe(self, signals: Signals) -> Array:
        """The tool's position (m) and velocity (m/s), (n, 6)."""
        return np.concatenate([signals.tool_pos, signals.tool_vel], 1)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Minus the distance to the goal, m."""
        return -_distance(next_obs, task)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within ``goal_radius`` m of the goal."""
        return _distance(obs, task) <= self.goal_radius

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Distance from the tool to the goal."""
        return {"distance_m": _distance(obs, task)}


def _goals(names: tuple[str, ...], low: Array, high: Array) -> tuple[Parameter, ...]:
    """Where goals lie along each axis, in a tool box from ``low`` to ``high``, (3,) m."""
    goals = []
    for name, lowest, highest in zip(names, low, high, strict=True):
        train = uniform(lowest + MARGIN, highest - MARGIN)
        allowed = (lowest, highest)
        goals.append(Parameter(name, train, "m", "of the goal of the tool", allowed))
    return tuple(goals)


def _distance(obs: ArrayLike, task: ArrayLike) -> ArrayLike:
    return ((obs[..., POSITION] - task[..., GOAL]) ** 2).sum(-1) ** 0.5
