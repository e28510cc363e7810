"""Run forward or backward, with a hidden direction: the common part of such families."""

import numpy as np

from robots.signals import Array, ArrayLike
from robots.world import Task
from sim.families.base import BaseFamily
from sim.families.splits import heldout
from sim.randomization import Parameter, categorical


class FwdBack(BaseFamily):
    """Two tasks in all; a subclass adds the body and the reward.

    Both are trained on and both are tested, so a held-out task is one of the same two.
    """

    episodes = 3  # PEARL is evaluated on the third trajectory of a task
    task_names = ("goal.direction",)
    parameters = (
        Parameter(
            "goal.direction",
            categorical(-1, 1),
            "1",
            "1 is forward, -1 backward",
            choices=(-1, 1),
        ),
    )
    hidden_reward = True
    velocity_column: int  # of an observation, forward
    min_speed: float  # m/s, of success; ours, the literature defines none

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """1 is forward and -1 backward, in every second task."""
        heldout(split)  # refuses a split that does not exist
        direction = in_turn(rng, n, self.parameters[0].train.numbers)
        return Task(self.task_names, direction, np.arange(n))

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """In the right direction at more than ``min_speed`` m/s at this instant."""
        return self.speed(obs, task) > self.min_speed

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Speed in the right direction at this instant."""
        return {"speed_mps": self.speed(obs, task)}

    def speed(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Speed of the body's root in the right direction at this instant, m/s."""
        direction = task[..., 0]
        return direction * obs[..., self.velocity_column]


def in_turn(rng: np.random.Generator, n: int, values: tuple[float, ...]) -> Array:
    """Draw from some values, (n, 1): as many of each as possible, in random order."""
    first = rng.integers(len(values))
    index = (first + np.arange(n)) % len(values)
    drawn = np.array(values)[index]
    return rng.permutation(drawn)[:, None]
