"""The half-cheetah runs at a hidden speed, or in a hidden direction: two of PEARL's families."""

import numpy as np

from robots.signals import ArrayLike
from robots.world import Task
from sim.families.cheetah import EFFORT, VELOCITY, Cheetah
from sim.families.fwd_back import FwdBack
from sim.families.rewards import effort
from sim.families.splits import interleaved
from sim.randomization import Parameter, uniform, values_at


class CheetahVel(Cheetah):
    """HalfCheetah-Vel: run at a hidden speed.

    Finn et al. 2017, as in PEARL's code: U[0, 3] m/s, 200 steps. Training and held-out speeds come
    from different sixteenths of the range, with the same mean and deviation (see ``interleaved``);
    in the literature both are drawn from all of it.
    """

    name = "cheetah_vel"
    episodes = 3  # PEARL is evaluated on the third trajectory of a task
    task_names = ("goal.velocity",)
    parameters = (
        Parameter("goal.velocity", uniform(0, 3), "m/s", "to run at; backward below 0", (-10, 10)),
    )
    hidden_reward = True
    tolerance = 0.3  # m/s; ours, the literature defines no success

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Speeds from 0 to 3 m/s."""
        speed = values_at(self.parameters, interleaved(rng, n, split))
        return Task(self.task_names, speed, np.arange(n))

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """-|v - v*| - 0.05·|a|²."""
        error = abs(self.mean_velocity(obs, next_obs) - task[..., 0])
        return -error - EFFORT * effort(applied)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within 0.3 m/s of the goal's speed at this instant."""
        return _speed_error(obs, task) < self.tolerance

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Difference from the goal's speed at this instant."""
        return {"speed_error_mps": _speed_error(obs, task)}


class CheetahFwdBack(FwdBack, Cheetah):
    """HalfCheetah-Fwd-Back: run forward or backward; the direction is hidden.

    Finn et al. 2017, as in PEARL's code (``cheetah-dir``): 200 steps, and two tasks in all. Both
    are trained on and both are tested, so a held-out task is one of the same two.
    """

    name = "cheetah_fwd_back"
    velocity_column = VELOCITY
    min_speed = 1.0  # m/s, of success; ours, the literature defines none

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """d·v - 0.05·|a|², with the direction d."""
        direction = task[..., 0]
        velocity = self.mean_velocity(obs, next_obs)
        return direction * velocity - EFFORT * effort(applied)


def _speed_error(obs: ArrayLike, task: ArrayLike) -> ArrayLike:
    return abs(obs[..., VELOCITY] - task[..., 0])
