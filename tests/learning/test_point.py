"""Short trainings on ``point``, judged on goals that were never trained on, against what cannot know the goal."""

from typing import Any

import numpy as np
import pytest

from adaptation.jobs.evaluate import explores
from adaptation.jobs.train import collect
from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from policies.method import Method
from sim.families import FAMILIES
from sim.vec_world import VecWorld


def trained(name: str, iterations: int) -> Method:
    family = FAMILIES["point"]()
    method = checkpoint.build(name, family, 0, checkpoint.configured(name, "point", {}))
    world = VecWorld(family, n=method.schedule.meta_batch)
    for iteration in range(iterations):
        method.learn(collect(world, method, 0, iteration))
    return method


def judged(method: Any) -> np.ndarray:
    """Returns (E, n) of a trial on held-out goals."""
    family, n = FAMILIES["point"](), 100
    task = family.sample(np.random.default_rng(1), n, "heldout")
    trial = rollout(VecWorld(family, n=n, seed=2), method, task, 3, explores(family, 3))
    return trial.returns.double().numpy()


@pytest.fixture(scope="module")
def blind() -> np.ndarray:
    return judged(trained("blind", 20))


def test_pearl_finds_hidden_goals_that_a_blind_policy_cannot(blind: np.ndarray) -> None:
    method = trained("pearl", 25)
    adapted, frozen = judged(method), judged(NoAdaptation(method))
    error = (adapted[-1] - blind[-1]).std() / np.sqrt(adapted.shape[1])
    assert (
        adapted[-1].mean() > blind[-1].mean() + 5 + 3 * error
    )  # an oracle does better by about ten
    assert (
        adapted[-1].mean() > adapted[0].mean() + 5
    )  # it learns within the trial, and only by what it sees:
    assert abs(frozen[-1].mean() - frozen[0].mean()) < 1.5
