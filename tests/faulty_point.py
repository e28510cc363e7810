"""A point with hidden gains of its two axes and a visible goal: physics to adapt to."""

import numpy as np

from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.point import Point

REACH = 0.5  # m, of starts and goals along each axis


class FaultyPoint(Point):
    """Go to a goal that is observed; each axis moves by a gain times its command, or backwards."""

    name = "faulty_point"
    parameters = ()
    obs = Spec.of(
        ("x", -2, 2, "m"),
        ("y", -2, 2, "m"),
        ("target.x", -REACH, REACH, "m"),
        ("target.y", -REACH, REACH, "m"),
    )
    goal_names = ("target.x", "target.y")
    task_names = ("disturbance.gain.x", "disturbance.gain.y", "marker.x", "marker.y")
    horizon = 15
    episodes = 2
    hidden_reward = False
    observes_state = False

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Gains of either sign and 0.5 to 1.2 in size; goals in the square."""
        sign = rng.choice([-1.0, 1.0], (n, 2))
        gain = sign * rng.uniform(0.5, 1.2, (n, 2))
        goal = rng.uniform(-REACH, REACH, (n, 2))
        return Task(self.task_names, np.concatenate([gain, goal], 1), np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Anywhere in the square."""
        return Start(rng.uniform(-REACH, REACH, (len(task), 2)))

    def marker(self, task: Task) -> Array:
        """The goal, at a height of zero."""
        goal = task.columns("marker.x", "marker.y")
        return np.concatenate([goal, np.zeros((len(task), 1))], 1)

    def observe(self, signals: Signals) -> Array:
        """Position and goal, (n, 4) m."""
        return np.concatenate([signals.q, signals.marker[:, :2]], 1)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Minus the distance to the goal, m."""
        return -_distance(next_obs)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within 0.2 m of the goal."""
        return _distance(obs) <= self.goal_radius

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Distance to the goal."""
        return {"distance_m": _distance(obs)}


def _distance(obs: ArrayLike) -> ArrayLike:
    return ((obs[..., :2] - obs[..., 2:]) ** 2).sum(-1) ** 0.5
