"""Laws of MAML: the meta-gradient is the derivative of the objective, each task steps alone."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from tiny import Tiny
from torch import Tensor

from adaptation.no_adaptation import NoAdaptation
from adaptation.problem import problem_of
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from policies.belief import map_tensors
from policies.method import Transition, TrialBatch, stack
from policies.methods.fomaml import Fomaml
from policies.methods.maml import Maml, MamlBelief, MamlConfig, OuterBatch
from policies.nn.batched_policy import BatchedPolicy
from policies.rl.baseline import linear_baseline
from robots.errors import BadArgumentError
from robots.world import Task
from sim.vec_world import VecWorld

CPU = torch.device("cpu")
N, E = 3, 3
CONFIG = MamlConfig(hidden=(5,), inner_lr=0.3)


def maml(kind: type[Maml] = Maml, **changes: Any) -> Maml:
    return kind(problem_of(Tiny()), replace(CONFIG, **changes), 0, CPU)


def trial(method: Maml, n: int = N) -> TrialBatch:
    """Experience of a method on ``point``."""
    family = checkpoint.family_named("point")
    task: Task = family.sample(np.random.default_rng(0), n)
    return rollout(VecWorld(family, n=n, seed=0), method, task, E)


def double(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def in_double_precision(method: Maml) -> tuple[OuterBatch, dict[str, Tensor]]:
    """A batch and the meta-learned parameters, moved away from those that acted."""
    ticks = trial(method).ticks
    method.net.double()
    batch = method.prepare(map_tensors(double, ticks))
    g = torch.Generator().manual_seed(1)
    for parameter in method.net.values():
        noise = torch.randn(parameter.shape, generator=g, dtype=torch.float64)
        parameter.data += 0.01 * noise
    return batch, dict(method.net.items())


def gradient(method: Maml, batch: OuterBatch) -> dict[str, Tensor]:
    method.net.zero_grad()
    method.losses(batch)["outer"].backward()
    return {name: parameter.grad.clone() for name, parameter in method.net.items()}


def slope(
    objective: Callable[[], Tensor],
    parameter: Tensor,
    direction: Tensor,
    step: float = 1e-6,
) -> float:
    """Derivative along a direction by central differences."""
    values = []
    for sign in (1, -1):
        parameter.data += sign * step * direction
        values.append(objective().item())
        parameter.data -= sign * step * direction
    return (values[0] - values[1]) / (2 * step)


def directions(like: Tensor) -> list[Tensor]:
    g = torch.Generator().manual_seed(2)
    return [torch.randn(like.shape, generator=g, dtype=torch.float64) for _ in range(5)]


def inner_gradients(method: Maml, batch: OuterBatch) -> list[Tensor]:
    """The gradient (n, P) of every inner step, as a constant."""
    thetas = method.episode_parameters(batch)
    step_sizes = method.net["inner_lr"]
    return [((b - a) / step_sizes).detach() for a, b in pairwise(thetas)]


@pytest.mark.parametrize("name", ["theta", "inner_lr"])
def test_the_second_order_gradient_is_that_of_finite_differences(name: str) -> None:
    method = maml()
    batch, learned = in_double_precision(method)
    found = gradient(method, batch)[name]

    def objective() -> Tensor:
        return method.losses(batch)["outer"]

    for direction in directions(found):
        expected = float(found @ direction)
        difference = slope(objective, learned[name], direction)
        assert difference == pytest.approx(expected, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", ["theta", "inner_lr"])
def test_the_first_order_gradient_is_that_with_constant_inner_gradients(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finite differences of the same objective, whose inner gradients do not change."""
    method = maml(Fomaml)
    batch, learned = in_double_precision(method)
    found = gradient(method, batch)[name]
    constants = inner_gradients(method, batch)
    remaining = iter(constants)

    def constant_step(theta: Tensor, episode: Any, acting_log_prob: Tensor) -> Tensor:
        return theta + method.net["inner_lr"] * next(remaining)

    monkeypatch.setattr(method, "inner_step", constant_step)

    def objective() -> Tensor:
        nonlocal remaining
        remaining = iter(constants)
        return method.losses(batch)["outer"]

    for direction in directions(found):
        expected = slope(objective, learned[name], direction)
        assert float(found @ direction) == pytest.approx(expected, rel=1e-5, abs=1e-8)


def tanh_policy(theta: Tensor, obs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (H, a) and std (a,) of one policy: two inputs, a layer of five, two actions."""
    w1, b1, w2, b2, log_std = theta.split([10, 5, 10, 2, 2])
    hidden = torch.tanh(obs @ w1.view(2, 5) + b1)
    return hidden @ w2.view(5, 2) + b2, log_std.exp()


def likelihood(theta: Tensor, obs: Tensor, action: Tensor) -> Tensor:
    """Log-likelihood (H,) of clipped actions (H, a) under one policy."""
    mean, std = tanh_policy(theta, obs)
    z = (action - mean) / std
    density = -0.5 * z**2 - std.log() - 0.5 * math.log(2 * math.pi)
    low = torch.special.log_ndtr(z)
    high = torch.special.log_ndtr(-z)
    return torch.where(action <= -1, low, torch.where(action >= 1, high, density)).sum(-1)


def test_the_gradient_is_that_of_an_independent_implementation() -> None:
    """One world after the other, by torch.func, through both steps; the advantages are given."""
    method = maml()
    batch, learned = in_double_precision(method)
    found = gradient(method, batch)
    c = CONFIG

    def inner(theta: Tensor, obs: Tensor, action: Tensor, old: Tensor, gain: Tensor) -> Tensor:
        return ((likelihood(theta, obs, action) - old).exp() * gain).mean()

    def outer(theta: Tensor, rates: Tensor, world: int) -> Tensor:
        loss = torch.zeros((), dtype=torch.float64)
        for e in range(1, E):
            before = batch.ticks[e - 1]
            gain = method.advantages(before, c.inner_gamma, c.inner_gae_lambda)[:, world]
            data = (before.obs[:, world], before.action[:, world], batch.log_prob[e - 1, :, world])
            theta = theta + rates * torch.func.grad(inner)(theta, *data, gain)
            after = batch.ticks[e]
            log_prob = likelihood(theta, after.obs[:, world], after.action[:, world])
            ratio = (log_prob - batch.log_prob[e, :, world]).exp()
            clipped = ratio.clamp(1 - c.clip_ratio, 1 + c.clip_ratio)
            advantage = batch.advantage[e, :, world]
            loss = loss - torch.minimum(ratio * advantage, clipped * advantage).mean()
        return loss / N

    assert (method.obs_norm(batch.ticks.obs) == batch.ticks.obs).all()
    gradients = torch.func.grad(outer, argnums=(0, 1))
    theta = learned["theta"].detach()
    rates = learned["inner_lr"].detach()
    worlds = [gradients(theta, rates, world) for world in range(N)]
    for i, name in enumerate(("theta", "inner_lr")):
        expected = torch.stack([world[i] for world in worlds]).sum(0)
        torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-12)


BANDIT_GOAL = 0.3
BANDIT_STD = 0.2
PULLS = 400_000


def bandit_return(theta: Tensor) -> Tensor:
    """Expected reward of a policy (weight, bias, log std): E[-(a - goal)²] of a Gaussian action."""
    error = theta[0] + theta[1] - BANDIT_GOAL
    return -error.square() - (2 * theta[2]).exp()


def pull(method: Maml, belief: MamlBelief, like: Transition) -> Transition:
    """An episode of many pulls of the bandit: the only observation is 1."""
    obs = torch.ones(PULLS, 1, 1)
    action = method.act(obs[:, 0], MamlBelief(belief.theta.expand(PULLS, -1)), explore=True)
    no = torch.zeros(PULLS, 1, dtype=torch.bool)
    return replace(
        like,
        obs=obs,
        action=action[:, None],
        applied=action[:, None],
        next_obs=obs,
        reward=-(action - BANDIT_GOAL).square(),
        terminated=no,
        truncated=no,
        valid=~no,
    )


def test_the_meta_gradient_of_a_bandit_is_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With log π · advantage inside, the curvature of the mean is 0 instead of -2."""
    bandit = replace(
        problem_of(Tiny()),
        obs_names=("one",),
        obs_low=(0.0,),
        obs_high=(1.0,),
        action_names=("arm",),
    )
    config = replace(CONFIG, hidden=(), inner_lr=0.2, inner_gamma=0.0)
    method = Maml(bandit, config, 0, CPU)
    learned = method.net["theta"]
    learned.data = torch.tensor([0.0, 0.0, math.log(BANDIT_STD)])

    def centered(episode: Transition, gamma: float, gae_lambda: float) -> Tensor:
        return episode.reward - episode.reward.mean()

    monkeypatch.setattr(method, "advantages", centered)
    like = trial(maml(), 1).ticks[0]
    prior = method.prior(1)
    before = pull(method, prior, like)
    after = pull(method, method.adapt(prior, before), like)
    batch = method.prepare(stack([before, after]))
    found = gradient(method, batch)

    theta = learned.detach().double().requires_grad_()
    rates = torch.full_like(theta, 0.2).detach().requires_grad_()
    (step,) = torch.autograd.grad(bandit_return(theta), theta, create_graph=True)
    exact = torch.autograd.grad(-bandit_return(theta + rates * step), (theta, rates))
    for name, expected in zip(("theta", "inner_lr"), exact, strict=True):
        torch.testing.assert_close(found[name].double(), expected, rtol=0, atol=0.02)


def test_first_order_is_second_order_with_detached_inner_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = maml(Fomaml)
    second = maml()
    batch, _ = in_double_precision(first)
    in_double_precision(second)
    full = gradient(second, batch)
    cut = gradient(first, batch)
    assert first.losses(batch)["outer"].item() == second.losses(batch)["outer"].item()
    assert not torch.allclose(full["theta"], cut["theta"], rtol=1e-2)
    inner_step = second.inner_step

    def detached_step(theta: Tensor, episode: Any, acting_log_prob: Tensor) -> Tensor:
        step_sizes = second.net["inner_lr"]
        inner_gradient = (inner_step(theta, episode, acting_log_prob) - theta) / step_sizes
        return theta + step_sizes * inner_gradient.detach()

    monkeypatch.setattr(second, "inner_step", detached_step)
    again = gradient(second, batch)
    for name, expected in cut.items():
        assert torch.allclose(again[name], expected, rtol=1e-8, atol=1e-12)


def test_the_steps_that_are_learned_through_are_those_that_were_taken() -> None:
    method = maml()
    method.learn(trial(method))  # the normalizer has moved
    ticks = trial(method).ticks
    belief = method.prior(N)
    batch = method.prepare(ticks)
    thetas = method.episode_parameters(batch)
    for e, theta in enumerate(thetas[1:]):
        belief = method.adapt(belief, ticks[e])
        assert torch.allclose(theta, belief.theta, atol=1e-5)
    assert method.losses(batch)["kl"] < 1e-8


def test_a_task_steps_alone_as_it_does_among_others() -> None:
    method = maml()
    episode = trial(method).ticks[0]
    together = method.adapt(method.prior(N), episode).theta
    for i in range(N):
        alone = method.adapt(method.prior(1), episode[:, i : i + 1]).theta
        assert torch.allclose(alone[0], together[i], atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_the_step_raises_the_advantage_weighted_log_likelihood() -> None:
    method = maml()
    episode = trial(method).ticks[0]
    advantage = method.advantages(episode, CONFIG.inner_gamma, CONFIG.inner_gae_lambda)
    assert advantage.mean(0).abs().max() < 1e-5

    def objective(belief: MamlBelief) -> Tensor:
        return (method.log_prob(belief.theta, episode) * advantage).mean(0)

    method.net["inner_lr"].data.fill_(0.01)
    prior = method.prior(N)
    assert (objective(method.adapt(prior, episode)) > objective(prior)).all()


def test_an_episode_without_exploration_or_without_a_tick_changes_nothing() -> None:
    method = maml()
    episode = trial(method).ticks[0]
    prior = method.prior(N)
    means = torch.stack([method.act(obs, prior, explore=False) for obs in episode.obs])
    calm = replace(episode, action=means)
    invalid = replace(episode, valid=torch.zeros_like(episode.valid))
    assert torch.equal(method.adapt(prior, calm).theta, prior.theta)
    assert torch.equal(method.adapt(prior, invalid).theta, prior.theta)
    assert not torch.equal(method.adapt(prior, episode).theta, prior.theta)


def test_the_content_of_invalid_ticks_does_not_matter() -> None:
    method = maml()
    episode = trial(method).ticks[0]
    valid = episode.valid.clone()
    valid[12:] = False
    short = replace(episode, valid=valid)
    spoiled = replace(
        short,
        reward=torch.where(valid, short.reward, 99.0),
        action=torch.where(valid[..., None], short.action, 0.5),
    )
    prior = method.prior(N)
    theta = method.adapt(prior, short).theta
    assert torch.allclose(theta, method.adapt(prior, spoiled).theta, atol=1e-6)
    assert not torch.allclose(theta, method.adapt(prior, episode).theta, atol=1e-3)


def test_the_baseline_predicts_returns_that_are_linear_in_its_features() -> None:
    g = torch.Generator().manual_seed(0)
    obs = torch.randn(20, N, 2, dtype=torch.float64, generator=g)
    t = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]
    returns = 3 + obs[..., 0] - 2 * obs[..., 1] ** 2 + t**3
    valid = torch.ones(20, N, dtype=torch.bool)
    valid[15:, 0] = False
    assert torch.allclose(linear_baseline(obs, returns, valid, 1e-9), returns, atol=1e-5)


def test_batched_policies_are_networks_of_their_own() -> None:
    """Against linear layers built from each parameter vector by hand."""
    policy = BatchedPolicy((2, 5, 3))
    g = torch.Generator().manual_seed(0)
    theta = torch.stack([policy.initial(0.6, g) for _ in range(N)])
    assert theta.shape == (N, 2 * 5 + 5 + 5 * 3 + 3 + 3)
    obs = torch.randn(4, N, 2, generator=g)
    mean, log_std = policy(theta, obs)
    assert torch.allclose(log_std.exp(), torch.full((N, 3), 0.6))
    for i in range(N):
        pieces = theta[i].split([10, 5, 15, 3, 3])
        hidden = torch.tanh(obs[:, i] @ pieces[0].view(2, 5) + pieces[1])
        expected = hidden @ pieces[2].view(5, 3) + pieces[3]
        assert torch.allclose(mean[:, i], expected, atol=1e-6)


def test_a_trial_of_one_episode_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="at least 2 episodes, got 1"):
        maml(schedule=replace(CONFIG.schedule, episodes_per_trial=1))


def test_the_start_and_the_step_sizes_are_learned_until_a_step_helps() -> None:
    """After a few iterations on ``point`` the second step's return is well above no adaptation."""
    family = checkpoint.family_named("point")
    method = checkpoint.build("maml", family, seed=0)
    world = VecWorld(family, n=128, seed=0)
    rng = np.random.default_rng(0)
    for _ in range(12):
        method.learn(rollout(world, method, family.sample(rng, 128), E))
    heldout = family.sample(rng, 128, "heldout")
    adapted = rollout(world, method, heldout, E).returns.mean(1)
    no_adaptation = rollout(world, NoAdaptation(method), heldout, E).returns.mean(1)
    assert adapted[2] > no_adaptation[2] + 3
