"""Bring the Panda's tool to a place in front of it that is not shown: only the reward tells where."""

from typing import Any

import numpy as np

from robots.actions import ToolVelocity
from robots.catalog.panda import PANDA
from robots.signals import Array, Signals
from robots.world import Spec, Start, Task
from sim.engine import Scene
from sim.splits import chequered

READY = np.array([0.0, -0.2227, 0.0, -2.2955, 0.0, 2.0728, 0.0])  # rad, the tool at START, pointing down
START = np.array([0.475, 0.0, 0.3])  # m, the middle of the goals
SPAN = np.array([0.125, 0.25, 0.15])  # m, how far goals lie from it along each axis
MARGIN = 0.05  # m, from the outermost goal to the end of the tool's box
SPEED = 0.5  # m/s along each axis


class Reach:
    """Go to a hidden goal in a box of 25 × 50 × 30 cm; reward is minus the distance."""

    name = "reach"
    body = PANDA
    limits = PANDA.limits.narrowed(np.stack([START - SPAN - MARGIN, START + SPAN + MARGIN], -1))
    scene = Scene(PANDA, timestep=0.002)
    engines = ("mujoco", "bullet", "ideal")
    action = ToolVelocity(PANDA, limits, dict.fromkeys("xyz", (-SPEED, SPEED)), START.tolist())
    obs = Spec(
        ("tool.x", "tool.y", "tool.z", "tool.vx", "tool.vy", "tool.vz"),
        np.concatenate([START - SPAN - MARGIN, np.full(3, -SPEED)]),
        np.concatenate([START + SPAN + MARGIN, np.full(3, SPEED)]),
        ("m", "m", "m", "m/s", "m/s", "m/s"),
    )
    dt = 0.1
    tick = 0.05
    horizon = 20
    episodes = 3
    task_names = ("goal.x", "goal.y", "goal.z")
    hidden_reward = True
    reached = 0.05  # m

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Goals all over the box; held-out ones in fields of a chequerboard that no training goal lies in."""
        goal = START + SPAN * (2 * chequered(rng, n, 3, split) - 1)
        return Task(self.task_names, goal, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The same posture, always."""
        n = len(task)
        return Start(np.tile(READY, (n, 1)), np.full((n, 3), np.nan), np.full((n, 4), np.nan))

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
        """Within 5 cm of the goal."""
        return _distance(obs, task) <= self.reached

    def terminated(self, obs: Any) -> Any:
        """Never."""
        return obs[..., 0] != obs[..., 0]


def _distance(obs: Any, task: Any) -> Any:
    return ((obs[..., :3] - task) ** 2).sum(-1) ** 0.5
