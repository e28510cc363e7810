"""Laws of what is exchanged in a batch: transitions of similar tasks, and generated ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from noisy import NoisyScript
from tiny import Tiny
from torch import Tensor

from adaptation.problem import problem_of
from adaptation.rollout import rollout
from adaptation.runs import archive
from policies.belief import map_tensors, named_tensors
from policies.method import Transition, TrialBatch
from policies.methods.blind import Blind
from policies.methods.caster import Caster, CasterConfig
from policies.methods.finetune import Finetune, FinetuneConfig
from policies.methods.mql import Mql, MqlConfig
from policies.methods.oracle import Oracle
from policies.methods.pearl import Pearl, PearlConfig
from policies.methods.reference import ReferenceConfig
from policies.rl.exchange import Comparison, Propensity, ReplayConfig, draw_in_proportion
from policies.rl.propensity_tuning import TuningConfig
from policies.rl.remind import Remind
from policies.rl.sac import SacConfig

CPU = torch.device("cpu")
FAMILY = Tiny()
PROBLEM = problem_of(FAMILY)
N, B = 4, 8
SAC = SacConfig(hidden=(8,), meta_batch=N, batch_per_task=B, gradient_steps=2)
SMALL = ReplayConfig(denoiser_hidden=(8,), denoising_steps=2, warm_up_steps=0, share=0.25)
TUNING = TuningConfig(own_steps=1, replay_steps=1, batch_size=4, reference_size=8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def never() -> Comparison:
    raise AssertionError("nothing is compared")


def transitions(n: int, b: int, reward: Tensor, seed: int = 0) -> Transition:
    """Random transitions (n, b, ...) of Tiny with rewards (n, b); all of them are valid."""
    g = seeded(seed)
    obs = torch.randn(n, b, 2, generator=g)
    action = torch.rand(n, b, 2, generator=g) * 2 - 1
    no = torch.zeros(n, b, dtype=torch.bool)
    next_obs = obs + 0.3 * action
    return Transition(obs, action, action, reward, next_obs, no, no, no, no, ~no)


# ---- propensity ----


def test_columns_are_drawn_in_proportion_to_their_weights() -> None:
    weights = torch.tensor([[1.0, 0.0, 3.0, 0.0], [0.0, 2.0, 2.0, 4.0]])
    columns = draw_in_proportion(weights, 40_000, seeded())
    shares = torch.stack([row.bincount(minlength=4) for row in columns]) / 40_000
    expected = weights / weights.sum(1, keepdim=True)
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.01)
    assert (shares[weights == 0] == 0).all()


@pytest.mark.parametrize(("bound", "expected"), [(10.0, 0.75), (1.2, 1.2 / 1.7)])
def test_transitions_are_borrowed_by_their_normalized_and_bounded_density_ratio(
    bound: float, expected: float
) -> None:
    """Of a column that is 0 or 1 the regression is exact.

    It is 1 in 3/4 of the task's context and in 1/2 of the pool: the ratios are 3/2 and 1/2.
    """
    n, b = 8, 1000
    kind = (torch.arange(b) % 2).float().expand(n, b)
    ticks = transitions(n, b, kind)
    own = torch.tensor([1.0, 1, 1, 0]).expand(n, 4)[..., None]

    def compare() -> Comparison:
        return Comparison(kind[..., None], own, torch.ones(n, 4).bool())

    config = ReplayConfig(share=1.0, pool=n * b, ridge=1e-6, max_propensity=bound)
    mixed = Propensity(config, seeded()).mix(ticks, torch.zeros(n, b, 1), compare)
    assert mixed.ticks.reward.mean().item() == pytest.approx(expected, abs=0.02)


def test_a_task_borrows_from_tasks_that_resemble_it_and_keeps_the_rest() -> None:
    n = 40
    kind = torch.arange(n) % 2
    level = (2.0 * kind - 1)[:, None].expand(n, B)
    ticks = transitions(n, B, level)
    rows = level[..., None] + 0.3 * torch.randn(n, B, 1, generator=seeded())

    def compare() -> Comparison:
        return Comparison(rows, rows, torch.ones(n, B).bool())

    config = ReplayConfig(share=0.5, pool=n * B)
    belief = torch.zeros(n, B, 3)
    mixed = Propensity(config, seeded()).mix(ticks, belief, compare).ticks
    borrowed = mixed[:, : B // 2]
    assert (borrowed.reward == level[:, : B // 2]).float().mean() > 0.9
    stored = {tuple(row) for row in ticks.obs.flatten(0, 1).tolist()}
    assert {tuple(row) for row in borrowed.obs.flatten(0, 1).tolist()} <= stored
    for name, kept in named_tensors(ticks[:, B // 2 :]).items():
        assert torch.equal(named_tensors(mixed[:, B // 2 :])[name], kept), name


# ---- remind ----


def test_until_the_warm_up_ends_all_transitions_are_stored_ones() -> None:
    ticks = transitions(N, B, torch.ones(N, B))
    belief = torch.zeros(N, B, 3)
    exchange = Remind(PROBLEM, 3, replace(SMALL, warm_up_steps=2), seeded())
    for _ in range(2):
        assert torch.equal(exchange.mix(ticks, belief, never).ticks.obs, ticks.obs)
    mixed = exchange.mix(ticks, belief, never).ticks
    is_changed = (mixed.obs != ticks.obs).all(-1)
    assert torch.equal(is_changed, torch.arange(B).expand(N, B) < 2)


@pytest.fixture(scope="module")
def remind() -> Remind:
    """A model of tasks with the belief -1 or 1, which is its reward's sign and what ends it.

    Rewards are -70 or 130, observations about 1000, and actions -0.9 or 0.9.
    """
    config = ReplayConfig(denoiser_hidden=(64, 64), denoiser_lr=3e-3, warm_up_steps=0)
    exchange = Remind(PROBLEM, 1, config, seeded())
    for i in range(600):
        exchange.learn(*ended_tasks(i))
    return exchange


def ended_tasks(seed: int) -> tuple[Transition, Tensor]:
    """Transitions (16, 8, ...) and beliefs (16, 8, 1)."""
    sign = (2.0 * (torch.arange(16) % 2) - 1)[:, None].expand(16, B)
    ticks = transitions(16, B, 30 + 100 * sign, seed)
    action = 0.9 * sign[..., None].expand(16, B, 2)
    obs = 1000 + ticks.obs
    ticks = replace(ticks, obs=obs, next_obs=obs + 0.3 * action, action=action, applied=action)
    return replace(ticks, terminated=sign > 0, truncated=sign < 0), sign[..., None]


def test_what_is_generated_is_of_the_task_of_its_belief_in_its_own_units(remind: Remind) -> None:
    ticks, belief = ended_tasks(7)
    for _ in range(3):
        made = remind.generate(belief)
        sign = belief[..., 0]
        assert torch.equal(made.reward.sign(), sign), "tasks are not mixed"
        torch.testing.assert_close(made.reward, ticks.reward, rtol=0, atol=40)
        torch.testing.assert_close(
            made.obs.mean((0, 1)), torch.tensor([1000.0] * 2), atol=1, rtol=0
        )
        change = made.next_obs - made.obs
        torch.testing.assert_close(change, 0.3 * ticks.action, rtol=0, atol=0.15)
        assert torch.equal(made.terminated, sign > 0)


def test_a_generated_transition_is_valid_within_the_actions_and_never_a_time_limit(
    remind: Remind,
) -> None:
    belief = 5 * torch.randn(32, B, 1, generator=seeded())  # also beliefs that were never seen
    made = remind.generate(belief)
    assert made.valid.all()
    assert not (made.truncated | made.first | made.begins).any()
    assert made.action.abs().max() <= 1
    assert made.applied.abs().max() <= 1
    bound = remind.norm.std().float()[0] * remind.norm.bound
    assert ((made.obs - 1000).abs() <= bound + 1).all()


def test_rare_ends_are_generated_as_often_as_they_happen() -> None:
    """One in 16: normalized, they would be outliers."""
    config = ReplayConfig(denoiser_hidden=(32,), denoiser_lr=3e-3)
    exchange = Remind(PROBLEM, 1, config, seeded())
    belief = torch.zeros(16, 16, 1)
    for i in range(500):
        ticks = transitions(16, 16, torch.zeros(16, 16), i)
        ended = torch.rand(16, 16, generator=seeded(i)) < 1 / 16
        exchange.learn(replace(ticks, terminated=ended), belief)
    made = exchange.generate(torch.zeros(64, 64, 1))
    assert 0.03 < made.terminated.float().mean() < 0.12


# ---- in the methods ----

CONFIGS: dict[str, Any] = {
    "pearl": (Pearl, PearlConfig(sac=SAC, latent_dim=3, encoder_hidden=(8,))),
    "caster": (Caster, CasterConfig(sac=SAC, latent_dim=3, encoder_hidden=(8,))),
    "mql": (Mql, MqlConfig(sac=SAC, memory_size=8, segment=15, tuning=TUNING)),
    "finetune": (Finetune, FinetuneConfig(sac=SAC)),
    "blind": (Blind, ReferenceConfig(**vars(SAC))),
    "oracle": (Oracle, ReferenceConfig(**vars(SAC))),
}
every_method = pytest.mark.parametrize("name", sorted(CONFIGS))


def make(name: str, seed: int = 0, **replay: Any) -> Any:
    kind, config = CONFIGS[name]
    return kind(PROBLEM, replace(config, replay=replace(SMALL, **replay)), seed, CPU)


def trial() -> TrialBatch:
    tasks = FAMILY.sample(np.random.default_rng(0), N)
    return rollout(NoisyScript(N), make("blind"), tasks, episodes=3)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)


@every_method
def test_uniform_draws_are_those_of_a_batch_in_which_nothing_is_exchanged(name: str) -> None:
    uniform = make(name, sampling="uniform")
    nothing = make(name, sampling="propensity", share=0.0)
    half = make(name, sampling="propensity", share=0.5)
    for method in (uniform, nothing, half):
        method.learn(trial())
    state = uniform.state_dict()
    if name != "finetune":
        assert "exchange" not in state
    without = nothing.state_dict()
    without.pop("exchange", None)
    without.get("learner", {}).pop("exchange", None)
    assert same(state, without)
    assert not same(state, {**half.state_dict(), "exchange": None})
    assert not same(named_tensors(state), named_tensors(half.state_dict()))


@every_method
@pytest.mark.parametrize("sampling", ["propensity", "remind"])
def test_a_restored_method_goes_on_with_the_same_batches(name: str, sampling: str) -> None:
    original = make(name, sampling=sampling)
    original.learn(trial())
    weights, form = archive.pack(map_tensors(Tensor.clone, original.state_dict()))
    restored = make(name, seed=5, sampling=sampling)
    restored.load_state_dict(archive.unpack(weights, form))
    first, second = [method.learn(trial()) for method in (original, restored)]
    assert first == second
    assert same(original.state_dict(), restored.state_dict())


@pytest.mark.parametrize("sampling", ["propensity", "remind"])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_only_a_tasks_own_transitions_train_the_encoder(sampling: str, share: float) -> None:
    """A batch in which all are exchanged has no gradient for it; neither is anything stored."""
    method = make("pearl", sampling=sampling, share=share)
    method.learn(trial())
    stored = method.replay.data.clone()
    method.optimizer.zero_grad()
    losses = method.losses()
    losses["critic"].backward()
    gradient = method.encoder.net.flat.grad
    has_gradient = gradient is not None and bool(gradient.any())
    assert has_gradient == (share == 0)
    assert torch.equal(method.replay.data, stored)


def test_exchanged_transitions_train_the_critics_of_mql_and_not_its_memory() -> None:
    method = make("mql", sampling="remind", share=1.0)
    method.learn(trial())
    method.optimizer.zero_grad()
    method.losses()["critic"].backward()
    gradients = [p.grad for p in method.trained_encoder.parameters()]
    assert not any(g is not None and bool(g.any()) for g in gradients)
    assert method.sac.critic.flat.grad.any()
