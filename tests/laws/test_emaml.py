"""Laws of E-MAML: the gradient is exact, how the meta-learned parameters choose the data included.

On a bandit the exact gradient is that along the sampled paths: actions are functions of the
parameters and of fixed noise, also those that the step is taken on.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from test_maml import (
    CPU,
    E,
    N,
    gradient,
    in_double_precision,
    likelihood,
    trial,
)
from tiny import Tiny
from torch import Tensor

from adaptation.problem import problem_of
from policies.method import Transition, stack
from policies.methods.emaml import Emaml, EmamlConfig
from policies.methods.maml import Maml, MamlBelief, OuterBatch

CONFIG = EmamlConfig(hidden=(5,), inner_lr=0.3)


def emaml(**changes: Any) -> Emaml:
    return Emaml(problem_of(Tiny()), replace(CONFIG, **changes), 0, CPU)


def world_loss(method: Emaml, batch: OuterBatch, theta: Tensor, rates: Tensor, i: int) -> Tensor:
    """Clipped surrogate after each step minus clipped credit before it, of world i, by hand."""
    c = method.config
    returns = (batch.ticks.reward * batch.ticks.valid).sum(1)

    def inner(theta: Tensor, obs: Tensor, action: Tensor, gain: Tensor) -> Tensor:
        return (likelihood(theta, obs, action) * gain).mean()

    def clipped(theta: Tensor, e: int, advantage: Tensor) -> Tensor:
        episode = batch.ticks[e]
        log_prob = likelihood(theta, episode.obs[:, i], episode.action[:, i])
        ratio = (log_prob - batch.log_prob[e, :, i]).exp()
        bounded = ratio.clamp(1 - c.clip_ratio, 1 + c.clip_ratio)
        return torch.minimum(ratio * advantage, bounded * advantage).mean()

    objective = torch.zeros((), dtype=torch.float64)
    for e in range(E - 1):
        later = returns[e + 1 :].sum(0)
        deviation = later - later.mean()
        standard = deviation[i] / (deviation.square().mean().sqrt() + 1e-4)
        objective = objective + c.credit_weight * clipped(theta, e, standard)

        before = batch.ticks[e]
        gain = method.advantages(before, c.inner_gamma, c.inner_gae_lambda)[:, i]
        data = (before.obs[:, i], before.action[:, i], gain)
        theta = theta + rates * torch.func.grad(inner)(theta, *data)
        objective = objective + clipped(theta, e + 1, batch.advantage[e + 1, :, i])
    return -objective


@pytest.mark.parametrize("credit_weight", [1.0, 0.2])
def test_loss_and_gradient_are_those_of_an_independent_implementation(
    credit_weight: float,
) -> None:
    method = emaml(clip_ratio=0.05, credit_weight=credit_weight)
    batch, learned = in_double_precision(method)
    found = gradient(method, batch)
    theta = learned["theta"].detach().requires_grad_()
    rates = learned["inner_lr"].detach().requires_grad_()
    losses = [world_loss(method, batch, theta, rates, i) for i in range(N)]
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(method.losses(batch)["outer"], expected, rtol=1e-9, atol=1e-12)
    gradients = torch.autograd.grad(expected, (theta, rates))
    for name, wanted in zip(("theta", "inner_lr"), gradients, strict=True):
        torch.testing.assert_close(found[name], wanted, rtol=1e-8, atol=1e-11)


GOAL = 0.3
STD = 0.1
PULLS = 2  # in an episode: what is pulled decides much about the step
WORLDS = 200_000
RATE = 0.03  # step size; small, so that hardly an action is clipped


def centered(episode: Transition, gamma: float, gae_lambda: float) -> Tensor:
    """Advantages of a bandit over a constant."""
    return episode.reward + STD**2


def summed(ticks: Transition) -> Tensor:
    """Later returns of a trial of two episodes, over a constant."""
    returns = ticks.reward[1:].sum(1)
    return returns - returns.mean()


def bandit(kind: type[Maml], monkeypatch: pytest.MonkeyPatch) -> Maml:
    """A policy of two pulls under one observation, which is 1, with a constant as baseline."""
    problem = replace(
        problem_of(Tiny()),
        obs_names=("one",),
        obs_low=(0.0,),
        obs_high=(1.0,),
        action_names=("arm",),
    )
    config = EmamlConfig(hidden=(), inner_lr=RATE, inner_gamma=0.0)
    method = kind(problem, config, 0, CPU)
    method.net.double()
    theta = [0.0, 0.0, math.log(STD)]
    method.net["theta"].data = torch.tensor(theta, dtype=torch.float64)
    monkeypatch.setattr(method, "advantages", centered)
    return method


def pull(noise: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Actions (PULLS, n) of policies (n, 3) under the observation 1, and their rewards."""
    action = theta[:, 0] + theta[:, 1] + theta[:, 2].exp() * noise
    return action, -(action - GOAL).square()


def episode_of(action: Tensor, reward: Tensor, like: Transition) -> Transition:
    no = torch.zeros(action.shape, dtype=torch.bool)
    ones = torch.ones_like(action)[..., None]
    return replace(
        like,
        obs=ones,
        action=action[..., None],
        applied=action[..., None],
        next_obs=ones,
        reward=reward,
        terminated=no,
        truncated=no,
        first=no,
        begins=no,
        valid=~no,
    )


def step_by_hand(theta: Tensor, rates: Tensor, noise: Tensor) -> Tensor:
    """θ' (n, 3) = θ + α · mean of (∇ log π · advantage), as a function of θ and fixed noise."""
    action, reward = pull(noise, theta)
    advantage = reward + STD**2
    std = theta[:, 2].exp()
    score = (action - theta[:, 0] - theta[:, 1]) / std
    by_mean = (score / std * advantage).mean(0)
    by_log_std = ((score.square() - 1) * advantage).mean(0)
    return theta + rates * torch.stack([by_mean, by_mean, by_log_std], -1)


def test_the_meta_gradient_of_a_bandit_is_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    method = bandit(Emaml, monkeypatch)
    monkeypatch.setattr(method, "later_returns", summed)
    g = torch.Generator().manual_seed(0)
    noise, later_noise = torch.randn(2, PULLS, WORLDS, generator=g, dtype=torch.float64)
    learned = method.net["theta"].detach().requires_grad_()
    rates = torch.full_like(learned, RATE).detach().requires_grad_()
    stepped = step_by_hand(learned.expand(WORLDS, -1), rates, noise)
    _, reward = pull(later_noise, stepped)
    exact = torch.autograd.grad(-reward.mean(), (learned, rates))

    like = trial(emaml(), 1).ticks[0]
    before = episode_of(*pull(noise, learned.detach().expand(WORLDS, -1)), like)
    after = episode_of(*pull(later_noise, stepped.detach()), like)
    taken = method.adapt(MamlBelief(learned.detach().expand(WORLDS, -1)), before)
    torch.testing.assert_close(taken.theta, stepped.detach())
    batch = method.prepare(stack([before, after]))
    found = gradient(method, batch)
    for name, expected in zip(("theta", "inner_lr"), exact, strict=True):
        torch.testing.assert_close(found[name], expected, rtol=0, atol=0.005)

    without = bandit(Maml, monkeypatch)
    biased = gradient(without, without.prepare(batch.ticks))
    assert (biased["theta"] - exact[0]).abs().max() > 0.05


def test_later_returns_are_those_of_the_episodes_after_a_step() -> None:
    method = emaml()
    ticks = trial(method).ticks
    valid = ticks.valid.clone()
    valid[1, 9:, 0] = False
    ticks = replace(ticks, valid=valid, reward=ticks.reward.where(valid, 1e6))
    found = method.later_returns(ticks)
    sums = []
    for e in range(E - 1):
        worlds = []
        for i in range(N):
            rewards = [ticks.reward[k, :, i][valid[k, :, i]].sum() for k in range(e + 1, E)]
            worlds.append(float(sum(rewards)))
        sums.append(worlds)
    sums = np.array(sums)
    expected = (sums - sums.mean(1, keepdims=True)) / sums.std(1, keepdims=True)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)


def test_the_step_that_is_taken_is_that_of_maml() -> None:
    method = emaml()
    plain = Maml(method.problem, CONFIG, 0, CPU)
    episode = trial(method).ticks[0]
    found = method.adapt(method.prior(N), episode).theta
    torch.testing.assert_close(found, plain.adapt(plain.prior(N), episode).theta)


def test_without_credit_only_the_derivative_of_the_step_differs_from_maml() -> None:
    method = emaml(credit_weight=0.0)
    plain = Maml(method.problem, CONFIG, 0, CPU)
    batch = method.prepare(trial(method).ticks[:2])
    found = gradient(method, batch)
    other = gradient(plain, plain.prepare(batch.ticks))
    torch.testing.assert_close(found["inner_lr"], other["inner_lr"])
    assert not torch.allclose(found["theta"], other["theta"], rtol=1e-2)
