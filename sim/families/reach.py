"""Bring the tool to a hidden goal in front of the arm, which only the reward reveals."""

import numpy as np

from robots.actions import ToolVelocity
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.catalog.viperx import VIPERX
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.splits import checkerboard
from sim.randomization import Parameter, uniform, values_at

MARGIN = 0.05  # m, from the outermost goal to the end of the tool box
POSITION = slice(0, 3)  # columns tool.x, tool.y and tool.z of the observation


class Reach(BaseFamily):
    """Go to a hidden goal in a box of 25 × 50 × 30 cm; the reward is minus the distance."""

    name = "reach"
    arm: ArmSpec = PANDA
    # rad, the tool in the center of the goals, pointing down
    ready = np.array([0.0, -0.2227, 0.0, -2.2955, 0.0, 2.0728, 0.0])
    goal_center = np.array([0.475, 0.0, 0.3])  # m, center of the box of goals
    goal_half_range = np.array([0.125, 0.25, 0.15])  # m, half the box along each axis
    speed = 0.5  # m/s along each axis
    goal_radius = 0.05  # m, a tool this close to the goal is at the goal
    dt = 0.1
    tick = 0.05
    horizon = 20
    episodes = 3
    task_names = ("goal.x", "goal.y", "goal.z")
    hidden_reward = True

    def __init__(self) -> None:
        """Build the tool box, the action map and the observation for the class's arm and goals."""
        low = self.goal_center - self.goal_half_range - MARGIN
        high = self.goal_center + self.goal_half_range + MARGIN
        self.parameters = self._goals(low, high)
        speed = self.speed
        self.body = self.arm
        self.scene = Scene(self.arm, timestep=0.002)
        box = np.stack([low, high], -1)
        self.limits = self.arm.limits.narrowed(box)
        speeds = dict.fromkeys("xyz", (-speed, speed))
        self.action = ToolVelocity(self.arm, self.limits, speeds, self.goal_center.tolist())
        x, y, z = box
        self.obs = Spec.of(
            ("tool.x", *x, "m"),
            ("tool.y", *y, "m"),
            ("tool.z", *z, "m"),
            ("tool.vx", -speed, speed, "m/s"),
            ("tool.vy", -speed, speed, "m/s"),
            ("tool.vz", -speed, speed, "m/s"),
        )

    def _goals(self, low: Array, high: Array) -> tuple[Parameter, ...]:
        """Where goals lie along each axis; a tool box from ``low`` to ``high``, (3,) m."""
        goals = []
        for axis, name in enumerate(self.task_names):
            center = self.goal_center[axis]
            half_range = self.goal_half_range[axis]
            range_of_goals = uniform(center - half_range, center + half_range)
            allowed = (low[axis], high[axis])
            goals.append(Parameter(name, range_of_goals, "m", "of the goal of the tool", allowed))
        return tuple(goals)

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Goals all over the box, on the split's fields of a checkerboard."""
        goal = values_at(self.parameters, checkerboard(rng, n, 3, split))
        return Task(self.task_names, goal, np.arange(n))

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


class ReachViperx(Reach):
    """Go to a hidden goal in a box of 20 × 30 × 16 cm, with the small arm."""

    name = "reach_viperx"
    arm = VIPERX
    # rad, the stylus in the center of the goals, pointing down
    ready = np.array([0.0, 0.015, 0.1496, 0.0, 1.4061, 0.0])
    goal_center = np.array([0.36, 0.0, 0.2])
    goal_half_range = np.array([0.1, 0.15, 0.08])
    speed = 0.3
    goal_radius = 0.03


def _distance(obs: ArrayLike, task: ArrayLike) -> ArrayLike:
    return ((obs[..., POSITION] - task) ** 2).sum(-1) ** 0.5
