"""The simulator as a function: it continues from an observation as the world itself goes on."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor

from adaptation.problem import problem_of
from adaptation.simulation import Simulator
from robots.signals import Array
from sim.families import FAMILIES
from sim.vec_world import VecWorld

N = 3
FAMILY_NAMES = [name for name in sorted(FAMILIES) if FAMILIES[name]().observes_state]


def tensor(x: Array) -> Tensor:
    return torch.from_numpy(x).float()


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_a_simulation_from_an_observation_is_what_the_world_does(name: str) -> None:
    """Also in the middle of an episode; float32 observations are all that differs."""
    family = FAMILIES[name]()
    rng = np.random.default_rng(3)
    task = family.sample(rng, N)
    world = VecWorld(family, n=N, seed=1)
    simulate = Simulator(family)
    obs = world.reset(task)
    for _ in range(min(family.horizon, 3)):
        action = rng.uniform(-1, 1, (N, len(family.action.spec)))
        step = world.step(action)
        actions = tensor(action[:, None])
        next_obs, reward = simulate(tensor(task.values), tensor(obs), actions)
        close = 2e-3 * (family.obs.high - family.obs.low)
        assert (np.abs(next_obs[:, 0].numpy() - step.obs) <= close).all()
        assert reward[:, 0].numpy() == pytest.approx(step.reward, abs=5e-3)
        obs = step.obs


def test_several_ticks_at_once_are_the_ticks_one_by_one() -> None:
    family = FAMILIES["cheetah_cripple"]()
    rng = np.random.default_rng(4)
    task = tensor(family.sample(rng, N).values)
    obs = tensor(VecWorld(family, n=N).reset(family.sample(rng, N)))
    actions = tensor(rng.uniform(-1, 1, (N, 4, 6)))
    together, rewards = Simulator(family)(task, obs, actions)
    assert together.shape == (N, 4, len(family.obs))
    assert rewards.shape == (N, 4)
    simulate = Simulator(family)
    for k in range(4):
        alone, _ = simulate(task, obs, actions[:, k : k + 1])
        assert torch.allclose(alone[:, 0], together[:, k], atol=1e-3)
        obs = together[:, k]


def test_a_simulation_does_not_depend_on_the_rows_beside_it() -> None:
    family = FAMILIES["point"]()
    task = tensor(family.sample(np.random.default_rng(0), 5).values)
    obs = torch.zeros(5, 2)
    actions = torch.rand(5, 2, 2, generator=torch.Generator().manual_seed(0))
    simulate = Simulator(family)
    everyone, _ = simulate(task, obs, actions)
    some, _ = simulate(task[3:], obs[3:], actions[3:])
    assert torch.equal(some, everyone[3:])


def test_threads_that_share_a_simulator_get_what_each_gets_alone() -> None:
    family = FAMILIES["cheetah_cripple"]()
    rng = np.random.default_rng(5)
    simulate = Simulator(family)
    requests = []
    for seed in range(2):
        task = family.sample(rng, N)
        obs = VecWorld(family, n=N, seed=seed).reset(task)
        actions = rng.uniform(-1, 1, (N, 10, 6))
        requests.append((tensor(task.values), tensor(obs), tensor(actions)))

    def ask(number: int) -> Tensor:
        task, obs, actions = requests[number % 2]
        return simulate(task, obs, actions)[0]

    alone = [ask(number) for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(ask, range(12)))
    for number, answer in enumerate(together):
        assert torch.equal(answer, alone[number % 2])


def test_only_families_whose_state_is_observed_offer_a_simulator() -> None:
    for name in FAMILIES:
        family = FAMILIES[name]()
        assert (problem_of(family).simulate is not None) == family.observes_state


def test_a_simulator_can_be_sent_to_another_process() -> None:
    family = FAMILIES["slide"]()
    sent = pickle.loads(pickle.dumps(Simulator(family)))
    assert sent.family.name == family.name
