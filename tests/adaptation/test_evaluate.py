"""When an evaluation explores, and which state of an episode its metrics are of."""

from typing import Any

import numpy as np
import tiny

from adaptation.jobs import evaluate as evaluate_job
from adaptation.metrics import episode_metrics
from adaptation.problem import problem_of
from adaptation.rollout import rollout
from robots.world import Task

FAMILY: Any = tiny.Tiny()


def test_the_last_episode_of_a_familys_trial_and_those_after_it_do_not_explore() -> None:
    expected = {
        1: [False],
        2: [True, False],
        3: [True, True, False],
        5: [True, True, False, False, False],
    }
    for episodes, explore in expected.items():
        assert evaluate_job.explores(FAMILY, episodes) == explore


def test_metrics_are_of_the_last_valid_state_of_each_episode() -> None:
    world = tiny.Script(4, terminated={1: 2}, diverged={2: 2, 3: 0})
    task = Task(FAMILY.task_names, np.zeros((4, 3)), np.arange(4))
    method = tiny.Counter(problem_of(FAMILY), tiny.CounterConfig(), seed=0)
    metrics = episode_metrics(FAMILY, task, rollout(world, method, task, episodes=2))
    ticks = np.array([5, 3, 2, np.nan])  # a scripted state counts the ticks
    expected = np.tile(ticks * np.sqrt(2), (2, 1))
    np.testing.assert_allclose(metrics["distance_m"], expected)
