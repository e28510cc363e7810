"""The ant runs in a hidden direction, or to a hidden place: two of PEARL's families."""

import numpy as np

from robots.signals import ArrayLike
from robots.world import Task
from sim.families.ant import CONTACT_COST, MAX_HEIGHT, MIN_HEIGHT, VELOCITY_X, Ant, X, Y, Z
from sim.families.fwd_back import FwdBack
from sim.families.rewards import effort
from sim.families.splits import checkerboard
from sim.randomization import Parameter, uniform


class AntFwdBack(FwdBack, Ant):
    """Ant-Fwd-Back: run forward or backward; the direction is hidden.

    As in PEARL's code (``ant-dir`` with ``forward_backward``): 200 steps, and two tasks in all.
    Both are trained on and both are tested, so a held-out task is one of the same two. PEARL's
    config does not set ``forward_backward`` and so draws two directions at random; MQL's sets it.
    """

    name = "ant_fwd_back"
    velocity_column = VELOCITY_X
    min_speed = 0.5  # m/s, of success; ours, the literature defines none

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """d·v - 0.5·|a|² - contact cost + 1, with the direction d."""
        direction = task[..., 0]
        velocity = self.mean_velocity(obs, next_obs)
        costs = 0.5 * effort(applied) + next_obs[..., CONTACT_COST]
        return direction * velocity - costs + 1.0

    def terminated(self, obs: ArrayLike) -> ArrayLike:
        """The torso is lower than 0.2 m or higher than 1 m."""
        height = obs[..., Z]
        return (height < MIN_HEIGHT) | (height > MAX_HEIGHT)


class AntGoal(Ant):
    """Ant-Goal: walk to a hidden place within 3 m.

    As in PEARL's code: places evenly distributed over the disk, 200 steps, no early end. PEARL's
    config tests places from the whole disk; here held-out places lie on the black fields of a
    checkerboard over angle and squared distance.
    """

    name = "ant_goal"
    episodes = 3
    task_names = ("goal.x", "goal.y")
    parameters = (
        Parameter("goal.angle", uniform(0, 2 * np.pi), "rad", "from x", (0, 2 * np.pi)),
        Parameter(
            "goal.distance",
            uniform(0, 3),
            "m",
            "from the start, evenly over the area between both bounds",
            (0, 10),
        ),
    )
    hidden_reward = True
    tolerance = 0.5  # m, of success; ours, the literature defines none

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Places all over the disk, in equally many fields of equal area for both splits."""
        share = checkerboard(rng, n, 2, split)
        angle_share, area_share = share.T
        angle_range, distance_range = self.parameters
        angle = angle_range.train.at(angle_share)
        area = uniform(*np.square(distance_range.train.numbers))  # up to a factor of pi, m²
        distance = np.sqrt(area.at(area_share))
        x = distance * np.cos(angle)
        y = distance * np.sin(angle)
        goal = np.stack([x, y], -1)
        return Task(self.task_names, goal, np.arange(n))

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """-|x - gx| - |y - gy| - 0.1·|a|² - contact cost, with the goal g."""
        away = abs(next_obs[..., X : Y + 1] - task).sum(-1)
        contact_cost = next_obs[..., CONTACT_COST]
        return -away - 0.1 * effort(applied) - contact_cost

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within ``tolerance`` m of the goal at this instant."""
        return self.distance(obs, task) < self.tolerance

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Distance to the goal at this instant."""
        return {"distance_m": self.distance(obs, task)}

    def distance(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """From the torso to the goal in the plane, m."""
        away = obs[..., X : Y + 1] - task
        return (away**2).sum(-1) ** 0.5
