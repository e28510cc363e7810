"""A point in the plane with a hidden goal: trained in seconds, for tests and first steps.

Definitions: Point-Robot and Sparse-Point of Rakelly et al. 2019 (PEARL), 20 steps of at most 0.1 m
along each axis.
"""

import numpy as np

from robots.actions import JointVelocity
from robots.arm import Body, Limits
from robots.reward import RewardFunction
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.splits import checkerboard, interleaved
from sim.randomization import Parameter, uniform, values_at

ONE = np.ones(2)
POINT = Body(
    name="point",
    joints=("x", "y"),
    home=np.zeros(2),
    limits=Limits(
        q_low=-4 * ONE,  # m; no point gets further than 3 m in an episode
        q_high=4 * ONE,
        dq=ONE,  # m/s: 0.1 m in a step of 0.1 s
        ddq=100 * ONE,  # m/s², enough to turn within a step
        jerk=1e4 * ONE,
        tau=ONE,
        tool_box=np.array([[-4.0, 4.0]] * 3),
        tool_speed=2.0,
        force=1.0,
        deadline=0.25,
    ),
)
REACHED = (-2.0, 2.0)  # m along each axis, by a point that starts anywhere in the square


class Point(BaseFamily):
    """Go to a hidden goal in the square [-1, 1]² m; the reward is minus the distance."""

    name = "point"
    parameters: tuple[Parameter, ...] = (
        Parameter("goal.x", uniform(-1, 1), "m", "of the goal", REACHED),
        Parameter("goal.y", uniform(-1, 1), "m", "of the goal", REACHED),
    )
    body = POINT
    limits = POINT.limits
    scene = Scene(POINT, timestep=0.1)
    action = JointVelocity(POINT)
    obs = Spec.of(
        ("x", -2, 2, "m"),
        ("y", -2, 2, "m"),
    )
    dt = 0.1
    tick = 0.1
    horizon = 20
    episodes = 3
    task_names = ("goal.x", "goal.y")
    hidden_reward = True
    observes_state = True
    goal_radius = 0.2  # m, a point this close to the goal is at the goal

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Goals all over the square, on the split's fields of a checkerboard."""
        goal = values_at(self.parameters, checkerboard(rng, n, 2, split))
        return Task(self.task_names, goal, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Anywhere in the square."""
        return Start(rng.uniform(-1, 1, (len(task), 2)))

    def state_of(self, obs: Array, task: Task) -> tuple[Task, Start]:
        """The position; a velocity lasts for one tick only."""
        return task, Start(obs.copy())

    def observe(self, signals: Signals) -> Array:
        """Position, (n, 2) m."""
        return signals.q.copy()

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Minus the distance to the goal, m."""
        return -_distance(next_obs, task)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within 0.2 m of the goal."""
        return _distance(obs, task) <= self.goal_radius

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Distance to the goal."""
        return {"distance_m": _distance(obs, task)}


class SparsePoint(Point):
    """The goal lies on a half circle of 1 m; the reward is zero beyond 0.2 m from it.

    The policy has to search for the goal: one place tests an eighth of the half circle. In
    training, actors and critics learn from the distance, as in PEARL.
    """

    name = "point_sparse"
    parameters = (
        Parameter("goal.angle", uniform(0, np.pi), "rad", "of the goal, from x", (0, 2 * np.pi)),
    )
    episodes = 10  # PEARL reports about 20 trajectories

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Goals all over the half circle; held-out ones on arcs that no training goal lies on."""
        angle = values_at(self.parameters, interleaved(rng, n, split))[:, 0]
        goal = np.stack([np.cos(angle), np.sin(angle)], -1)
        return Task(self.task_names, goal, np.arange(n))

    @property
    def training_reward(self) -> RewardFunction:
        """Minus the distance to the goal, m."""
        return super().reward

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """The center of the circle."""
        return Start(np.zeros((len(task), 2)))

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """1 minus the distance in m, within 0.2 m of the goal."""
        distance = _distance(next_obs, task)
        return (1 - distance) * (distance <= self.goal_radius)


def _distance(obs: ArrayLike, task: ArrayLike) -> ArrayLike:
    return ((obs - task) ** 2).sum(-1) ** 0.5
