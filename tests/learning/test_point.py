"""A short training on ``point``, judged on held-out goals beside a policy that cannot know them."""

from typing import Any

import numpy as np
import pytest
from collecting import collect
from torch import Tensor

from adaptation.jobs.evaluate import explores
from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from policies.belief import map_tensors
from policies.method import Method
from sim.families import FAMILIES
from sim.vec_world import VecWorld

# On a busy machine a training takes several times its minute.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


SMALL_NETWORKS = {"sac.hidden": [64, 64]}
FEW_TASKS = {"schedule.meta_batch": 128}
# Changes of the presets with which a method learns enough in less time, with each of three seeds.
SMALLER: dict[str, dict[str, Any]] = {
    "blind": {"hidden": [64, 64]},
    "pearl": SMALL_NETWORKS,
    "rma": {**SMALL_NETWORKS, "teacher_iterations": 16},
    "distill": {**SMALL_NETWORKS, "teacher_iterations": 16},
    "rl2_transformer": FEW_TASKS,
    "snail": FEW_TASKS,
    "mql": {"tuning.own_steps": 1, "tuning.replay_steps": 3},  # steps of each judged object
}


def trained(name: str, iterations: int) -> Method[Any]:
    family = FAMILIES["point"]()
    config = checkpoint.method_config(name, family, "cpu", SMALLER.get(name, {}))
    method = checkpoint.build(name, family, 0, config)
    world = VecWorld(family, n=method.schedule.meta_batch)
    for iteration in range(iterations):
        method.learn(collect(world, method, 0, iteration))
    return method


def evaluated(method: Any) -> np.ndarray:
    """Returns (E, n) of a trial on held-out goals."""
    family = FAMILIES["point"]()
    n = 100
    task = family.sample(np.random.default_rng(1), n, "heldout")
    world = VecWorld(family, n=n, seed=2)
    trial = rollout(world, method, task, 3, explores(family, 3))
    return trial.returns.double().numpy()


@pytest.fixture(scope="module")
def blind() -> np.ndarray:
    return evaluated(trained("blind", 20))


def test_pearl_finds_hidden_goals_that_a_blind_policy_cannot(blind: np.ndarray) -> None:
    method = trained("pearl", 20)
    adapted = evaluated(method)
    no_adaptation = evaluated(NoAdaptation(method))
    gain = adapted[-1] - blind[-1]
    error = gain.std() / np.sqrt(adapted.shape[1])
    assert gain.mean() > 5 + 3 * error  # an oracle is better by about ten
    # It learns within the trial, and by its observations alone.
    assert adapted[-1].mean() > adapted[0].mean() + 5
    assert abs(no_adaptation[-1].mean() - no_adaptation[0].mean()) < 1.5


class ActsUnderAnothersBelief:
    """A method in which each world acts under the belief about another one's task."""

    privileged = False

    def __init__(self, method: Method[Any]) -> None:
        self.method = method
        self.prior = method.prior
        self.observe = method.observe
        self.adapt = method.adapt

    def act(self, obs: Tensor, belief: Any, explore: bool) -> Tensor:
        def of_the_next(x: Tensor) -> Tensor:
            return x.roll(1, 0)

        return self.method.act(obs, map_tensors(of_the_next, belief), explore)


LEARNERS = [
    ("promp", 14),
    ("emaml", 14),
    ("rma", 22),
    ("varibad", 36),
    ("rl2_transformer", 20),
    ("snail", 18),
    ("distill", 28),
    ("caster", 20),
    ("mql", 30),
    ("maesn", 20),
    ("viable", 40),
    ("hierarchical", 30),
    ("metagenrl", 12),
]


@pytest.mark.parametrize(("name", "iterations"), LEARNERS)
def test_what_a_method_knows_of_its_own_task_is_worth_it(
    name: str, iterations: int, blind: np.ndarray
) -> None:
    method = trained(name, iterations)
    adapted = evaluated(method)[-1]
    rivals = {
        "blind": blind[-1],
        "no adaptation": evaluated(NoAdaptation(method))[-1],
        "another's belief": evaluated(ActsUnderAnothersBelief(method))[-1],
    }
    for rival, returns in rivals.items():
        gain = adapted - returns
        error = gain.std() / np.sqrt(len(gain))
        assert gain.mean() > 1 + 3 * error, rival
