"""Laws of VIABLE: a tick is a gradient step on the learned loss, and all is learned through it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from noisy import BeliefRecorder, NoisyScript
from tiny import Tiny
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from adaptation.problem import problem_of
from adaptation.rollout import rollout
from policies.belief import map_tensors
from policies.method import TrialBatch
from policies.methods.viable import Viable, ViableConfig
from policies.models.trial_vae import DiagonalGaussian
from policies.rl.ppo import PpoBatch

CPU = torch.device("cpu")
FAMILY = Tiny()
H = FAMILY.horizon
N = 4
E = 3
LATENT = 2
CONFIG = ViableConfig(
    latent_dim=LATENT,
    loss_units=6,
    hidden=8,
    decoder_hidden=(8,),
    elbo_terms=3,
    decoded_ticks=5,
)
RAGGED = {"terminated": {0: 1}, "truncated": {1: 2}, "diverged": {2: 0}}


def viable(**changes: Any) -> Viable:
    return Viable(problem_of(FAMILY), replace(CONFIG, **changes), 0, CPU)


def recorded(method: Viable, **ends: dict[int, int]) -> tuple[TrialBatch, list[Any]]:
    """A trial, and the belief that was acted under at every tick of it."""
    recorder: Any = BeliefRecorder(method)
    task = FAMILY.sample(np.random.default_rng(0), N)
    trial = rollout(NoisyScript(N, **ends), recorder, task, episodes=E)
    return trial, recorder.beliefs


def trained(**changes: Any) -> Viable:
    """A method that has learned once, so that its normalizers have moved."""
    method = viable(**changes)
    method.learn(recorded(method, **RAGGED)[0])
    return method


def in_double_precision(method: Viable) -> PpoBatch:
    """A ragged trial, prepared for PPO."""
    ticks = recorded(method, **RAGGED)[0].sequences()
    method.learner.net.double()
    return method.learner.prepare(map_tensors(double, ticks))


def double(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def total(method: Viable, batch: PpoBatch) -> Tensor:
    """What is minimized, with the same random numbers every time."""
    method.generator.manual_seed(7)
    return method.learner.total(method.learner.losses(batch))


def test_a_tick_is_a_gradient_step_on_the_loss() -> None:
    """One world after the other, by torch.func on the formula written out."""
    method = trained()
    trial, _ = recorded(method)
    tick = trial.ticks[0, 0]
    loss_net = method.vae.memory
    g = torch.Generator().manual_seed(0)
    b = torch.randn(N, 2 * LATENT, generator=g)
    embedded = method.vae._inputs(tick)
    layer = loss_net.coefficients[0]

    def loss(b: Tensor, x: Tensor) -> Tensor:
        v_and_e = layer.weight @ x + layer.bias
        v, e = v_and_e[:6], v_and_e[6:]
        slopes = torch.log(1 + torch.exp(v))
        return (slopes * torch.log(1 + torch.exp(loss_net.weight @ b + e))).sum()

    belief = replace(method.prior(N), b=b)
    after = method.observe(belief, tick).b
    for i in range(N):
        gradient = torch.func.grad(loss)(b[i], embedded[i])
        expected = b[i] - loss_net.log_step_sizes.exp() * gradient
        torch.testing.assert_close(after[i], expected)
        torch.testing.assert_close(loss_net.loss(embedded, b)[i], loss(b[i], embedded[i]))
    assert (after - b).abs().min() > 1e-5


def test_the_meta_gradient_is_that_of_finite_differences() -> None:
    """Through the steps of a whole trial, for PPO's loss and the ELBO together."""
    method = trained()
    batch = in_double_precision(method)
    method.learner.net.zero_grad()
    total(method, batch).backward()
    g = torch.Generator().manual_seed(2)
    for name in ("memory.weight", "memory.log_step_sizes", "memory.coefficients.0.weight"):
        parameter = method.vae.get_parameter(name)
        assert parameter.grad is not None
        direction = torch.randn(parameter.shape, generator=g, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            parameter.data += sign * 1e-6 * direction
            values.append(total(method, batch).item())
            parameter.data -= sign * 1e-6 * direction
        slope = (values[0] - values[1]) / 2e-6
        assert slope == pytest.approx(float((parameter.grad * direction).sum()), rel=1e-4, abs=1e-8)
        assert abs(slope) > 1e-6


@pytest.mark.parametrize("ends", [{}, RAGGED], ids=["whole", "ragged"])
def test_learning_uses_the_beliefs_that_were_acted_under(ends: dict[str, dict[int, int]]) -> None:
    method = trained()
    trial, beliefs = recorded(method, **ends)
    ticks = trial.sequences()
    encoded = method.vae.encode(ticks)
    acted = torch.stack([belief.b for belief in beliefs])
    batch = method.learner.prepare(ticks)
    assert method.learner.losses(batch)["kl"] < 1e-8
    valid = trial.ticks.valid.flatten(0, 1)[: len(acted)]
    for i in range(N):
        own = acted[valid[:, i], i]
        b = torch.cat([encoded.mean[:, i], encoded.log_var[:, i] / 2], -1)
        torch.testing.assert_close(b[: len(own)], own, rtol=1e-4, atol=1e-5)


def test_before_any_data_the_belief_is_the_prior_and_only_a_new_task_resets_it() -> None:
    method = trained()
    trial, beliefs = recorded(method)
    assert (method.prior(N).b == 0).all()
    assert (beliefs[0].b == 0).all()
    last_tick = trial.ticks[0, H - 1]
    carried = method.observe(beliefs[H - 1], last_tick)
    torch.testing.assert_close(beliefs[H].b, carried.b)
    assert (beliefs[H].b != 0).all()


def test_an_invalid_tick_changes_no_belief() -> None:
    method = trained()
    trial, beliefs = recorded(method)
    tick = trial.ticks[0, 0]
    half = replace(tick, valid=torch.tensor([True, False, True, False]))
    after = method.observe(beliefs[0], half).b
    assert (after[[1, 3]] == 0).all()
    assert (after[[0, 2]] != 0).all()


def test_the_kl_is_that_from_the_prior_per_tick() -> None:
    method = trained(kl_weight=0.3)
    ticks = recorded(method)[0].sequences()
    g = torch.Generator().manual_seed(4)
    mean, log_var = torch.randn(2, E * H + 1, N, LATENT, generator=g)
    same = DiagonalGaussian(mean[:1].expand_as(mean), log_var[:1].expand_as(mean))
    found = method.learner.elbo_losses(same, ticks)["belief_kl"]
    prior = Normal(torch.zeros(LATENT), torch.ones(LATENT))
    kl = kl_divergence(Normal(mean[0], (log_var[0] / 2).exp()), prior).sum(-1)
    torch.testing.assert_close(found, 0.3 * kl.mean() / (E * H))


def reached(method: Viable, loss: Tensor) -> set[str]:
    """The parts of the networks that a loss has a gradient of."""
    method.learner.net.zero_grad()
    loss.backward()
    found = set()
    for name, parameter in method.learner.net.named_parameters():
        if parameter.grad is not None and (parameter.grad != 0).any():
            part, *inner = name.split(".")
            found.add(inner[0] if part == "encoder" else part)
    return found


def test_what_each_loss_trains() -> None:
    """The steps are trained by all of them; the decoders by the ELBO, the policy by PPO alone."""
    method = trained()
    batch = method.learner.prepare(recorded(method)[0].sequences())
    steps = {"embed", "memory"}
    losses = method.learner.losses(batch)
    assert reached(method, losses["actor"]) == steps | {"actor", "log_std"}
    losses = method.learner.losses(batch)
    assert reached(method, losses["critic"]) == steps | {"critic"}
    losses = method.learner.losses(batch)
    assert reached(method, losses["reward"]) == steps | {"reward_decoder"}
    losses = method.learner.losses(batch)
    assert reached(method, losses["obs"]) == steps | {"obs_decoder"}
    losses = method.learner.losses(batch)
    assert reached(method, losses["belief_kl"]) == steps


def test_a_belief_stays_finite_however_long_a_trial_is() -> None:
    """log σ is bounded, and μ moves by a bounded step at every tick."""
    method = trained()
    method.vae.memory.log_step_sizes.data.fill_(3.0)
    tick = recorded(method)[0].ticks[0, 0]
    belief = method.prior(N)
    for _ in range(100):
        belief = method.observe(belief, tick)
    assert belief.b.isfinite().all()
    assert belief.b[:, LATENT:].abs().max() <= 3
