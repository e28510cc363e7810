"""Laws of meta-Q-learning: propensities, the steps on a new task, and what trains the context."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from noisy import BeliefRecorder, NoisyScript
from tiny import Tiny
from torch import Tensor

from adaptation.jobs.collection import collecting_policy
from adaptation.problem import problem_of
from adaptation.rollout import rollout
from policies.belief import map_tensors, named_tensors
from policies.method import TrialBatch
from policies.methods.mql import Mql, MqlConfig
from policies.rl import own_transitions, propensity, stacked_sac
from policies.rl.propensity import normalized_sample_size, propensities
from policies.rl.propensity_tuning import TuningConfig, draw, proximal_penalty
from policies.rl.sac import SacConfig

CPU = torch.device("cpu")
FAMILY = Tiny()
N = 4
SAC = SacConfig(hidden=(8,), meta_batch=4, gradient_steps=2)
TUNING = TuningConfig(own_steps=2, replay_steps=3, batch_size=8, reference_size=40, lr=1e-2)
CONFIG = MqlConfig(sac=SAC, memory_size=8, segment=60, tuning=TUNING)
RAGGED = {"terminated": {0: 1}, "truncated": {1: 2}, "diverged": {2: 0}}


def make(**tuning: Any) -> Mql:
    config = replace(CONFIG, tuning=replace(TUNING, **tuning))
    return Mql(problem_of(FAMILY), config, 0, CPU)


def trial_of(method: Any, **ends: dict[int, int]) -> TrialBatch:
    tasks = FAMILY.sample(np.random.default_rng(0), N)
    return rollout(NoisyScript(N, **ends), method, tasks, episodes=3)


@torch.enable_grad()
def taught(**tuning: Any) -> Mql:
    """A method whose networks, normalizers and sample of the replay come from a trial."""
    method = make(**tuning)
    method.learn(trial_of(method.collector))
    return method


def test_the_classifier_is_where_no_small_change_lowers_its_loss() -> None:
    """Against the loss written out row by row, minimized by gradient descent."""
    g = torch.Generator().manual_seed(0)
    new = torch.randn(2, 5, 3, generator=g).double() + 1
    exists = torch.tensor([[True] * 5, [True, True, False, False, False]])
    reference = torch.randn(12, 3, generator=g).double()
    new[..., -1] = 1
    reference[:, -1] = 1
    found = propensity.fit(new, exists, reference, 0.1)
    for world in range(2):
        w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([w], max_iter=200, tolerance_grad=1e-10)

        def loss(w: Tensor = w, world: int = world) -> Tensor:
            mine = [-(row @ w).sigmoid().log() for row in new[world][exists[world]]]
            others = [-(1 - (row @ w).sigmoid()).log() for row in reference]
            both = torch.stack(mine).mean() / 2 + torch.stack(others).mean() / 2
            return both + 0.05 * w[:-1].square().sum()

        def closure(w: Tensor = w, loss: Any = loss) -> Tensor:
            w.grad = None
            value: Tensor = loss()
            value.backward()
            return value

        optimizer.step(closure)
        torch.testing.assert_close(found[world], w.detach(), atol=1e-4, rtol=1e-4)


def test_propensities_of_two_gaussians_are_the_ratio_of_their_densities() -> None:
    """N(0.5, 1) over N(0, 1) at x: exp(0.5 x - 0.125)."""
    g = torch.Generator().manual_seed(0)
    reference = torch.randn(20_000, 1, generator=g)
    new = torch.randn(1, 20_000, 1, generator=g) + 0.5
    ratio = propensities(new, torch.ones(1, 20_000).bool(), reference, 1e-6, 100.0)
    expected = (0.5 * reference[:, 0] - 0.125).exp()
    torch.testing.assert_close(ratio[0], expected, rtol=0.15, atol=0.02)


def test_propensities_are_bounded_and_one_without_data() -> None:
    reference = torch.linspace(-1, 1, 50)[:, None]
    new = torch.linspace(0.5, 1, 4)[None, :, None].expand(2, -1, -1)
    exists = torch.tensor([[True] * 4, [False] * 4])
    ratio = propensities(new, exists, reference, 1e-3, 2.0)
    assert ratio[0].max() == 2
    assert ratio[0].min() < 0.1
    assert torch.equal(ratio[1], torch.ones(50))


def test_the_effective_share_of_equal_weights_is_one_and_of_a_single_one_a_share() -> None:
    weights = torch.tensor([[3.0, 3, 3, 3], [0, 0, 5, 0], [1, 2, 3, 4]])
    expected = torch.tensor([1.0, 0.25, 10**2 / (4 * 30)])
    torch.testing.assert_close(normalized_sample_size(weights), expected)


def test_the_proximal_penalty_is_the_weighted_distance_of_each_world() -> None:
    nets = stacked_sac.stack_sac(make().sac, 2)
    moved = replace(nets, actor=[x + 0.5 for x in nets.actor])
    numbers = sum(x[0].numel() for x in nets.actor)
    expected = torch.tensor(3.0 * 0.25 * numbers)
    found = proximal_penalty(moved, nets, torch.tensor([0.0, 3.0]))
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_a_world_without_data_keeps_the_trained_networks() -> None:
    method = taught()
    ticks = trial_of(method.collector).ticks[0]
    valid = ticks.valid.clone()
    valid[:, 1] = False
    prior = method.prior(N)
    belief = method.adapt(prior, replace(ticks, valid=valid))
    for before, after in zip(prior.nets.trained, belief.nets.trained, strict=True):
        assert torch.equal(before[1], after[1])
    assert not torch.equal(prior.nets.actor[0][0], belief.nets.actor[0][0])


@torch.no_grad()
def test_a_strong_proximal_penalty_keeps_the_weights_near_the_trained_ones() -> None:
    changes = []
    for proximal in (0.0, 1e3):
        method = taught(proximal=proximal, lr=1e-3, own_steps=30)
        belief = method.adapt(method.prior(N), trial_of(method.collector).ticks[0])
        change = torch.cat(
            [
                (a - b).flatten()
                for a, b in zip(belief.nets.actor, method.prior(N).nets.actor, strict=True)
            ]
        )
        changes.append(change.norm())
    assert changes[1] < 0.7 * changes[0]


@torch.no_grad()
def test_transitions_of_weight_zero_do_not_move_the_weights() -> None:
    method = taught()
    tuning = method.tuning()
    rows = tuning.reference[torch.arange(8).expand(1, -1)]
    nets = map_tensors(lambda x: x.clone().requires_grad_(), tuning.trained)
    noise = torch.randn(2, 1, 8, method.problem.action_dim)
    with torch.enable_grad():
        loss = tuning._loss(nets, rows, noise, torch.zeros(1, 8))
    gradients = torch.autograd.grad(loss, nets.trained)
    assert all(not g.any() for g in gradients)


@torch.no_grad()
def test_many_worlds_are_tuned_as_each_alone() -> None:
    method = taught()
    tuning = method.tuning()
    ticks = trial_of(method.collector, **RAGGED).ticks[0]
    own = method.with_context(method.collector.prior(N), ticks).transpose(0, 1)
    own, count = own_transitions.store(method.prior(N).transitions, torch.zeros(N).long(), own)
    draws = draw(TUNING, method.problem.action_dim, method.generator)
    together = tuning.tune(own, count, draws)
    for world in range(N):
        alone = tuning.tune(own[[world]], count[[world]], draws)
        for a, b in zip(together.trained, alone.trained, strict=True):
            torch.testing.assert_close(a[world], b[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_context_of_a_stored_trial_is_the_one_that_was_acted_under() -> None:
    """Of every observation, and of the observation after it in its episode."""
    method = taught()
    recorder: Any = BeliefRecorder(method.collector)
    trial = trial_of(recorder, **RAGGED)
    stored = trial.sequences()
    x = method.encoder(stored)
    next_x = method.encoder.after(x[..., : CONFIG.memory_size], stored)
    ticks = trial.ticks.flatten(0, 1)
    for world in range(N):
        for i, t in enumerate(ticks.valid[:, world].nonzero().flatten().tolist()):
            belief = recorder.beliefs[t]
            acted_under, _ = method.encoder.step(ticks.obs[t], belief)
            torch.testing.assert_close(x[i, world], acted_under[world], atol=1e-5, rtol=0)
            after = method.collector.observe(belief, ticks[t])
            expected, _ = method.encoder.step(ticks.next_obs[t], after)
            torch.testing.assert_close(next_x[i, world], expected[world], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["critic", "actor", "temperature"])
def test_the_losses_of_critics_and_actor_train_the_context(name: str) -> None:
    method = taught()
    method.optimizer.zero_grad()
    method.losses()[name].backward()
    trained = {
        "context": any(_has_gradient(p) for p in method.trained_encoder.parameters()),
        "actor": _has_gradient(method.sac.actor.flat),
        "critic": _has_gradient(method.sac.critic.flat),
        "temperature": _has_gradient(method.sac.log_alpha),
    }
    expected = {"context": name != "temperature", "actor": False, "critic": False}
    assert trained == {**expected, "temperature": False, name: True}


def _has_gradient(parameter: Tensor) -> bool:
    return parameter.grad is not None and bool(parameter.grad.any())


@torch.no_grad()
def test_training_trials_are_collected_without_steps_on_the_weights() -> None:
    """But under the same context, so that before any steps both act alike."""
    method = taught()
    collector: Any = collecting_policy(method)
    ticks = trial_of(collector).ticks
    belief, context = method.prior(N), collector.prior(N)
    for t in range(2):
        action = method.act(ticks.obs[0, t], belief, False)
        collected = collector.act(ticks.obs[0, t], context, False)
        torch.testing.assert_close(action, collected)
        belief = method.observe(belief, ticks[0, t])
        context = collector.observe(context, ticks[0, t])
    before = {name: tensor.clone() for name, tensor in method.net.state_dict().items()}
    collector.adapt(context, ticks[0])
    assert all(torch.equal(before[k], v) for k, v in method.net.state_dict().items())


@torch.no_grad()
def test_a_loaded_method_adapts_as_the_trained_one_without_its_replay() -> None:
    method = taught()
    other = Mql(problem_of(FAMILY), method.config, 1, CPU)
    other.load_state_dict(method.state_without_replay())
    ticks = trial_of(method.collector).ticks[0]
    other.generator.set_state(method.generator.get_state())
    found = [named_tensors(m.adapt(m.prior(N), ticks)) for m in (method, other)]
    for path, tensor in found[0].items():
        assert torch.equal(found[1][path], tensor), path
