"""The tasks that a method is trained on: drawn by a task sampler, which learns from their outcomes.

The sampler learns from a trial as soon as it is collected, before the tasks of the next trial are
drawn, so it is up to date even if the next trial is collected while the method learns. All tasks
are drawn in the training process; a process that collects experience receives them.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from adaptation.jobs.learning import has_ended
from policies.method import Method, TrialBatch
from robots.signals import Array, Mask
from robots.world import Task
from sim.task_samplers.base import TaskSampler


def sample_training_tasks(
    sampler: TaskSampler, method: Method[Any], rng: np.random.Generator, n: int
) -> Task:
    """Tasks to learn from: those of the training split.

    A privileged method is a reference that must know every task: half of its tasks are held out.
    """
    train_tasks = sampler.sample(rng, n)
    if not method.privileged:
        return train_tasks
    heldout_tasks = sampler.family.sample(rng, n, "heldout")
    values = np.where(_is_heldout(n)[:, None], heldout_tasks.values, train_tasks.values)
    return replace(train_tasks, values=values)


def _is_heldout(n: int) -> Mask:
    """Which of a privileged method's n tasks are held out: every second one."""
    is_odd: Mask = np.arange(n) % 2 == 1
    return is_odd


def draw_tasks(
    sampler: TaskSampler, method: Method[Any], seed: int, iteration: int, n: int
) -> list[Task]:
    """The n tasks of an iteration's trial, and those of each random trial of the first one."""
    rng = np.random.default_rng([seed, iteration])
    random_trials = method.schedule.random_trials if iteration == 0 else 0
    return [sample_training_tasks(sampler, method, rng, n) for _ in range(1 + random_trials)]


class TrainingTasks:
    """Draws the tasks of every iteration of one role's training."""

    def __init__(self, sampler: TaskSampler, method: Method[Any], seed: int) -> None:
        self.sampler = sampler
        self._method = method  # only its schedule, and whether it is privileged, count
        self._seed = seed
        self._task: Task | None = None  # of the trial that is being collected

    def draw(self, iteration: int) -> list[Task]:
        """The tasks of an iteration, as ``collect`` takes them."""
        count = self._method.schedule.meta_batch
        tasks = draw_tasks(self.sampler, self._method, self._seed, iteration, count)
        self._task = tasks[0]
        return tasks

    def learn(self, trial: TrialBatch) -> None:
        """Update the sampler with the results of the last episode in the tasks drawn last.

        Random trials, held-out tasks and worlds in which a number was not finite are left out.
        """
        assert self._task is not None, "a trial is collected in tasks that were drawn"
        n = len(self._task)
        unknown = ~has_ended(trial)[:, -n:].all(0).cpu().numpy()
        if self._method.privileged:
            unknown = unknown | _is_heldout(n)
        returns: Array = trial.returns[-1, -n:].double().cpu().numpy()
        success: Array = trial.success[-1, -n:].double().cpu().numpy()
        self.sampler.learn(
            self._task,
            np.where(unknown, np.nan, returns),
            np.where(unknown, np.nan, success),
        )
