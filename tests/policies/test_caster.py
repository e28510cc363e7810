"""Laws of CASTER: what trains its encoders and what must not, its likelihood, what it acts on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from adaptation.problem import problem_of
from adaptation.rollout import rollout
from policies.belief import map_tensors
from policies.method import Transition, TrialBatch
from policies.methods.caster import MIN_NOISE, Caster, CasterConfig
from policies.methods.pearl import PearlBelief
from policies.models.posterior import Posterior
from policies.rl.sac import SacConfig
from sim.families.point import Point
from sim.vec_world import VecWorld

CPU = torch.device("cpu")
N, L = 4, 3
FAMILY = Point()
OBS = len(FAMILY.obs)
SAC = SacConfig(hidden=(16, 16), meta_batch=8, batch_per_task=4, gradient_steps=2, buffer_tasks=16)
CONFIG = CasterConfig(sac=SAC, latent_dim=L, state_dim=6, state_hidden=(16,), decoder_hidden=(16,))


def collected(method: Caster, seed: int = 0) -> TrialBatch:
    task = FAMILY.sample(np.random.default_rng(seed), N)
    return rollout(VecWorld(FAMILY, n=N, seed=seed), method, task, 2)


def trained(**changes: Any) -> Caster:
    """With a trial in the replay, and statistics of it."""
    method = Caster(problem_of(FAMILY), replace(CONFIG, **changes), 0, CPU)
    method.learn(collected(method))
    return method


@pytest.fixture
def method() -> Caster:
    return trained()


def is_trained(loss: Tensor, part: nn.Module | nn.Parameter) -> bool:
    """Whether a loss has a gradient for every parameter of a part; fails if for some only."""
    parameters = [part] if isinstance(part, nn.Parameter) else list(part.parameters())
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    has_gradient = {g is not None and bool(g.any()) for g in found}
    assert len(has_gradient) == 1
    return has_gradient.pop()


@pytest.mark.parametrize("critic_trains", [False, True])
def test_each_loss_trains_its_own_parts(critic_trains: bool) -> None:
    method = trained(critic_trains_encoders=critic_trains)
    losses = method.losses()
    parts = {
        "contexts": method.encoder.net,
        "states": method.encoder.state_net,
        "decoder": method.encoder.decoder,
        "noise": method.encoder.log_noise,
        "actor": method.sac.actor,
        "critics": method.sac.critic,
    }
    found = {
        name: {part for part, network in parts.items() if is_trained(loss, network)}
        for name, loss in losses.items()
        if name != "temperature"
    }
    assert found == {
        "outcome": {"contexts", "states", "decoder", "noise"},
        "kl": {"contexts"},
        "critic": {"critics", "contexts", "states"} if critic_trains else {"critics"},
        "actor": {"actor"},
    }
    assert not any(is_trained(losses["temperature"], part) for part in parts.values())


def test_the_likelihood_is_that_of_gaussians(method: Caster) -> None:
    g = torch.Generator().manual_seed(1)
    encoder = method.encoder
    state, applied, outcome = (torch.randn(9, k, generator=g) for k in (6, 2, 1 + OBS))
    with torch.no_grad():
        encoder.log_noise.copy_(torch.linspace(-2.0, 1.0, 1 + OBS))
        encoder.log_noise[0] = -20.0  # less than the smallest noise
        found = encoder.nll(state, applied, outcome)
        mean = encoder.decoder(torch.cat([state, applied], -1))
        std = encoder.log_noise.exp()
    std[0] = MIN_NOISE
    log_prob = Normal(mean, std).log_prob(outcome).sum(-1)
    constant = 0.5 * (1 + OBS) * np.log(2 * np.pi)
    torch.testing.assert_close(found, -log_prob - constant, rtol=1e-4, atol=1e-4)


def test_reward_and_change_are_predicted_from_the_state_and_the_action_that_passed(
    method: Caster, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Tensor, Tensor, Tensor]] = []

    def note(state: Tensor, applied: Tensor, outcome: Tensor) -> Tensor:
        given.append((state, applied, outcome))
        return outcome.sum(-1)

    monkeypatch.setattr(method.encoder, "nll", note)
    batch = collected(method, 1).ticks.flatten(0, 2)
    batch = replace(batch, applied=0.5 * batch.action)
    z = torch.randn(len(batch.reward), L, generator=torch.Generator().manual_seed(0))
    method.losses_given_z(batch, z)
    ((state, applied, outcome),) = given
    norm = method.context_norm
    what_follows = torch.cat([batch.reward[:, None], batch.next_obs - batch.obs], -1)
    columns = slice(OBS + 2, None)
    expected = (what_follows - norm.mean[columns]) * norm.inv_std[columns]
    torch.testing.assert_close(outcome, expected.clamp(-10, 10))
    assert torch.equal(applied, batch.applied)
    inputs = torch.cat([method.obs_norm(batch.obs), z], -1)
    torch.testing.assert_close(state, method.encoder.state_net(inputs))


def test_the_kl_is_that_of_torch(method: Caster, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Posterior] = []
    posterior = method.posterior

    def note(ticks: Transition, mask: Tensor) -> Posterior:
        found.append(posterior(ticks, mask))
        return found[-1]

    monkeypatch.setattr(method, "posterior", note)
    loss = method.losses()["kl"]
    (p,) = found
    standard = MultivariateNormal(torch.zeros(L), torch.eye(L))
    belief = MultivariateNormal(p.mean, precision_matrix=p.precision)
    expected = CONFIG.kl_weight * kl_divergence(belief, standard).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def observed(method: Caster, ticks: list[Transition]) -> PearlBelief:
    belief = method.prior(len(ticks[0].reward))
    for tick in ticks:
        belief = method.observe(belief, tick)
    return belief


def ticks_of(trial: TrialBatch) -> list[Transition]:
    sequence = trial.ticks.flatten(0, 1)
    return [sequence[t] for t in range(len(sequence.reward))]


def test_a_belief_is_the_prior_before_data_and_does_not_depend_on_their_order(
    method: Caster,
) -> None:
    empty = method.prior(N).posterior
    assert torch.equal(empty.mean, torch.zeros(N, L))
    assert torch.equal(empty.precision, torch.eye(L).expand(N, L, L))
    ticks = ticks_of(collected(method, 1))
    forth = observed(method, ticks).posterior
    back = observed(method, ticks[::-1]).posterior
    assert (forth.mean.abs() > 1e-3).any(-1).all()
    torch.testing.assert_close(forth.mean, back.mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(forth.precision, back.precision, atol=1e-4, rtol=1e-4)


def test_worlds_act_and_learn_of_their_task_alone_as_together(method: Caster) -> None:
    ticks = ticks_of(collected(method, 1))
    obs = ticks[-1].next_obs
    together = method.act(obs, observed(method, ticks), False)
    for world in range(N):

        def only(x: Tensor, world: int = world) -> Tensor:
            return x[world : world + 1]

        belief = observed(method, [map_tensors(only, tick) for tick in ticks])
        alone = method.act(only(obs), belief, False)
        torch.testing.assert_close(alone, only(together), atol=1e-5, rtol=1e-4)


def test_the_averaged_encoder_gives_the_state_that_is_acted_on(method: Caster) -> None:
    obs = collected(method, 1).ticks.obs[0, 3]
    belief = observed(method, ticks_of(collected(method, 1)))
    inputs = torch.cat([method.obs_norm(obs), belief.posterior.mean], -1)
    state = method.ema_encoder.state_net(inputs)
    torch.testing.assert_close(method.act(obs, belief, False), method.sac.act(state, None))
    before = method.ema_encoder.state_net.flat.clone()
    method.step()
    now = method.encoder.state_net.flat
    after = method.ema_encoder.state_net.flat
    torch.testing.assert_close(after, before + SAC.ema_rate * (now - before), rtol=1e-5, atol=1e-8)
