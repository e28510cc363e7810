"""PEARL's laws: what the encoder learns from, what a belief is and what it costs, and when z is drawn."""

from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from policies.method import Problem, Transition, TrialBatch
from policies.methods.pearl import Pearl, PearlBelief, PearlConfig
from policies.models.posterior import Posterior, context, prior
from policies.rl.sac import SacConfig

E, H, N, L = 2, 6, 5, 3
SAC = SacConfig(hidden=(16, 16), meta_batch=8, batch_per_task=4, gradient_steps=2, buffer_tasks=16)
CONFIG = PearlConfig(sac=SAC, latent_dim=L, encoder_hidden=(16,), max_context=E * H)


def pearl(config: PearlConfig = CONFIG, seed: int = 0) -> Pearl:
    ends = ((-1.0, -1.0), (1.0, 1.0))
    problem = Problem("any", ("x", "y"), *ends, ("u", "v"), H, E, ("goal",), (0.0,), (1.0,), None)
    return Pearl(problem, config, seed)


def trial(seed: int = 1, n: int = N, **flags: bool) -> TrialBatch:
    g, no = torch.Generator().manual_seed(seed), torch.zeros(E, H, n, dtype=torch.bool)
    obs, next_obs, action = (2 * torch.rand(3, E, H, n, 2, generator=g) - 1).unbind()
    ticks = Transition(
        obs, action, 0.5 * action, torch.rand(E, H, n, generator=g), next_obs, no, no, no, no, ~no
    )
    ticks = replace(ticks, **{name: torch.full_like(no, value) for name, value in flags.items()})
    return TrialBatch(ticks, torch.zeros(n, 1), torch.arange(n), no[:, 0])


@pytest.fixture
def taught() -> Pearl:
    """With a trial in the replay, and statistics of it."""
    method = pearl()
    method.learn(trial())
    return method


def ticks_of(lived: TrialBatch) -> list[Transition]:
    flat = lived.ticks.map(lambda x: x.flatten(0, 1))
    return [flat.map(lambda x, t=t: x[t]) for t in range(E * H)]


def observed(method: Pearl, ticks: list[Transition]) -> PearlBelief:
    belief = method.prior(len(ticks[0].reward))
    for tick in ticks:
        belief = method.observe(belief, tick)
    return belief


def close(a: Posterior, b: Posterior) -> None:
    for f in fields(Posterior):
        torch.testing.assert_close(getattr(a, f.name), getattr(b, f.name), atol=1e-4, rtol=1e-4)


def gradients(method: Pearl, loss: Tensor, part: nn.Module) -> list[Tensor | None]:
    return list(
        torch.autograd.grad(loss, list(part.parameters()), retain_graph=True, allow_unused=True)
    )


def test_the_encoder_learns_from_the_critics_error_and_the_kl_alone(taught: Pearl) -> None:
    losses = taught.losses()
    for name in ("critic", "kl"):
        assert all(
            g is not None and g.any() for g in gradients(taught, losses[name], taught.encoder)
        ), name
    for name in ("actor", "temperature"):
        assert all(g is None for g in gradients(taught, losses[name], taught.encoder)), name
    assert all(
        g is None for g in gradients(taught, losses["critic"] + losses["kl"], taught.sac.actor)
    )
    assert all(
        g is None for g in gradients(taught, losses["kl"] + losses["actor"], taught.sac.critic)
    )


def test_a_step_moves_each_network_as_its_own_losses_say(taught: Pearl) -> None:
    """The sum of the losses is descended at once; no loss leaks into a network that it may not move."""
    state = taught.state_dict()
    losses, g = taught.losses(), torch.get_rng_state()
    own = {"actor": losses["actor"], "critic": losses["critic"]}
    expected = {
        name: gradients(taught, loss, getattr(taught.sac, name)) for name, loss in own.items()
    }
    taught.load_state_dict(state)
    taught.step()
    for name, found in expected.items():
        for p, e in zip(getattr(taught.sac, name).parameters(), found, strict=True):
            assert p.grad is not None
            torch.testing.assert_close(p.grad, e)
    assert torch.equal(g, torch.get_rng_state()), "no draw from the global stream"


def test_what_is_seen_tick_by_tick_is_what_is_inferred_of_all_at_once(taught: Pearl) -> None:
    lived, method = trial(2), taught
    method.replay.add(lived)
    method.slow.load_state_dict(method.encoder.state_dict())
    slots, everything = torch.arange(N, 2 * N), torch.ones(N, E * H, dtype=torch.bool)
    rows, there = method.replay.trials(slots)
    assert torch.equal(there, everything)
    method.replay.contexts = lambda *_: (rows, there)  # type: ignore[method-assign]
    close(observed(method, ticks_of(lived)).posterior, method.infer(slots))


def test_a_belief_is_the_product_of_the_factors_of_what_was_seen(taught: Pearl) -> None:
    """By brute force: log densities of N(0, I) and of every measurement, added up, differ by a constant."""
    lived = trial(2)
    posterior = observed(taught, ticks_of(lived)).posterior
    x = context(lived.ticks.map(lambda x: x.flatten(0, 1)[:, 0]))
    with torch.no_grad():
        out = taught.slow.net(taught.context(x))
    z = torch.randn(20, L, generator=torch.Generator().manual_seed(0))
    measured = -0.5 * (z @ out[:, :L].T - out[:, L]).square().sum(1) - 0.5 * z.square().sum(1)
    off = z - posterior.mean[0]
    told = -0.5 * torch.einsum("ki,ij,kj->k", off, posterior.precision[0], off)
    torch.testing.assert_close(measured - measured[0], told - told[0], atol=1e-3, rtol=1e-3)


def test_the_order_of_what_was_seen_does_not_matter(taught: Pearl) -> None:
    ticks = ticks_of(trial(2))
    close(observed(taught, ticks).posterior, observed(taught, ticks[::-1]).posterior)


def test_what_is_not_valid_teaches_nothing(taught: Pearl) -> None:
    tick = ticks_of(trial(2))[0]
    tick = replace(
        tick,
        valid=torch.arange(N) != 1,
        reward=torch.where(torch.arange(N) == 1, torch.nan, tick.reward),
    )
    before = taught.prior(N)
    after = taught.observe(before, tick)
    assert torch.equal(after.posterior.precision[1], before.posterior.precision[1])
    assert torch.equal(after.posterior.weighted[1], before.posterior.weighted[1])
    assert (after.posterior.weighted[[0, 2, 3, 4]] != 0).any(-1).all()


def test_z_is_held_for_an_episode_and_drawn_afresh_after_it(taught: Pearl) -> None:
    lived = trial(2)
    belief = taught.prior(N)
    held = belief.z
    for tick in ticks_of(lived)[:H]:
        belief = taught.observe(belief, tick)
        assert belief.z is held
    after = taught.adapt(belief, lived.ticks.map(lambda x: x[0]))
    assert (after.z != held).any(-1).all()
    close(after.posterior, belief.posterior)


def test_draws_are_of_the_posterior(taught: Pearl) -> None:
    one = observed(taught, [t.map(lambda x: x[:1]) for t in ticks_of(trial(2))]).posterior
    many = Posterior(one.precision.expand(20000, L, L), one.weighted.expand(20000, L))
    z, covariance = taught.draw(many).z, torch.linalg.inv(one.precision[0])
    deviation = covariance.diagonal().sqrt()
    assert ((z.mean(0) - one.mean[0]).abs() < 0.04 * deviation).all()
    torch.testing.assert_close(z.T.cov() / deviation.outer(deviation), covariance / deviation.outer(deviation),
                               atol=0.04, rtol=0)  # fmt: skip


def test_a_belief_of_a_hundred_ticks_is_no_larger_than_one_of_none(taught: Pearl) -> None:
    def size(belief: PearlBelief) -> dict[str, tuple[int, ...]]:
        p = belief.posterior
        assert not any(x.requires_grad for x in (p.precision, p.weighted, belief.z)), (
            "it would drag its past along"
        )
        parts = {"precision": p.precision, "weighted": p.weighted, "z": belief.z}
        return {k: (*x.shape, x.untyped_storage().nbytes()) for k, x in parts.items()}

    assert size(observed(taught, ticks_of(trial(2)) * 8)) == size(taught.prior(N))


def test_acting_without_exploration_follows_the_mean_once_there_is_evidence(taught: Pearl) -> None:
    obs, ticks = torch.zeros(N, 2), ticks_of(trial(2))
    empty, seen = taught.prior(N), observed(taught, ticks)

    def under(z: Tensor) -> Tensor:
        return taught.sac.act(taught.obs(obs), z, None)

    torch.testing.assert_close(taught.act(obs, empty, False), under(empty.z))
    torch.testing.assert_close(taught.act(obs, seen, False), under(seen.posterior.mean))
    assert not torch.equal(under(seen.z), under(seen.posterior.mean))
    assert not torch.equal(taught.act(obs, seen, True), taught.act(obs, seen, True))


def losses_after(**flags: bool) -> dict[str, Tensor]:
    method = pearl()
    method.replay.add(trial(**flags))
    return method.losses()


def test_a_critic_looks_past_the_time_limit_and_not_past_an_end() -> None:
    plain, late, ended = losses_after(), losses_after(truncated=True), losses_after(terminated=True)
    assert torch.equal(plain["critic"], late["critic"])
    assert not torch.allclose(plain["critic"], ended["critic"])
    assert torch.equal(plain["kl"], ended["kl"]), "an end is not evidence"


def test_the_true_task_is_never_looked_at() -> None:
    told, other = pearl(), pearl()
    told.learn(trial())
    other.learn(replace(trial(), task=torch.full((N, 1), 7.0)))
    assert all(
        torch.equal(a, b)
        for a, b in zip(told.net.parameters(), other.net.parameters(), strict=True)
    )
    assert not pearl().privileged


def test_what_beliefs_are_built_by_follows_the_encoder_by_its_share(taught: Pearl) -> None:
    before = [p.clone() for p in taught.slow.parameters()]
    taught.step()
    for slow, old, fast in zip(
        taught.slow.parameters(), before, taught.encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(slow, old + SAC.ema_rate * (fast - old), rtol=1e-6, atol=1e-9)


def test_a_restored_pearl_goes_on_as_the_first_would_have(taught: Pearl) -> None:
    restored = pearl(seed=9)
    restored.load_state_dict(
        deepcopy(taught.state_dict())
    )  # a state shares its tensors with who gave it
    logs: list[Any] = [method.learn(trial(3)) for method in (taught, restored)]
    assert logs[0] == logs[1]
    assert torch.equal(taught.prior(2).z, restored.prior(2).z)


def test_the_prior_is_a_standard_gaussian_and_has_no_divergence_from_itself() -> None:
    assert torch.equal(prior(3, L).kl(), torch.zeros(3))
    z = pearl().prior(20000).z
    assert z.mean(0).abs().max() < 0.03
    assert (z.T.cov() - torch.eye(L)).abs().max() < 0.05


def test_the_kl_is_that_of_torch(taught: Pearl) -> None:
    from torch.distributions import MultivariateNormal, kl_divergence

    p = observed(taught, ticks_of(trial(2))).posterior
    reference = kl_divergence(
        MultivariateNormal(p.mean, precision_matrix=p.precision),
        MultivariateNormal(torch.zeros(L), torch.eye(L)),
    )
    torch.testing.assert_close(p.kl(), reference, rtol=1e-4, atol=1e-4)
