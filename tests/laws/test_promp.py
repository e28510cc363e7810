"""Laws of ProMP: its objective is the clipped surrogate plus the KL of what acted before each step.

The independent formulas take one world after the other, by torch.func and torch.distributions.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from test_maml import (
    CPU,
    E,
    N,
    directions,
    gradient,
    in_double_precision,
    likelihood,
    slope,
    tanh_policy,
    trial,
)
from tiny import Tiny
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from adaptation.problem import problem_of
from policies.methods.maml import Maml, OuterBatch
from policies.methods.promp import InnerKlPenalty, Promp, PrompConfig
from policies.rl import clipped_gaussian

CONFIG = PrompConfig(hidden=(5,), inner_lr=0.3)
COEFFICIENTS = [0.7, 2.0]  # of the two steps of a trial, far from equal


def promp(**changes: Any) -> Promp:
    return Promp(problem_of(Tiny()), replace(CONFIG, **changes), 0, CPU)


def moved(**changes: Any) -> tuple[Promp, OuterBatch, dict[str, Tensor]]:
    """A method whose parameters have moved away from those that acted, in double precision."""
    method = promp(**changes)
    batch, learned = in_double_precision(method)
    method.penalty.double()
    method.penalty.coefficients.copy_(torch.tensor(COEFFICIENTS, dtype=torch.float64))
    return method, batch, learned


def world_loss(method: Promp, batch: OuterBatch, theta: Tensor, rates: Tensor, i: int) -> Tensor:
    """Clipped surrogate after each step plus weighted KL before it, of world i, by hand."""
    c = method.config

    def inner(theta: Tensor, obs: Tensor, action: Tensor, old: Tensor, gain: Tensor) -> Tensor:
        return ((likelihood(theta, obs, action) - old).exp() * gain).mean()

    loss = torch.zeros((), dtype=torch.float64)
    for e in range(E - 1):
        before = batch.ticks[e]
        acting = Normal(*tanh_policy(batch.theta[e, i], before.obs[:, i]))
        now = Normal(*tanh_policy(theta, before.obs[:, i]))
        kl = kl_divergence(acting, now).sum(-1).mean()
        loss = loss + COEFFICIENTS[e] * kl / (E - 1)

        gain = method.advantages(before, c.inner_gamma, c.inner_gae_lambda)[:, i]
        data = (before.obs[:, i], before.action[:, i], batch.log_prob[e, :, i])
        theta = theta + rates * torch.func.grad(inner)(theta, *data, gain)

        after = batch.ticks[e + 1]
        log_prob = likelihood(theta, after.obs[:, i], after.action[:, i])
        surrogates = []
        for ratio, advantage in zip(
            (log_prob - batch.log_prob[e + 1, :, i]).exp(),
            batch.advantage[e + 1, :, i],
            strict=True,
        ):
            if advantage > 0:
                surrogates.append(ratio.clamp(max=1 + c.clip_ratio) * advantage)
            else:
                surrogates.append(ratio.clamp(min=1 - c.clip_ratio) * advantage)
        loss = loss - torch.stack(surrogates).mean()
    return loss


def test_loss_and_gradient_are_those_of_an_independent_implementation() -> None:
    method, batch, learned = moved(clip_ratio=0.05)  # narrow, so that some ratios are clipped
    found = gradient(method, batch)
    theta = learned["theta"].detach().requires_grad_()
    rates = learned["inner_lr"].detach().requires_grad_()
    losses = [world_loss(method, batch, theta, rates, i) for i in range(N)]
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(method.losses(batch)["outer"], expected, rtol=1e-9, atol=0)
    gradients = torch.autograd.grad(expected, (theta, rates))
    for name, wanted in zip(("theta", "inner_lr"), gradients, strict=True):
        torch.testing.assert_close(found[name], wanted, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", ["theta", "inner_lr"])
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    """The penalty of the second step depends on the step sizes through the first step."""
    method, batch, learned = moved()
    found = gradient(method, batch)[name]

    def objective() -> Tensor:
        return method.losses(batch)["outer"]

    for direction in directions(found):
        difference = slope(objective, learned[name], direction)
        assert difference == pytest.approx(float(found @ direction), rel=1e-5, abs=1e-8)


def test_the_divergence_is_that_of_old_from_new_gaussians() -> None:
    g = torch.Generator().manual_seed(0)
    old_mean, old_log_std, new_mean, new_log_std = torch.randn(4, 7, 3, generator=g)
    old = Normal(old_mean, old_log_std.exp())
    new = Normal(new_mean, new_log_std.exp())
    found = clipped_gaussian.divergence(old_mean, old_log_std, new_mean, new_log_std)
    torch.testing.assert_close(found, kl_divergence(old, new).sum(-1))
    assert not torch.allclose(found, kl_divergence(new, old).sum(-1))


def test_nothing_is_penalized_while_the_policies_are_those_that_acted() -> None:
    method = promp()
    batch = method.prepare(trial(method).ticks)
    thetas = method.episode_parameters(batch)
    assert method.inner_kl(batch, thetas).abs().max() < 1e-8
    plain = Maml(method.problem, CONFIG, 0, CPU)
    expected = plain.losses(plain.prepare(batch.ticks))["outer"]
    torch.testing.assert_close(method.losses(batch)["outer"], expected)


def test_ticks_that_are_not_valid_are_not_penalized() -> None:
    method, batch, _ = moved()
    valid = batch.ticks.valid.clone()
    valid[:, 12:] = False
    obs = batch.ticks.obs
    spoiled = torch.where(valid[..., None], obs, obs + 5.0)
    divergences = []
    for seen in (obs, spoiled):
        ticks = replace(batch.ticks, valid=valid, obs=seen)
        other = replace(batch, ticks=ticks)
        divergences.append(method.inner_kl(other, batch.theta + 0.1))
    assert torch.equal(*divergences)
    assert not torch.allclose(divergences[0], method.inner_kl(batch, batch.theta + 0.1))


def test_a_coefficient_follows_the_divergence_of_its_step() -> None:
    target = 0.01
    config = replace(CONFIG, inner_kl_target=target, inner_kl_coef=1.0)
    kl = torch.tensor([0.0, 0.6, 0.7, 1.0, 1.4, 1.6, 50.0]) * target
    penalty = InnerKlPenalty(len(kl), config, CPU)
    penalty.update(kl)
    assert penalty.coefficients.tolist() == [0.5, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0]
    assert penalty(torch.ones(len(kl))).item() == pytest.approx(8 / 7)
    penalty.update(kl.flip(0))
    assert penalty.coefficients.tolist() == [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_a_coefficient_recovers_from_many_iterations_without_divergence() -> None:
    penalty = InnerKlPenalty(1, CONFIG, CPU)
    history = []
    for kl in (0.0, 1.0):
        for _ in range(300):
            penalty.update(torch.tensor([kl]))
            history.append(float(penalty.coefficients))
    low = history[299]
    high = history[-1]
    assert 0 < low < 1e-4
    assert 10 < high < 1000
    growth = [after / before for before, after in pairwise(history[299:310])]
    assert growth == pytest.approx([2.0] * 10)


def test_coefficients_follow_the_policy_after_the_last_gradient_step() -> None:
    """Before the first one, every divergence is zero."""
    for target, factor in ((1e-9, 2.0), (1e9, 0.5)):
        method = promp(inner_kl_target=target)
        log = method.learn(trial(method))
        expected = [factor * CONFIG.inner_kl_coef] * (E - 1)
        assert method.penalty.coefficients.tolist() == pytest.approx(expected)
        assert log["inner_kl"] > 1e-6


def test_a_larger_coefficient_keeps_the_policy_before_a_step_closer_to_what_acted() -> None:
    divergences = []
    for coefficient in (1e-5, 100.0):
        method = promp(inner_kl_coef=coefficient, gradient_steps=20, lr=0.01)
        divergences.append(method.learn(trial(method))["inner_kl"])
    assert divergences[1] < 0.5 * divergences[0]


def test_it_adapts_as_maml_does() -> None:
    method = promp()
    plain = Maml(method.problem, CONFIG, 0, CPU)
    episode = trial(method).ticks[0]
    found = method.adapt(method.prior(N), episode)
    assert torch.equal(found.theta, plain.adapt(plain.prior(N), episode).theta)
