"""Bring the tool to a place in front of the arm that is not shown: only the reward tells where."""

from typing import Any

import numpy as np

from robots.actions import ToolVelocity
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.catalog.viperx import VIPERX
from robots.scene import Scene
from robots.signals import Array, Signals, Spec
from robots.world import Start, Task
from sim.families.splits import checkerboard

MARGIN = 0.05  # m, from the outermost goal to the end of the tool's box


class Reach:
    """Go to a hidden goal in a box of 25 × 50 × 30 cm; reward is minus the distance."""

    name = "reach"
    engines = ("mujoco", "bullet", "ideal")
    arm: ArmSpec = PANDA
    ready = np.array(
        [0.0, -0.2227, 0.0, -2.2955, 0.0, 2.0728, 0.0]
    )  # rad, the tool in the middle, pointing down
    middle = np.array([0.475, 0.0, 0.3])  # m, of the goals
    span = np.array([0.125, 0.25, 0.15])  # m, how far goals lie from it along each axis
    speed = 0.5  # m/s along each axis
    reached = 0.05  # m
    dt = 0.1
    tick = 0.05
    horizon = 20
    episodes = 3
    task_names = ("goal.x", "goal.y", "goal.z")
    hidden_reward = True

    def __init__(self) -> None:
        low, high = self.middle - self.span - MARGIN, self.middle + self.span + MARGIN
        self.body, self.scene = self.arm, Scene(self.arm, timestep=0.002)
        self.limits = self.arm.limits.narrowed(np.stack([low, high], -1))
        bounds = dict.fromkeys("xyz", (-self.speed, self.speed))
        self.action = ToolVelocity(self.arm, self.limits, bounds, self.middle.tolist())
        self.obs = Spec(
            ("tool.x", "tool.y", "tool.z", "tool.vx", "tool.vy", "tool.vz"),
            np.concatenate([low, np.full(3, -self.speed)]),
            np.concatenate([high, np.full(3, self.speed)]),
            ("m", "m", "m", "m/s", "m/s", "m/s"),
        )

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Goals all over the box; held-out ones in fields of a chequerboard that no training goal lies in."""
        goal = self.middle + self.span * (2 * checkerboard(rng, n, 3, split) - 1)
        return Task(self.task_names, goal, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The same posture, always."""
        n = len(task)
        return Start(np.tile(self.ready, (n, 1)))

    def marker(self, task: Task) -> Array:
        """Nothing shows where the goal is."""
        return np.full((len(task), 3), np.nan)

    def observe(self, signals: Signals) -> Array:
        """The tool's position and velocity, (n, 6)."""
        return np.concatenate([signals.tool_pos, signals.tool_vel], 1)

    def reward(self, obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        """Minus the distance to the goal, m."""
        return -_distance(next_obs, task)

    def success(self, obs: Any, task: Any) -> Any:
        """Close to the goal: within 5 cm, or what the class says."""
        return _distance(obs, task) <= self.reached

    def terminated(self, obs: Any) -> Any:
        """Never."""
        return obs[..., 0] != obs[..., 0]


class ReachViperx(Reach):
    """The same for the small arm, in a box of 20 × 30 × 16 cm."""

    name = "reach_viperx"
    arm = VIPERX
    ready = np.array(
        [0.0, 0.015, 0.1496, 0.0, 1.4061, 0.0]
    )  # the stylus in the middle, pointing down
    middle = np.array([0.36, 0.0, 0.2])
    span = np.array([0.1, 0.15, 0.08])
    speed = 0.3
    reached = 0.03


def _distance(obs: Any, task: Any) -> Any:
    return ((obs[..., :3] - task) ** 2).sum(-1) ** 0.5
