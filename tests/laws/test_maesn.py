"""Laws of MAESN: one z acts for an episode, and the belief about it steps by its two gradients.

The independent formulas take one world after the other, by torch.func and torch.distributions.
"""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from noisy import BeliefRecorder
from test_maml import CPU, E, N, double, gradient, likelihood, trial
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from adaptation.no_adaptation import NoAdaptation
from adaptation.problem import problem_of
from adaptation.runs import checkpoint
from policies.belief import map_tensors
from policies.method import DrawsNoise, TrialBatch, with_training_reward
from policies.methods.maesn import Maesn, MaesnBelief, MaesnConfig
from policies.methods.maml import MamlBelief, OuterBatch
from policies.models.own_beliefs import with_noise

PROBLEM = problem_of(checkpoint.family_named("point"))
LATENT = 2
CONFIG = MaesnConfig(hidden=(5,), latent_dim=LATENT, latent_lr=0.4, score_lr=0.05, inner_lr=0.3)
RETURN_MEAN = -24.0  # of episodes in training, and its deviation
RETURN_STD = 6.0
WIDTHS = [20, 5, 10, 2, 2]  # of the pieces of a policy with 2 + 2 inputs, 5 units and 2 actions


def maesn(**changes: Any) -> Maesn:
    method = Maesn(PROBLEM, replace(CONFIG, **changes), 0, CPU)
    earlier = [[RETURN_MEAN - RETURN_STD], [RETURN_MEAN + RETURN_STD]]
    method.return_norm.update(torch.tensor(earlier))
    return method


class NoiseRecorder(BeliefRecorder, DrawsNoise[MaesnBelief]):
    """Keeps the beliefs of a collector."""

    privileged = True

    def episode_noise(self, belief: MaesnBelief) -> Tensor:
        return self.method.episode_noise(belief)


def recorded(method: Maesn) -> tuple[TrialBatch, list[MaesnBelief]]:
    """A training trial on ``point``, and the belief that was acted under at every tick."""
    recorder: Any = NoiseRecorder(method.collector)
    return trial(recorder), recorder.beliefs


def moved(**changes: Any) -> tuple[Maesn, OuterBatch, dict[str, Tensor]]:
    """A method whose parameters have moved away from those that acted, in double precision."""
    method = maesn(**changes)
    ticks = trial(method)
    method.net.double()
    batch = method.outer_batch(map_tensors(double, ticks))
    g = torch.Generator().manual_seed(1)
    for parameter in method.net.parameters():
        noise = torch.randn(parameter.shape, generator=g, dtype=torch.float64)
        parameter.data += 0.01 * noise
    return method, batch, dict(method.net.items())


def likelihood_under(theta: Tensor, z: Tensor, obs: Tensor, action: Tensor) -> Tensor:
    """Log-likelihood (H,) of actions (H, a) of one policy that reads obs (H, 2) and z (2,)."""
    w1, *others = theta.split(WIDTHS)
    from_obs, from_z = w1.view(4, 5).split([2, 2])
    b1 = others[0] + z @ from_z  # a constant input is a bias
    return likelihood(torch.cat([from_obs.flatten(), b1, *others[1:]]), obs, action)


def drawn(mean: Tensor, log_std: Tensor, noise: Tensor) -> Tensor:
    return mean + log_std.exp() * noise


def by_actions(
    theta: Tensor, mean: Tensor, log_std: Tensor, noise: Tensor, data: tuple[Tensor, ...]
) -> Tensor:
    """The objective of g, of one world."""
    obs, action, old, gain = data
    log_prob = likelihood_under(theta, drawn(mean, log_std, noise), obs, action)
    return ((log_prob - old).exp() * gain).mean()


def by_return(mean: Tensor, log_std: Tensor, z: Tensor) -> Tensor:
    """What s is the gradient of, at a given z."""
    return Normal(mean, log_std.exp()).log_prob(z).sum()


def world_loss(
    method: Maesn, batch: OuterBatch, start: Tensor, learned: dict[str, Tensor], i: int
) -> Tensor:
    """Clipped surrogate after each step plus weighted KL of the first belief, of world i."""
    c = method.config
    theta = learned["theta"]
    alpha = learned["latent_lr"].split(LATENT)
    beta = learned["score_lr"].split(LATENT)
    zeros = torch.zeros(LATENT, dtype=torch.float64)
    prior = Normal(zeros, torch.ones_like(zeros))
    noise = batch.ticks.obs[:, 0, :, 2:]
    mean, log_std = start.split(LATENT)
    kl = kl_divergence(Normal(mean, log_std.exp()), prior).sum()
    loss = c.kl_weight * (E - 1) * kl
    for e in range(E - 1):
        before = batch.ticks[e]
        gain = method.advantages(before, c.inner_gamma, c.inner_gae_lambda)[:, i]
        data = (before.obs[:, i, :2], before.action[:, i], batch.log_prob[e, :, i], gain)
        g = torch.func.grad(by_actions, argnums=(0, 1, 2))(theta, mean, log_std, noise[e, i], data)
        z = drawn(mean, log_std, noise[e, i])
        s = torch.func.grad(by_return, argnums=(0, 1))(mean, log_std, z)
        surprise = (before.reward[:, i].sum() - RETURN_MEAN) / RETURN_STD
        mean = mean + alpha[0] * g[1] + beta[0] * surprise * s[0]
        log_std = log_std + alpha[1] * g[2] + beta[1] * surprise * s[1]
        if c.adapt_policy:
            theta = theta + learned["inner_lr"] * g[0]

        after = batch.ticks[e + 1]
        z = drawn(mean, log_std, noise[e + 1, i])
        log_prob = likelihood_under(theta, z, after.obs[:, i, :2], after.action[:, i])
        ratio = (log_prob - batch.log_prob[e + 1, :, i]).exp()
        clipped = ratio.clamp(1 - c.clip_ratio, 1 + c.clip_ratio)
        advantage = batch.advantage[e + 1, :, i]
        loss = loss - torch.minimum(ratio * advantage, clipped * advantage).mean()
    return loss


def own_belief(weights: dict[str, Tensor], task: Tensor) -> Tensor:
    """μ and log σ of one task (2,) by hand."""
    low = torch.tensor(PROBLEM.task_low)
    high = torch.tensor(PROBLEM.task_high)
    scaled = 2 * (task - low) / (high - low) - 1
    hidden = torch.relu(weights["network.0.weight"] @ scaled + weights["network.0.bias"])
    return weights["network.2.weight"] @ hidden + weights["network.2.bias"]


@pytest.mark.parametrize("adapt_policy", [False, True])
def test_loss_and_gradient_are_those_of_an_independent_implementation(adapt_policy: bool) -> None:
    """Two of three tasks begin at beliefs of their own."""
    method, batch, learned = moved(adapt_policy=adapt_policy, kl_weight=0.7, own_share=0.67)
    found = gradient(method, batch)
    own = dict(method.own_beliefs.named_parameters())
    variables = [*learned.values(), *own.values()]
    assert batch.task is not None
    starts = [own_belief(own, task) for task in batch.task[:2]]
    starts.append(torch.zeros(2 * LATENT, dtype=torch.float64))
    losses = [world_loss(method, batch, starts[i], learned, i) for i in range(N)]
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(method.losses(batch)["outer"], expected, rtol=1e-6, atol=1e-8)
    gradients = torch.autograd.grad(expected, variables)
    for variable, wanted in zip(variables, gradients, strict=True):
        torch.testing.assert_close(variable.grad, wanted, rtol=1e-5, atol=1e-8)
    assert set(found) == set(learned)


def test_the_steps_that_are_learned_through_are_those_that_were_taken() -> None:
    """From the recorded noise, after the normalizers have moved."""
    method = maesn()
    method.learn(trial(method))
    method.learn(recorded(method)[0])
    recording, beliefs = recorded(method)
    batch = method.outer_batch(recording)
    horizon = len(recording.ticks.reward[0])
    for e, theta in enumerate(method.episode_parameters(batch)):
        torch.testing.assert_close(theta, beliefs[e * horizon].theta, rtol=0, atol=1e-4)
    assert method.losses(batch)["kl"] < 1e-7


def test_z_is_constant_within_an_episode_and_drawn_again_for_the_next() -> None:
    method = maesn()
    recording, beliefs = recorded(method)
    assert recording.noise is not None
    assert recording.noise.shape == (E, N, LATENT)
    episodes = torch.stack([belief.noise for belief in beliefs]).view(E, -1, N, LATENT)
    for e in range(E):
        assert (episodes[e] == recording.noise[e]).all()
    draws = recording.noise.flatten()
    assert len(draws.unique()) == len(draws)


def test_the_actions_of_an_episode_are_those_of_its_recorded_noise() -> None:
    """But for their own noise, which is as small as it can be: 0.05."""
    method = maesn()
    method.net["theta"].data[-2:] = -20.0
    recording, _ = recorded(method)
    batch = method.outer_batch(recording)
    for e, theta in enumerate(batch.theta):
        mean, _ = method.distribution(theta, batch.ticks[e])
        deviation = recording.ticks.action[e] - mean.clamp(-1, 1)
        assert deviation.abs().max() < 0.25


def test_before_any_data_the_belief_is_the_prior_also_after_learning() -> None:
    method = maesn()
    method.learn(trial(method))
    belief = method.prior(N)
    _, mean, log_std = method.parts(belief.theta)
    assert (mean == 0).all()
    assert (log_std == 0).all()
    assert (method.latent(belief.theta, belief.noise) == belief.noise).all()
    assert (method.prior_kl(belief.theta) == 0).all()


def test_z_of_many_tasks_has_the_mean_and_deviation_of_the_belief() -> None:
    method = maesn()
    n = 20_000
    theta = method.start(n).detach().clone()
    theta[:, -4:] = torch.tensor([0.5, -2.0, math.log(0.3), math.log(2.0)])
    belief = method.draw(MamlBelief(theta))
    z = method.latent(belief.theta, belief.noise)
    torch.testing.assert_close(z.mean(0), torch.tensor([0.5, -2.0]), rtol=0, atol=0.06)
    torch.testing.assert_close(z.std(0), torch.tensor([0.3, 2.0]), rtol=0.03, atol=0)


def test_the_kl_is_that_of_the_first_beliefs_alone() -> None:
    method = maesn()
    thetas = [method.start(N).detach().clone() for _ in range(E)]
    g = torch.Generator().manual_seed(3)
    for theta in thetas:
        theta[:, -4:] = torch.randn(N, 4, generator=g)
    mean, log_std = thetas[0][:, -4:].split(LATENT, -1)
    prior = Normal(torch.zeros(LATENT), torch.ones(LATENT))
    expected = kl_divergence(Normal(mean, log_std.exp()), prior).sum(-1).mean()
    batch = method.outer_batch(trial(method))
    found = method.outer_losses(batch, thetas)["belief_kl"]
    torch.testing.assert_close(found, expected)


def test_a_share_of_the_training_tasks_begins_at_beliefs_of_their_own() -> None:
    method = maesn(own_share=0.67)
    for parameter in method.own_beliefs.parameters():
        parameter.data += 0.1
    task = torch.tensor([[0.5, -0.5], [-0.9, 0.1], [0.2, 0.2]])
    belief = method.collector.prior(N, task)
    own = belief.theta[:, -2 * LATENT :]
    torch.testing.assert_close(own[:2], method.own_beliefs(task[:2]))
    assert (own[0] != own[1]).all()
    assert (own[2] == 0).all()
    in_use = method.prior(N, task).theta[:, -2 * LATENT :]
    assert (in_use == 0).all()
    assert method.collector.privileged
    assert not method.privileged


def test_exploration_depends_on_z_and_what_is_judged_does_not() -> None:
    method = maesn()
    obs = torch.zeros(N, 2)
    first = method.prior(N)
    second = method.draw(first)
    assert torch.equal(method.act(obs, first, False), method.act(obs, second, False))
    method.net["theta"].data[-2:] = -20.0  # the actions' own noise is as small as it can be
    difference = method.act(obs, first, True) - method.act(obs, second, True)
    assert difference.abs().max() > 0.2


@pytest.mark.parametrize("adapt_policy", [False, True])
def test_a_step_changes_the_policy_only_if_it_is_to(adapt_policy: bool) -> None:
    method = maesn(adapt_policy=adapt_policy)
    prior = method.prior(N)
    adapted = method.adapt(prior, trial(method).ticks[0])
    before, _, _ = method.parts(prior.theta)
    after, _, _ = method.parts(adapted.theta)
    assert torch.equal(before, after) is not adapt_policy
    assert not torch.equal(prior.theta, adapted.theta)


def test_an_episode_without_exploration_or_without_a_tick_changes_no_belief() -> None:
    method = maesn()
    prior = method.prior(N)
    recording = trial(method)
    assert recording.noise is not None
    prior = replace(prior, noise=recording.noise[0])
    episode = recording.ticks[0]
    means = torch.stack([method.act(obs, prior, explore=False) for obs in episode.obs])
    calm = replace(episode, action=means)
    invalid = replace(episode, valid=torch.zeros_like(episode.valid))
    for nothing_new in (calm, invalid):
        after = method.adapt(prior, nothing_new)
        assert torch.equal(after.theta, prior.theta)
        assert not torch.equal(after.noise, prior.noise)
    assert not torch.equal(method.adapt(prior, episode).theta, prior.theta)


def test_before_any_training_no_return_is_better_than_usual() -> None:
    method = Maesn(PROBLEM, CONFIG, 0, CPU)
    recording = trial(method)
    assert recording.noise is not None
    noisy = with_noise(recording.ticks[0], recording.noise[0])
    assert (method.score(method.start(N), noisy) == 0).all()


def test_the_steps_read_the_true_reward_and_the_outer_objective_that_of_training() -> None:
    """With a training reward, and without one, on the same trial."""

    def dense(obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        return -next_obs[..., 0].abs()

    plain = maesn()
    shaped = Maesn(replace(plain.problem, training_reward=dense), CONFIG, 0, CPU)
    shaped.load_state_dict(plain.state_dict())
    recording = trial(plain)
    batch = shaped.outer_batch(recording)
    usual = plain.outer_batch(recording)
    assert torch.equal(batch.theta, usual.theta)
    assert torch.equal(batch.ticks.reward, recording.ticks.reward)
    ticks = with_training_reward(shaped.problem, recording.ticks, recording.task)
    c = CONFIG
    expected = [plain.advantages(ticks[e], c.gamma, c.gae_lambda) for e in range(E)]
    torch.testing.assert_close(batch.advantage, torch.stack(expected))
    assert not torch.allclose(batch.advantage, usual.advantage, atol=0.1)


GOAL = 0.4
WORLDS = 400_000
STD = 0.1  # of the actions


def test_both_gradients_are_those_of_the_expected_return(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a bandit whose action is 0.3 z and noise, and whose reward is -(action - GOAL)²."""
    bandit = replace(
        PROBLEM,
        obs_names=("one",),
        obs_low=(0.0,),
        obs_high=(1.0,),
        action_names=("arm",),
    )
    config = replace(CONFIG, hidden=(), latent_dim=1, inner_gamma=0.0)
    method = Maesn(bandit, config, 0, CPU)
    method.net["theta"].data = torch.tensor([0.0, 0.3, 0.0, math.log(STD)])
    belief = [0.2, math.log(0.5)]
    theta = torch.cat([method.net["theta"].detach(), torch.tensor(belief)]).expand(WORLDS, -1)
    acting = method.draw(MamlBelief(theta))
    like = map_tensors(lambda x: x[:1, :1].expand(1, WORLDS, *x.shape[2:]), trial(maesn()).ticks[0])
    ones = torch.ones(1, WORLDS, 1)
    action = method.act(ones[0], acting, explore=True)
    reward = -(action[:, 0] - GOAL).square()[None]
    episode = replace(like, obs=ones, action=action[None], reward=reward)
    noisy = with_noise(episode, acting.noise)

    monkeypatch.setattr(method, "advantages", lambda episode, *_: episode.reward)
    variable = theta.clone().requires_grad_()
    log_prob = method.log_prob(variable, noisy).detach()
    by_action = method.inner_gradient(variable, noisy, log_prob)[:, -2:].mean(0)
    method.return_norm.update(torch.tensor([[-1.0], [1.0]]))  # of mean 0 and deviation 1
    by_draw = method.score(variable, noisy).mean(0)

    mean, log_std = torch.tensor(belief, requires_grad=True).split(1)
    spread = 0.09 * (2 * log_std).exp() + STD**2
    expected_return = -(0.3 * mean - GOAL).square() - spread
    exact = torch.autograd.grad(expected_return.sum(), (mean, log_std))
    wanted = torch.cat(exact)
    torch.testing.assert_close(by_action.detach(), wanted, rtol=0, atol=0.01)
    torch.testing.assert_close(by_draw.detach(), wanted, rtol=0, atol=0.01)


def test_without_adaptation_a_trial_has_no_noise_and_is_learned_as_acted_under_the_mean() -> None:
    method = maesn()
    recording = trial(NoAdaptation(method))  # type: ignore[arg-type]
    assert recording.noise is None
    batch = method.outer_batch(recording)
    assert (batch.ticks.obs[..., 2:] == 0).all()


def test_a_beliefs_deviation_is_bounded_whatever_a_step_does() -> None:
    method = maesn()
    theta = method.start(N).detach().clone()
    theta[:, -LATENT:] = torch.tensor([-50.0, 50.0])
    _, _, log_std = method.parts(theta)
    assert (log_std == torch.tensor([-3.0, 3.0])).all()
