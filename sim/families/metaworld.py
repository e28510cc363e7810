"""Meta-World's benchmarks for meta-learning: ``metaworld/ML1-TASK``, ``ML10`` and ``ML45``.

Yu et al. 2019, with the tasks, goals and rewards (v2) of the package metaworld 3.1.1. The package's
own environments simulate, observe and reward. The success and the reward of the last action are the
last columns of an observation: they are therefore functions of observations, and a planner can
predict them like any other column.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np

from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.splits import heldout
from sim.metaworld.body import MetaworldSignals, metaworld_body
from sim.metaworld.environment import (
    FRAME_SKIP,
    GOALS,
    PLACE_NAMES,
    QPOS,
    TASK,
    TIMESTEP,
    published_places,
)
from sim.metaworld.names import MANY, PREFIX, TASKS, split_tasks
from sim.suite.body import MotorControl

TRAIN_SEED = 0  # of the goals
# A benchmark of one task draws its test goals from another seed; one of many has other test tasks.
ML1_TEST_SEED = 1
MAX_REWARD = 10.0


class Metaworld(BaseFamily):
    """Sawyer's hand and gripper in tasks of Meta-World with hidden goals."""

    hidden_reward = False  # it is observed
    horizon = 500
    episodes = 13  # ten to adapt, three to be evaluated
    evaluation_episodes = 3

    def __init__(self, name: str) -> None:
        """``name`` is one of ``metaworld_names``."""
        self.name = name
        tasks = split_tasks(name)
        self._tasks = {False: tasks[0], True: tasks[1]}
        is_single = name.removeprefix(PREFIX) not in MANY
        self._heldout_seed = ML1_TEST_SEED if is_single else TRAIN_SEED
        self.body = metaworld_body(name.replace("/", "-"))
        self.limits = self.body.limits
        self.scene = Scene(self.body, timestep=TIMESTEP)
        self.action = MotorControl(self.body)
        self.dt = FRAME_SKIP * TIMESTEP
        self.tick = self.dt
        self.obs = _obs_spec()
        self.task_names = (TASK, *PLACE_NAMES)

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """One of the split's tasks, and one of the 50 goals that the benchmark has of it.

        Every goal is drawn once before any is drawn twice: 50 draws of ML1 are all its goals. In
        ML1 the held-out goals are the test goals of the only task. In ML10 and ML45 the held-out
        tasks are the five test tasks. All are those that metaworld draws from seed 0.
        """
        is_heldout = heldout(split)
        tasks = self._tasks[is_heldout]
        seed = self._heldout_seed if is_heldout else TRAIN_SEED
        pairs = len(tasks) * GOALS
        rounds = [rng.permutation(pairs) for _ in range(n // pairs + 1)]
        chosen, goal = np.divmod(np.concatenate(rounds)[:n], GOALS)
        numbers = np.array([TASKS.index(task) for task in tasks])
        places = np.stack([published_places(task, seed) for task in tasks])
        values = np.column_stack([numbers[chosen], places[chosen, goal]])
        ids = (numbers[chosen] * 2 + is_heldout) * GOALS + goal
        return Task(self.task_names, values, ids)

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Not drawn: metaworld begins an episode of a task always in the same way."""
        return Start(np.zeros((len(task), QPOS)))

    def observe(self, signals: Signals) -> Array:
        """metaworld's observation, and success and reward of the last action."""
        measured = cast(MetaworldSignals, signals)
        assert measured.observation is not None
        assert measured.success is not None
        assert measured.reward is not None
        return np.column_stack([measured.observation, measured.success, measured.reward])

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """metaworld's, its version v2, in [0, 10]."""
        return next_obs[..., -1]

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """metaworld's, of the last action. An episode is a success if any of its actions is."""
        return obs[..., -2] > 0.5

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """1 in success, else 0, and the reward: their means over an episode are reported."""
        return {"solved_share_1": obs[..., -2], "reward_1": obs[..., -1]}

    def episode_success(self, metrics: Mapping[str, ArrayLike]) -> ArrayLike:
        """Whether any action of n episodes was a success, as in metaworld's evaluation, (n,)."""
        return metrics["solved_share_1"] > 0


def _obs_spec() -> Spec:
    """The observation's columns with rough ranges."""
    columns = []
    for moment in ("", "previous_"):
        columns += [
            (f"{moment}hand_x", -0.5, 0.5, "m"),
            (f"{moment}hand_y", 0.35, 1.0, "m"),
            (f"{moment}hand_z", -0.05, 0.7, "m"),
            (f"{moment}gripper_opening", 0.0, 1.0, "1"),
        ]
        for item in ("object", "second_object"):  # zeros where a task has none
            columns += [
                (f"{moment}{item}_x", -0.5, 0.5, "m"),
                (f"{moment}{item}_y", 0.0, 1.0, "m"),
                (f"{moment}{item}_z", 0.0, 0.5, "m"),
            ]
            columns += [(f"{moment}{item}_quat_{i}", -1.0, 1.0, "1") for i in range(4)]
    columns += [(f"goal_{axis}", -1.0, 1.0, "m") for axis in "xyz"]  # hidden: zeros
    return Spec.of(*columns, ("success", 0.0, 1.0, "1"), ("reward", 0.0, MAX_REWARD, "1"))
