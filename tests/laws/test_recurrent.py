"""Laws of RL²: what is unrolled to learn from is what was lived through, tick by tick, and a trial is one return."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Script, Tiny

from adaptation.rollout import rollout
from adaptation.runs.checkpoint import problem_of
from policies.method import TrialBatch
from policies.methods.rl2 import Rl2, Rl2Belief, Rl2Config, sequences
from policies.rl import ppo

FAMILY, N = Tiny(), 4
CONFIG = Rl2Config(memory_size=8, hidden=8)


class Noisy(Script):
    """A script whose observations and rewards are random numbers."""

    def __init__(self, n: int, **ends: dict[int, int]) -> None:
        super().__init__(n, **ends)
        self.rng = np.random.default_rng(0)

    def reset(self, task: Any) -> Any:
        super().reset(task)
        return self.rng.normal(size=(self.n, 2))

    def step(self, action: Any) -> Any:
        step, applied = super().step(action), 0.5 * action
        return replace(
            step,
            obs=self.rng.normal(size=(self.n, 2)),
            reward=self.rng.normal(size=self.n),
            applied=applied,
        )


class Diary:
    """A method that keeps what it believed, and what it would have done, at every tick of every episode."""

    privileged = False

    def __init__(self, method: Rl2) -> None:
        self.method, self.beliefs = method, []
        self.prior, self.observe, self.adapt = method.prior, method.observe, method.adapt

    def act(self, obs: torch.Tensor, belief: Rl2Belief, explore: bool) -> torch.Tensor:
        self.beliefs.append(belief)
        return self.method.act(obs, belief, explore)


def method() -> Rl2:
    """One that has learnt, so that its normalisers have moved."""
    built = Rl2(problem_of(FAMILY), CONFIG, seed=0)
    built.learn(rollout(Noisy(N), built, tasks(), episodes=3))
    return built


def tasks(n: int = N) -> Any:
    return FAMILY.sample(np.random.default_rng(0), n)


def lived(built: Rl2, **ends: dict[int, int]) -> tuple[TrialBatch, list[Rl2Belief]]:
    diary = Diary(built)
    return rollout(Noisy(N, **ends), diary, tasks(), episodes=3), diary.beliefs  # type: ignore[arg-type]


RAGGED = {"terminated": {0: 1}, "truncated": {1: 2}, "diverged": {2: 0}}


@pytest.mark.parametrize("ends", [{}, RAGGED], ids=["whole", "ragged"])
def test_step_by_step_is_the_scan_over_the_trial(ends: dict[str, dict[int, int]]) -> None:
    built = method()
    trial, beliefs = lived(built, **ends)
    ticks, begins = sequences(trial)
    with torch.no_grad():
        features = built.unroll(ticks, begins)
    flat = trial.ticks.map(lambda x: x.flatten(0, 1))
    for world in range(N):
        rows = flat.valid[:, world].nonzero().flatten()
        assert torch.equal(ticks.obs[: len(rows), world], flat.obs[rows, world])
        assert not ticks.valid[len(rows) :, world].any()
        for i, t in enumerate(rows.tolist()):
            with torch.no_grad():
                _, hidden = built.net.fold(flat.obs[t][None], as_sequence(beliefs[t]))
            assert torch.allclose(
                features[i, world, : CONFIG.memory_size], hidden[world], atol=1e-6
            )


@pytest.mark.parametrize("ends", [{}, RAGGED], ids=["whole", "ragged"])
def test_ratios_begin_at_one(ends: dict[str, dict[int, int]]) -> None:
    """The likelihoods that are learnt from are those of the policy that acted, which no normaliser has moved since."""
    built = method()
    trial, beliefs = lived(built, **ends)
    lesson = built.prepare(trial)
    flat = trial.ticks.map(lambda x: x.flatten(0, 1))
    deviation = built.net.log_std.exp().detach()
    for world in range(N):
        for i, t in enumerate(flat.valid[:, world].nonzero().flatten().tolist()):
            with torch.no_grad():
                features, _ = built.net.fold(flat.obs[t][None], as_sequence(beliefs[t]))
                normal = torch.distributions.Normal(built.net.actor(features)[0, world], deviation)
            action = flat.action[t, world]
            low, high = (
                normal.cdf(torch.tensor(-1.0)).log(),
                (1 - normal.cdf(torch.tensor(1.0))).log(),
            )
            each = torch.where(
                action <= -1, low, torch.where(action >= 1, high, normal.log_prob(action))
            )
            assert torch.allclose(lesson.log_prob[i, world], each.sum(), atol=1e-4)
    assert built.step(lesson)["kl"] < 1e-8


def as_sequence(memory: Rl2Belief) -> Rl2Belief:
    return Rl2Belief(memory.hidden, memory.action[None], memory.reward[None], memory.begins[None])


def test_the_memory_is_emptied_for_a_task_and_not_for_an_episode() -> None:
    built = method()
    _, beliefs = lived(built)
    starts = [beliefs[t] for t in (0, FAMILY.horizon, 2 * FAMILY.horizon)]
    assert (starts[0].hidden == 0).all()
    assert all((memory.hidden != 0).all() for memory in starts[1:])
    assert all((memory.begins == 1).all() for memory in starts)
    assert sum((memory.begins == 1).all() for memory in beliefs) == 3
    _, again = lived(built)
    assert (again[0].hidden == 0).all()


def test_an_episodes_last_reward_is_read_at_the_next_ones_first_tick() -> None:
    built = method()
    trial, _ = lived(built)
    reward = trial.ticks.reward.clone()
    reward[0, -1] += 1
    other = replace(trial, ticks=replace(trial.ticks, reward=reward))
    with torch.no_grad():
        before, after = (built.unroll(*sequences(x)) for x in (trial, other))
    changed = (before != after).any(-1)
    assert not changed[: FAMILY.horizon].any()
    assert changed[FAMILY.horizon].all()

    last = trial.ticks.map(lambda x: x[0, -1])
    obs, memory = trial.ticks.obs[1, 0], built.prior(N)
    actions = []
    for tick in (last, replace(last, reward=last.reward + 1)):
        belief = built.adapt(built.observe(memory, tick), trial.ticks.map(lambda x: x[0]))
        actions.append(built.act(obs, belief, explore=False))
    assert (actions[0] != actions[1]).any(-1).all()


def test_what_the_gate_let_through_is_remembered_not_what_was_asked_for() -> None:
    built = method()
    trial, beliefs = lived(built)
    assert not torch.equal(trial.ticks.applied, trial.ticks.action)
    assert torch.equal(beliefs[1].action, trial.ticks.applied[0, 0])


def test_no_trial_knows_of_another() -> None:
    built = method()
    trial, _ = lived(built)
    obs = trial.ticks.obs.clone()
    obs[:, :, 0] += 1
    other = replace(trial, ticks=replace(trial.ticks, obs=obs))
    before, after = (built.prepare(x) for x in (trial, other))
    assert (before.log_prob[:, 0] != after.log_prob[:, 0]).all()
    assert torch.equal(before.log_prob[:, 1:], after.log_prob[:, 1:])


def test_a_world_that_is_over_leaves_its_memory_alone() -> None:
    built = method()
    trial, beliefs = lived(built, truncated={1: 2})
    for t in (3, 4):
        assert torch.equal(beliefs[t].hidden[1], beliefs[3].hidden[1])
        assert (beliefs[t].reward[1], beliefs[t].begins[1]) == (trial.ticks.reward[0, 2, 1], 0)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    gamma=st.floats(0, 1),
    decay=st.floats(0, 1),
    ended=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_advantages_are_the_weighted_mean_of_n_step_ones(
    seed: int, gamma: float, decay: float, ended: list[bool]
) -> None:
    """Schulman et al. 2016, equation 16, summed as it is written; no value and no reward crosses an end."""
    g = torch.Generator().manual_seed(seed)
    reward, value = torch.randn(2, 6, dtype=torch.float64, generator=g)
    follows = ~torch.tensor(ended)
    follows[-1] = False
    found = ppo.advantages(reward[:, None], value[:, None], follows[:, None], gamma, decay)[:, 0]
    for t in range(6):
        expected, weight = 0.0, 1.0
        for k in range(t, 6):
            expected += weight * (
                reward[k] + (gamma * value[k + 1] if follows[k] else 0.0) - value[k]
            )
            weight *= gamma * decay
            if not follows[k]:
                break
        assert abs(found[t] - expected) < 1e-9


def test_a_trial_is_one_return() -> None:
    """Across a time limit the next episode's rewards count, a tick's discount on; past ``terminated`` nothing does."""
    built = method()
    gamma = CONFIG.gamma
    built.config = replace(CONFIG, gae_lambda=1.0)
    trial, _ = lived(built, terminated={0: 4}, truncated={w: 4 for w in range(1, N)})
    assert trial.ticks.valid.all()
    ticks, begins = sequences(trial)
    with torch.no_grad():
        worth = built.net.worth
        value = built.net.critic(built.unroll(ticks, begins))[..., 0] / worth.scale + worth.shift
    follows = ppo.follows(ticks)
    assert follows[:, 1:].sum(0).tolist() == [14] * (N - 1)
    assert (~follows[:, 0]).nonzero().flatten().tolist() == [4, 9, 14]
    returns = ppo.advantages(ticks.reward, value, follows, gamma, 1.0) + value
    powers = gamma ** torch.arange(15.0)
    assert torch.allclose(returns[0, 1:], (ticks.reward * powers[:, None]).sum(0)[1:], atol=1e-4)
    assert torch.allclose(returns[0, 0], (ticks.reward[:5, 0] * powers[:5]).sum(), atol=1e-4)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(mean=st.floats(-3, 3), deviation=st.floats(0.05, 2))
def test_a_clipped_actions_likelihood_is_all_there_is(mean: float, deviation: float) -> None:
    """The density within the range and the masses at its ends sum to 1."""
    at, log_std = (
        torch.tensor([mean], dtype=torch.float64),
        torch.tensor([deviation], dtype=torch.float64).log(),
    )
    inside = torch.linspace(-1, 1, 20001, dtype=torch.float64)[1:-1, None]
    ends = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    density, masses = (ppo.log_prob(at, log_std, x).exp() for x in (inside, ends))
    assert abs(density.sum() * 1e-4 + masses.sum() - 1) < 1e-3


def test_actions_are_drawn_as_likely_as_they_are_said_to_be() -> None:
    mean, log_std = torch.tensor([0.4, -2.0]).expand(50_000, 2), torch.tensor([-0.5, 0.2])
    actions = ppo.act(mean, log_std, torch.Generator().manual_seed(0))
    for k, edge in ((0, 1.0), (1, -1.0)):
        mass = ppo.log_prob(mean[0, [k]], log_std[[k]], torch.tensor([edge])).exp()
        assert abs((actions[:, k] == edge).float().mean() - mass) < 0.01
    assert torch.equal(ppo.act(mean[0], log_std, None), torch.tensor([0.4, -1.0]))


def test_the_surrogate_rewards_no_ratio_beyond_its_clip() -> None:
    log_ratio = torch.tensor([0.5, -0.5, 0.5, -0.5, 0.01]).requires_grad_()
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    ppo.surrogate(log_ratio, advantage, 0.2).sum().backward()
    assert (log_ratio.grad != 0).tolist() == [False, True, True, False, True]


def test_trials_without_a_valid_tick_teach_nothing() -> None:
    built = method()
    trial, _ = lived(built, diverged=dict.fromkeys(range(N), 0))
    assert not trial.ticks.valid.any()
    built.learn(trial)
    assert all(p.isfinite().all() for p in built.net.parameters())
