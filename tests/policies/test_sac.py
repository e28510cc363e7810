"""Soft actor-critic's laws: who is moved by which loss, what a value is, and how slow copies and temperature move."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from policies.method import Transition
from policies.rl.sac import Sac, SacConfig, actor_loss, critic_loss, polyak_update, temperature_loss

B, OBS, A, L = 32, 3, 2, 4
CONFIG = SacConfig(hidden=(16, 16), gamma=0.9, reward_scale=2.0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def sac() -> Sac:
    """With all copies apart from what they copy."""
    made = Sac(OBS + L, A, CONFIG, seeded(0))
    other = Sac(OBS + L, A, CONFIG, seeded(1))
    polyak_update(made.target, other.critic, 1.0)
    polyak_update(made.slow, other.actor, 1.0)
    return made


def batch(**flags: bool) -> Transition:
    g, no = seeded(2), torch.zeros(B, dtype=torch.bool)
    action = 2 * torch.rand(B, A, generator=g) - 1
    rows = Transition(
        torch.randn(B, OBS, generator=g), action, action, torch.randn(B, generator=g), torch.randn(B, OBS, generator=g),
        no, no, no, no, ~no,
    )  # fmt: skip
    return replace(rows, **{name: torch.full((B,), value) for name, value in flags.items()})


def condition() -> Tensor:
    return torch.randn(B, L, generator=seeded(3)).requires_grad_()


def moved(*modules: nn.Module) -> list[bool]:
    return [
        p.grad is not None and bool(p.grad.any()) for module in modules for p in module.parameters()
    ]


def td_error(sac: Sac, t: Transition, z: Tensor, config: SacConfig = CONFIG) -> Tensor:
    return critic_loss(sac, t, t.obs, t.next_obs, z, config, seeded(4))


def test_the_critics_loss_reaches_critics_and_condition_alone(sac: Sac) -> None:
    z = condition()
    td_error(sac, batch(), z).backward()
    assert all(moved(sac.critic))
    assert z.grad is not None
    assert z.grad.any(-1).all()
    assert not any(moved(sac.actor, sac.slow, sac.target))
    assert sac.log_alpha.grad is None


def test_the_actors_loss_reaches_the_actor_alone(sac: Sac) -> None:
    z, t = condition(), batch()
    actor_loss(sac, t.obs, z, seeded(4))[0].backward()
    assert all(moved(sac.actor))
    assert not any(moved(sac.critic, sac.slow, sac.target))
    assert z.grad is None
    assert sac.log_alpha.grad is None


def test_the_temperatures_loss_reaches_the_temperature_alone(sac: Sac) -> None:
    _, log_prob = actor_loss(sac, batch().obs, condition(), seeded(4))
    temperature_loss(sac, log_prob, -1.0).backward()
    assert sac.log_alpha.grad is not None
    assert not any(moved(sac.actor, sac.critic, sac.slow, sac.target))


@pytest.mark.parametrize(("above", "sign"), [(0.5, -1), (-0.5, 1)])
def test_the_temperature_falls_while_entropy_lies_above_its_target(
    sac: Sac, above: float, sign: int
) -> None:
    _, log_prob = actor_loss(sac, batch().obs, condition(), seeded(4))
    target, before = -log_prob.mean().item() - above, sac.log_alpha.item()
    optimizer = torch.optim.SGD([sac.log_alpha], lr=0.1)
    temperature_loss(sac, log_prob, target).backward()
    optimizer.step()
    assert sac.log_alpha.item() - before == pytest.approx(0.1 * sign * abs(above), rel=1e-4)


def test_the_actor_goes_up_the_soft_value(sac: Sac) -> None:
    """The loss equals α log π - min Q, member by member, and a step on it lowers it."""
    z, t = condition(), batch()
    loss, log_prob = actor_loss(sac, t.obs, z, seeded(4))
    action, again = sac.sample(t.obs, z, seeded(4))
    q = sac.critic(torch.cat([t.obs, z, action], -1))[..., 0]
    torch.testing.assert_close(log_prob, again)
    torch.testing.assert_close(
        loss, (sac.log_alpha.exp() * log_prob - torch.minimum(q[0], q[1])).mean()
    )
    optimizer = torch.optim.SGD(sac.actor.parameters(), lr=0.01)
    loss.backward()
    optimizer.step()
    assert actor_loss(sac, t.obs, z, seeded(4))[0] < loss


def test_the_density_is_that_of_a_squashed_gaussian(sac: Sac) -> None:
    obs, z = batch().obs, condition().detach()
    with torch.no_grad():
        action, density = sac.sample(obs, z, seeded(4))
        mean, raw = sac.actor(torch.cat([obs, z], -1)).double().chunk(2, -1)
    spread = (-5 + 3.5 * (torch.tanh(raw) + 1)).exp()
    reference = TransformedDistribution(Independent(Normal(mean, spread), 1), [TanhTransform()])
    assert action.abs().max() < 1
    torch.testing.assert_close(
        density.double(), reference.log_prob(action.double()), atol=1e-3, rtol=1e-4
    )


def test_the_density_stays_finite_where_tanh_saturates(sac: Sac) -> None:
    with torch.no_grad():
        list(sac.actor.parameters())[-1][:A] = 30.0
        action, density = sac.sample(batch().obs, condition(), seeded(4))
    assert (action == 1).all()
    assert density.isfinite().all()


def test_who_acts_is_the_slow_actor_and_without_noise_its_mean(sac: Sac) -> None:
    obs, z = batch().obs, condition()
    mean = torch.tanh(sac.slow(torch.cat([obs, z], -1)).chunk(2, -1)[0])
    torch.testing.assert_close(sac.act(obs, z, None), mean)
    drawn = sac.act(obs, z, seeded(4))
    assert not torch.equal(drawn, mean)
    assert torch.equal(drawn, sac.act(obs, z, seeded(4)))
    assert drawn.abs().max() <= 1


def test_time_that_ran_out_is_no_terminal_and_a_terminal_is_one(sac: Sac) -> None:
    z = condition()
    plain, late, ended = (
        td_error(sac, batch(**f), z) for f in ({}, {"truncated": True}, {"terminated": True})
    )
    myopic = td_error(sac, batch(), z, replace(CONFIG, gamma=0.0))
    assert torch.equal(plain, late)
    assert torch.equal(ended, myopic)
    assert not torch.allclose(plain, ended)


def test_the_goal_is_the_reward_and_the_slow_critics_lower_soft_value(sac: Sac) -> None:
    t, z = batch(), condition().detach()
    with torch.no_grad():
        action, log_prob = sac.sample(t.next_obs, z, seeded(4))
        values = sac.target(torch.cat([t.next_obs, z, action], -1))[..., 0]
        goal = 2.0 * t.reward + 0.9 * (
            torch.minimum(values[0], values[1]) - sac.log_alpha.exp() * log_prob
        )
        q = sac.critic(torch.cat([t.obs, z, t.action], -1))[..., 0]
    torch.testing.assert_close(
        td_error(sac, t, z), sum(((member - goal) ** 2).mean() for member in q)
    )


def pairs(sac: Sac) -> Iterator[tuple[str, Tensor, Tensor]]:
    for name, slow, fast in (("target", sac.target, sac.critic), ("slow", sac.slow, sac.actor)):
        yield from ((name, a, b) for a, b in zip(slow.parameters(), fast.parameters(), strict=True))


def test_slow_copies_move_by_their_share_and_their_models_stand(sac: Sac) -> None:
    config, before = SacConfig(tau=0.25, ema_rate=0.0625), deepcopy(sac)
    sac.update_targets(config)
    for (name, slow, fast), (_, old, old_fast) in zip(pairs(sac), pairs(before), strict=True):
        share = config.tau if name == "target" else config.ema_rate
        torch.testing.assert_close(slow, old + share * (old_fast - old))
        assert not slow.requires_grad
        assert torch.equal(fast, old_fast)


def test_a_new_learners_copies_equal_what_they_copy() -> None:
    for _, slow, fast in pairs(Sac(OBS + L, A, CONFIG, seeded(0))):
        assert torch.equal(slow, fast)
