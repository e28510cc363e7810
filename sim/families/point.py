"""A point in the plane with a hidden goal: seconds to learn, for tests and first steps.

Definitions: Point-Robot and Sparse-Point of Rakelly et al. 2019 (PEARL), 20 steps of at most 0.1 m an axis.
"""

from typing import Any

import numpy as np

from robots.actions import JointVelocity
from robots.arm import Body, Limits
from robots.scene import Scene
from robots.signals import Array, Signals, Spec
from robots.world import Start, Task
from sim.families.splits import checkerboard

ONE = np.ones(2)
POINT = Body(
    name="point",
    joints=("x", "y"),
    home=np.zeros(2),
    limits=Limits(
        q_low=-4 * ONE,  # m; no point comes further than 3 m in an episode
        q_high=4 * ONE,
        dq=ONE,  # m/s: 0.1 m in a step of 0.1 s
        ddq=100 * ONE,  # m/s², enough to turn within a step
        jerk=1e4 * ONE,
        tau=ONE,
        tool_box=np.array([[-4.0, 4.0]] * 3),
        force=1.0,
        deadline=0.25,
    ),
)


class Point:
    """Go to a goal in the square [-1, 1]² that is not shown; reward is minus the distance."""

    name = "point"
    body = POINT
    limits = POINT.limits
    scene = Scene(POINT, timestep=0.1)
    engines = ("ideal",)
    action = JointVelocity(POINT)
    obs = Spec(("x", "y"), -2 * ONE, 2 * ONE, ("m", "m"))
    dt = 0.1
    tick = 0.1
    horizon = 20
    episodes = 3
    task_names = ("goal.x", "goal.y")
    hidden_reward = True
    reached = 0.2  # m

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Goals all over the square; held-out ones in fields of a chequerboard that no training goal lies in."""
        return Task(self.task_names, 2 * checkerboard(rng, n, 2, split) - 1, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Anywhere in the square."""
        return _begin(rng.uniform(-1, 1, (len(task), 2)))

    def marker(self, task: Task) -> Array:
        """Nothing shows where the goal is."""
        return np.full((len(task), 3), np.nan)

    def observe(self, signals: Signals) -> Array:
        """Position, (n, 2)."""
        return signals.q.copy()

    def reward(self, obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        """Minus the distance to the goal, m."""
        return -_distance(next_obs, task)

    def success(self, obs: Any, task: Any) -> Any:
        """Within 0.2 m of the goal."""
        return _distance(obs, task) <= self.reached

    def terminated(self, obs: Any) -> Any:
        """Never."""
        return obs[..., 0] != obs[..., 0]


class SparsePoint(Point):
    """The goal lies on the half circle of 1 m; nothing is rewarded further than 0.2 m from it."""

    name = "point_sparse"

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Goals all over the half circle; held-out ones on arcs that no training goal lies on."""
        angle = np.pi * checkerboard(rng, n, 1, split)[:, 0]
        return Task(self.task_names, np.stack([np.cos(angle), np.sin(angle)], -1), np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The circle's centre."""
        return _begin(np.zeros((len(task), 2)))

    def reward(self, obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        """1 less the distance, within 0.2 m."""
        distance = _distance(next_obs, task)
        return (1 - distance) * (distance <= self.reached)


def _distance(obs: Any, task: Any) -> Any:
    return ((obs - task) ** 2).sum(-1) ** 0.5


def _begin(q: Array) -> Start:
    return Start(q)
