"""Strike an object of unknown friction to a visible target: an analytic world of one decision.

An object struck at speed v slides v² / (2 · friction · g), with 2 % noise.
"""

from typing import Any

import numpy as np

from policies.method import Problem
from robots.signals import Array, ArrayLike, Spec
from robots.world import Step, Task

GRAVITY = 9.81  # m/s²
NOISE = 0.02  # standard deviation of a distance, as a share of it
FRICTION = (0.04, 0.16)  # evenly in its logarithm
SPEED = (0.5, 1.5)  # m/s for actions of -1 and 1
TARGET = (0.4, 0.7)  # m


class Strike:
    """What a rollout asks of a family."""

    name = "strike"
    obs = Spec.of(("object.x", 0, 3, "m"), ("target.x", *TARGET, "m"))
    horizon = 1
    episodes = 3
    task_names = ("object.friction", "marker.x")

    def sample(self, rng: np.random.Generator, n: int) -> Task:
        friction = np.exp(rng.uniform(*np.log(FRICTION), n))
        target = rng.uniform(*TARGET, n)
        values = np.stack([friction, target], -1)
        return Task(self.task_names, values, np.arange(n))

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Minus the distance from the target, in units of 5 cm and at most 4 of them."""
        distance = abs(next_obs[..., 0] - obs[..., 1])
        return -(distance / 0.05).clip(max=4.0)


def problem() -> Problem:
    """What a method is told of the family."""
    family = Strike()
    return Problem(
        family="strike",
        obs_names=tuple(family.obs.names),
        obs_low=tuple(family.obs.low),
        obs_high=tuple(family.obs.high),
        action_names=("speed",),
        horizon=family.horizon,
        episodes=family.episodes,
        task_names=family.task_names,
        task_low=(FRICTION[0], TARGET[0]),
        task_high=(FRICTION[1], TARGET[1]),
        reward=family.reward,
        goal_columns=(1,),
    )


def resting_place(friction: Array, action: Array) -> Array:
    """How far an object slides without noise, m."""
    slowest, fastest = SPEED
    speed = slowest + (fastest - slowest) * (action + 1) / 2
    return speed**2 / (2 * friction * GRAVITY)


class StrikeWorld:
    """n objects, each struck once an episode from x = 0."""

    dt = 2.0
    family: Any = Strike()

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.rng = np.random.default_rng(seed)

    def reset(self, task: Task) -> Array:
        self.task = task
        self.at = np.stack([np.zeros(self.n), task["marker.x"]], -1)
        return self.at.copy()

    def step(self, action: Array) -> Step:
        applied = action.clip(-1, 1)
        distance = resting_place(self.task["object.friction"], applied[:, 0])
        distance *= 1 + NOISE * self.rng.normal(size=self.n)
        next_obs = np.stack([distance, self.at[:, 1]], -1)
        miss = abs(distance - self.at[:, 1])
        yes = np.ones(self.n, dtype=bool)
        return Step(
            obs=next_obs,
            reward=self.family.reward(self.at, applied, next_obs, self.task.values),
            terminated=~yes,
            truncated=yes,
            success=miss < 0.05,
            applied=applied,
            verdict=np.zeros(self.n, dtype=np.int64),
            stamp=np.full(self.n, self.dt),
        )

    def close(self) -> None: ...
