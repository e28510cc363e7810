"""Short trainings on a point whose axes have hidden gains: methods that adapt to physics."""

from typing import Any

import numpy as np
import pytest
import torch
from collecting import collect
from faulty_point import FaultyPoint
from test_point import ActsUnderAnothersBelief

from adaptation.jobs.evaluate import explores
from adaptation.no_adaptation import NoAdaptation
from adaptation.problem import problem_of
from adaptation.rollout import rollout
from policies.method import Method
from policies.methods import METHODS
from policies.settings import configure
from sim.vec_world import VecWorld

# On a busy machine a training takes several times its minute.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FAMILY = FaultyPoint()
SCHEDULE = {"meta_batch": 64, "episodes_per_trial": 2, "random_trials": 4, "iterations": 30}
SAC = {"gamma": 0.6, "gradient_steps": 64, "buffer_tasks": 4096, "schedule": SCHEDULE}
REBAL = {
    "lr": 3e-3,
    "memory_size": 32,
    "embedding": 32,
    "past_steps": 8,
    "future_steps": 4,
    "gradient_steps": 100,
    "windows_per_task": 2,
    "planner": {"horizon": 5, "num_samples": 24, "iterations": 2},
    "schedule": {"meta_batch": 32, "episodes_per_trial": 1, "random_trials": 8},
}
TORQUE_ADAPTER = {"teacher_iterations": 12, "adapter_lr": 3e-3, "sac": SAC}
LEARNERS = [("rebal", REBAL, 6), ("torque_adapter", TORQUE_ADAPTER, 20)]


def trained(name: str, settings: dict[str, Any], iterations: int) -> Method[Any]:
    problem = problem_of(FAMILY)
    config = configure(METHODS[name].Config, problem, settings, {})
    method: Method[Any] = METHODS[name](problem, config, 0, torch.device("cpu"))
    world = VecWorld(FAMILY, n=method.schedule.meta_batch)
    for iteration in range(iterations):
        method.learn(collect(world, method, 0, iteration))
    return method


def evaluated(method: Any) -> np.ndarray:
    """Returns (n,) of the second episode on held-out tasks."""
    n = 100
    task = FAMILY.sample(np.random.default_rng(1), n, "heldout")
    world = VecWorld(FAMILY, n=n, seed=2)
    trial = rollout(world, method, task, FAMILY.episodes, explores(FAMILY, FAMILY.episodes))
    return trial.returns[-1].double().numpy()


@pytest.fixture(scope="module")
def blind() -> np.ndarray:
    return evaluated(trained("blind", SAC, 12))


@pytest.mark.parametrize(("name", "settings", "iterations"), LEARNERS, ids=[x[0] for x in LEARNERS])
def test_knowing_the_plant_is_worth_it(
    name: str, settings: dict[str, Any], iterations: int, blind: np.ndarray
) -> None:
    method = trained(name, settings, iterations)
    adapted = evaluated(method)
    rivals = {
        "blind": blind,
        "no adaptation": evaluated(NoAdaptation(method)),
        "another's belief": evaluated(ActsUnderAnothersBelief(method)),
    }
    for rival, returns in rivals.items():
        gain = adapted - returns
        error = gain.std() / np.sqrt(len(gain))
        assert gain.mean() > 1 + 3 * error, rival
