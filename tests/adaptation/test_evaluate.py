"""When an evaluation explores, and which states of an episode its metrics are of."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import tiny

from adaptation.jobs import evaluate as evaluate_job
from adaptation.metrics import episode_metrics
from adaptation.problem import problem_of
from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.rollout import rollout
from robots.signals import ArrayLike
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


class EvaluatedThreeTimes(tiny.Tiny):
    episodes = 5
    evaluation_episodes = 3


def test_where_several_episodes_evaluate_only_those_before_them_explore() -> None:
    family: Any = EvaluatedThreeTimes()
    assert evaluate_job.explores(family, 5) == [True, True, False, False, False]
    assert evaluate_job.explores(family, 4) == [True, False, False, False]
    assert evaluate_job.explores(family, 2) == [False, False]


def test_the_final_success_is_the_mean_over_the_episodes_of_evaluation() -> None:
    success = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    grids = {"adapted": EpisodeGrid(returns=success, success=success, metrics={})}
    evaluated: Any = EvaluatedThreeTimes()
    assert evaluate_job.final_success(evaluated, grids) == {"adapted": pytest.approx(4 / 6)}
    assert evaluate_job.final_success(FAMILY, grids) == {}


def test_metrics_are_of_the_last_valid_state_of_each_episode() -> None:
    world = tiny.Script(4, terminated={1: 2}, diverged={2: 2, 3: 0})
    task = Task(FAMILY.task_names, np.zeros((4, 3)), np.arange(4))
    method = tiny.Counter(problem_of(FAMILY), tiny.CounterConfig(), seed=0)
    metrics = episode_metrics(FAMILY, task, rollout(world, method, task, episodes=2))
    ticks = np.array([5, 3, 2, np.nan])  # a scripted state counts the ticks
    expected = np.tile(ticks * np.sqrt(2), (2, 1))
    np.testing.assert_allclose(metrics["distance_m"], expected)


class JudgedByMean(tiny.Tiny):
    """An episode is a success where the point was within ``tolerance`` of the goal in the mean."""

    tolerance = 4.3  # the mean of 1 to 5 ticks is 3·√2 = 4.24

    def episode_success(self, metrics: Mapping[str, ArrayLike]) -> ArrayLike:
        return metrics["distance_m"] < self.tolerance


@pytest.mark.parametrize("tolerance", [4.2, 4.3])
def test_a_family_that_says_so_is_judged_by_the_mean_over_a_whole_episode(tolerance: float) -> None:
    world = tiny.Script(3, diverged={1: 2, 2: 0})
    world.family = JudgedByMean()
    world.family.tolerance = tolerance
    task = Task(FAMILY.task_names, np.zeros((3, 3)), np.arange(3))
    method = tiny.Counter(problem_of(FAMILY), tiny.CounterConfig(), seed=0)
    trial = rollout(world, method, task, episodes=2)
    is_near = tolerance > 4.24
    assert trial.success.tolist() == [[is_near, False, False]] * 2, "the others were cut short"
    ticks = np.array([3.0, 1.5, np.nan])  # in the mean
    metrics = episode_metrics(world.family, task, trial)
    np.testing.assert_allclose(metrics["distance_m"], np.tile(ticks * np.sqrt(2), (2, 1)))
