"""Laws of MAML: the meta-gradient is the derivative of what it says, and each task's step is its own."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from tiny import Tiny

from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from adaptation.runs.checkpoint import problem_of
from policies.method import TrialBatch
from policies.methods.maml import Maml, MamlBelief, MamlConfig, PpoBatch, baseline
from policies.rl import ppo
from robots.world import Task
from sim.vec_world import VecWorld

N, E = 3, 3
CONFIG = MamlConfig(hidden=(5,), inner_lr=0.3)


def maml(**numbers: Any) -> Maml:
    return Maml(problem_of(Tiny()), replace(CONFIG, **numbers), seed=0)


def trial(method: Maml, n: int = N) -> TrialBatch:
    """Lived through on ``point``."""
    family = checkpoint.family_named("point")
    task: Task = family.sample(np.random.default_rng(0), n)
    return rollout(VecWorld(family, n=n, seed=0), method, task, E)


def exact(method: Maml) -> tuple[PpoBatch, dict[str, torch.Tensor]]:
    """The method and a lesson in double precision, and what is meta-learnt; not at the point where it acted."""
    lived = trial(method).ticks
    method.net.double()
    lesson = method.prepare(lived.map(lambda x: x.double() if x.is_floating_point() else x))
    g = torch.Generator().manual_seed(1)
    for parameter in method.net.values():
        parameter.data += 0.01 * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
    return lesson, dict(method.net.items())


def gradient(method: Maml, lesson: PpoBatch) -> dict[str, torch.Tensor]:
    method.net.zero_grad()
    method.losses(lesson)["outer"].backward()
    return {name: parameter.grad.clone() for name, parameter in method.net.items()}


def slope(f: Any, parameter: torch.Tensor, direction: torch.Tensor, h: float = 1e-6) -> float:
    values = []
    for sign in (1, -1):
        parameter.data += sign * h * direction
        values.append(f().item())
        parameter.data -= sign * h * direction
    return (values[0] - values[1]) / (2 * h)


@pytest.mark.parametrize("name", ["theta", "rate"])
def test_the_second_order_gradient_is_that_of_finite_differences(name: str) -> None:
    method = maml(order=2)
    lesson, learnt = exact(method)
    found = gradient(method, lesson)[name]
    g = torch.Generator().manual_seed(2)
    for _ in range(5):
        direction = torch.randn(found.shape, generator=g, dtype=torch.float64)
        assert slope(
            lambda: method.losses(lesson)["outer"], learnt[name], direction
        ) == pytest.approx(float(found @ direction), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", ["theta", "rate"])
def test_the_first_order_gradient_is_that_with_the_steps_gradients_held_fixed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finite differences of the same objective whose inner gradients are constants, and so no second derivative."""
    method = maml(order=1)
    lesson, learnt = exact(method)
    found = gradient(method, lesson)[name]
    held = inner_gradients(method, lesson)
    replay = iter(())

    def fixed(theta: torch.Tensor, episode: Any) -> torch.Tensor:
        return theta + method.net["rate"] * next(replay)

    monkeypatch.setattr(method, "inner", fixed)

    def objective() -> torch.Tensor:
        nonlocal replay
        replay = iter(held)
        return method.losses(lesson)["outer"]

    g = torch.Generator().manual_seed(2)
    for _ in range(5):
        direction = torch.randn(found.shape, generator=g, dtype=torch.float64)
        expected = slope(objective, learnt[name], direction)
        assert float(found @ direction) == pytest.approx(expected, rel=1e-5, abs=1e-8)


def inner_gradients(method: Maml, lesson: PpoBatch) -> list[torch.Tensor]:
    thetas = [
        method.net["theta"].expand(N, -1),
        *(theta for theta, _ in method.thetas(lesson.ticks)),
    ]
    return [((b - a) / method.net["rate"]).detach() for a, b in pairwise(thetas)]


def test_first_order_is_second_order_with_the_steps_gradient_detached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = maml(order=1), maml(order=2)
    lesson, _ = exact(first)
    exact(second)
    full, cut = gradient(second, lesson), gradient(first, lesson)
    assert first.losses(lesson)["outer"].item() == second.losses(lesson)["outer"].item()
    assert not torch.allclose(full["theta"], cut["theta"], rtol=1e-2)
    inner = second.inner

    def detached(theta: torch.Tensor, episode: Any) -> torch.Tensor:
        rate = second.net["rate"]
        return theta + rate * ((inner(theta, episode) - theta) / rate).detach()

    monkeypatch.setattr(second, "inner", detached)
    again = gradient(second, lesson)
    assert all(torch.allclose(again[name], cut[name], rtol=1e-8, atol=1e-12) for name in cut)


def test_the_steps_that_are_learnt_through_are_those_that_were_taken() -> None:
    method = maml()
    method.learn(trial(method))  # what normalises has moved
    ticks = trial(method).ticks
    belief = method.prior(N)
    for e, (theta, after) in enumerate(method.thetas(ticks)):
        belief = method.adapt(belief, ticks.map(lambda x, e=e: x[e]))
        assert torch.allclose(theta, belief.theta, atol=1e-5)
        assert torch.equal(after.obs, ticks.obs[e + 1])
    assert method.losses(method.prepare(ticks))["kl"] < 1e-8


def test_a_task_steps_alone_as_it_does_among_others() -> None:
    method = maml()
    episode = trial(method).ticks.map(lambda x: x[0])
    together = method.adapt(method.prior(N), episode).theta
    for i in range(N):
        alone = method.adapt(method.prior(1), episode.map(lambda x, i=i: x[:, i : i + 1])).theta
        assert torch.allclose(alone[0], together[i], atol=1e-6)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_a_step_is_a_step_up_the_likelihood_of_what_went_well() -> None:
    method = maml()
    episode = trial(method).ticks.map(lambda x: x[0])
    advantage = method.advantages(episode, CONFIG.inner_gamma, CONFIG.inner_gae_lambda)
    assert advantage.mean(0).abs().max() < 1e-5

    def gain(belief: MamlBelief) -> torch.Tensor:
        log_prob = ppo.log_prob(
            *method.policy(belief.theta, method.obs(episode.obs)), episode.action
        )
        return (log_prob * advantage).mean(0)

    method.net["rate"].data.fill_(0.01)
    prior = method.prior(N)
    assert (gain(method.adapt(prior, episode)) > gain(prior)).all()


def test_an_episode_without_exploration_or_without_a_tick_changes_nothing() -> None:
    method = maml()
    episode = trial(method).ticks.map(lambda x: x[0])
    prior = method.prior(N)
    calm = torch.stack([method.act(obs, prior, explore=False) for obs in episode.obs])
    assert torch.equal(method.adapt(prior, replace(episode, action=calm)).theta, prior.theta)
    lost = replace(episode, valid=torch.zeros_like(episode.valid))
    assert torch.equal(method.adapt(prior, lost).theta, prior.theta)
    assert not torch.equal(method.adapt(prior, episode).theta, prior.theta)


def test_ticks_that_do_not_count_do_not_count() -> None:
    method = maml()
    episode = trial(method).ticks.map(lambda x: x[0])
    valid = episode.valid.clone()
    valid[12:] = False
    some = replace(episode, valid=valid)
    spoilt = replace(
        some,
        reward=torch.where(valid, some.reward, 99.0),
        action=torch.where(valid[..., None], some.action, 0.5),
    )
    prior = method.prior(N)
    assert torch.allclose(
        method.adapt(prior, some).theta, method.adapt(prior, spoilt).theta, atol=1e-6
    )
    assert not torch.allclose(
        method.adapt(prior, some).theta, method.adapt(prior, episode).theta, atol=1e-3
    )


def test_what_is_linear_in_features_is_foreseen() -> None:
    g = torch.Generator().manual_seed(0)
    obs = torch.randn(20, N, 2, dtype=torch.float64, generator=g)
    t = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]
    returns = 3 + obs[..., 0] - 2 * obs[..., 1] ** 2 + t**3
    valid = torch.ones(20, N, dtype=torch.bool)
    valid[15:, 0] = False
    assert torch.allclose(baseline(obs, returns, valid, 1e-9), returns, atol=1e-5)


def test_a_trial_of_one_episode_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 episodes, got 1"):
        maml(schedule=replace(CONFIG.schedule, episodes_per_trial=1))


def test_steps_and_the_start_are_learnt_until_a_step_helps() -> None:
    """A few lessons on ``point``: the second step's return lies well above the first episode's, by the steps alone."""
    family = checkpoint.family_named("point")
    method = checkpoint.build("maml", family, seed=0)
    world = VecWorld(family, n=128, seed=0)
    rng = np.random.default_rng(0)
    for _ in range(12):
        method.learn(rollout(world, method, family.sample(rng, 128), E))
    heldout = family.sample(rng, 128, "heldout")
    adapted, frozen = (
        rollout(world, m, heldout, E).returns.mean(1) for m in (method, NoAdaptation(method))
    )
    assert adapted[2] > frozen[2] + 3
