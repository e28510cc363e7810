"""Laws of soft actor-critic: gradient flow of each loss, values, temperature and slow copies."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import TanhTransform

from adaptation.problem import problem_of
from policies.method import Problem, Transition, TrialBatch
from policies.methods.oracle import Oracle
from policies.rl.sac import (
    Sac,
    SacConfig,
    actor_loss,
    critic_loss,
    polyak_update,
    q_values,
    temperature_loss,
)
from policies.rl.sac_learner import SacLearner
from sim.families.slide import Slide

CPU = torch.device("cpu")
B, K, A = 32, 7, 2
OBS = 3
CONFIG = SacConfig(hidden=(16, 16), gamma=0.9, reward_scale=2.0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def sac() -> Sac:
    """Networks whose slow copies differ from what they follow."""
    made = Sac(K, A, CONFIG, seeded(0))
    other = Sac(K, A, CONFIG, seeded(1))
    polyak_update(made.target_critic, other.critic, 1.0)
    polyak_update(made.ema_actor, other.actor, 1.0)
    return made


def batch(**flags: bool) -> Transition:
    g = seeded(2)
    no = torch.zeros(B, dtype=torch.bool)
    action = 2 * torch.rand(B, A, generator=g) - 1
    rows = Transition(
        obs=torch.randn(B, OBS, generator=g),
        action=action,
        applied=action,
        reward=torch.randn(B, generator=g),
        next_obs=torch.randn(B, OBS, generator=g),
        terminated=no,
        truncated=no,
        first=no,
        begins=no,
        valid=~no,
    )
    changes = {name: torch.full((B,), value) for name, value in flags.items()}
    return replace(rows, **changes)


def features(seed: int = 3) -> Tensor:
    return torch.randn(B, K, generator=seeded(seed)).requires_grad_()


def has_gradient(*modules: nn.Module) -> list[bool]:
    parameters = [p for module in modules for p in module.parameters()]
    return [p.grad is not None and bool(p.grad.any()) for p in parameters]


def td_error(
    sac: Sac,
    t: Transition,
    x: Tensor,
    config: SacConfig = CONFIG,
    weights: Tensor | None = None,
) -> Tensor:
    return critic_loss(sac, t, x, features(5), config, seeded(4), weights)


def test_the_critics_loss_reaches_critics_and_features_alone(sac: Sac) -> None:
    x = features()
    next_x = features(5)
    critic_loss(sac, batch(), x, next_x, CONFIG, seeded(4)).backward()
    assert all(has_gradient(sac.critic))
    assert x.grad is not None
    assert x.grad.any(-1).all()
    assert next_x.grad is None
    assert not any(has_gradient(sac.actor, sac.ema_actor, sac.target_critic))
    assert sac.log_alpha.grad is None


def test_the_actors_loss_reaches_the_actor_alone(sac: Sac) -> None:
    x = features()
    loss, _ = actor_loss(sac, x, seeded(4))
    loss.backward()
    assert all(has_gradient(sac.actor))
    assert not any(has_gradient(sac.critic, sac.ema_actor, sac.target_critic))
    assert x.grad is None
    assert sac.log_alpha.grad is None


def test_the_temperatures_loss_reaches_the_temperature_alone(sac: Sac) -> None:
    _, log_prob = actor_loss(sac, features(), seeded(4))
    temperature_loss(sac, log_prob, -1.0).backward()
    assert sac.log_alpha.grad is not None
    assert not any(has_gradient(sac.actor, sac.critic, sac.ema_actor, sac.target_critic))


@pytest.mark.parametrize(("above", "sign"), [(0.5, -1), (-0.5, 1)])
def test_the_temperature_falls_while_entropy_lies_above_its_target(
    sac: Sac, above: float, sign: int
) -> None:
    _, log_prob = actor_loss(sac, features(), seeded(4))
    target_entropy = -log_prob.mean().item() - above
    before = sac.log_alpha.item()
    optimizer = torch.optim.SGD([sac.log_alpha], lr=0.1)
    temperature_loss(sac, log_prob, target_entropy).backward()
    optimizer.step()
    change = sac.log_alpha.item() - before
    assert change == pytest.approx(0.1 * sign * abs(above), rel=1e-4)


def test_the_actor_ascends_the_soft_value(sac: Sac) -> None:
    """The loss equals α log π - min Q, member by member, and a step on it lowers it."""
    x = features()
    loss, log_prob = actor_loss(sac, x, seeded(4))
    action, again = sac.sample(x, seeded(4))
    q = sac.critic(torch.cat([x, action], -1))[..., 0]
    soft_value = torch.minimum(q[0], q[1]) - sac.log_alpha.exp() * log_prob
    torch.testing.assert_close(log_prob, again)
    torch.testing.assert_close(loss, -soft_value.mean())

    optimizer = torch.optim.SGD(sac.actor.parameters(), lr=0.01)
    loss.backward()
    optimizer.step()
    lower, _ = actor_loss(sac, x, seeded(4))
    assert lower < loss


def test_the_density_is_that_of_a_squashed_gaussian(sac: Sac) -> None:
    x = features().detach()
    with torch.no_grad():
        action, log_prob = sac.sample(x, seeded(4))
        mean, raw = sac.actor(x).double().chunk(2, -1)
    std = (-5 + 3.5 * (torch.tanh(raw) + 1)).exp()
    gaussian = Independent(Normal(mean, std), 1)
    reference = TransformedDistribution(gaussian, [TanhTransform()])
    expected = reference.log_prob(action.double())
    assert action.abs().max() < 1
    torch.testing.assert_close(log_prob.double(), expected, atol=1e-3, rtol=1e-4)


def test_the_density_stays_finite_where_tanh_saturates(sac: Sac) -> None:
    with torch.no_grad():
        last_bias = list(sac.actor.parameters())[-1]
        last_bias[:A] = 30.0
        action, log_prob = sac.sample(features(), seeded(4))
    assert (action == 1).all()
    assert log_prob.isfinite().all()


def test_the_averaged_actor_acts_by_its_mean_without_a_generator(sac: Sac) -> None:
    x = features()
    mean, _ = sac.ema_actor(x).chunk(2, -1)
    torch.testing.assert_close(sac.act(x, None), torch.tanh(mean))
    drawn = sac.act(x, seeded(4))
    assert not torch.equal(drawn, torch.tanh(mean))
    assert torch.equal(drawn, sac.act(x, seeded(4)))
    assert drawn.abs().max() <= 1


def test_the_value_of_the_next_state_counts_at_a_time_limit_and_not_after_the_end(
    sac: Sac,
) -> None:
    x = features()
    plain = td_error(sac, batch(), x)
    late = td_error(sac, batch(truncated=True), x)
    ended = td_error(sac, batch(terminated=True), x)
    myopic = td_error(sac, batch(), x, replace(CONFIG, gamma=0.0))
    assert torch.equal(plain, late)
    assert torch.equal(ended, myopic)
    assert not torch.allclose(plain, ended)


def expected_errors(sac: Sac, t: Transition, x: Tensor, next_x: Tensor) -> Tensor:
    """Squared TD errors (2, b) as they are written in the paper."""
    with torch.no_grad():
        action, log_prob = sac.sample(next_x, seeded(4))
        next_q = sac.target_critic(torch.cat([next_x, action], -1))[..., 0]
        next_value = torch.minimum(next_q[0], next_q[1]) - sac.log_alpha.exp() * log_prob
        target = 2.0 * t.reward + 0.9 * next_value
        q = sac.critic(torch.cat([x, t.action], -1))[..., 0]
    return (q - target).square()


def test_the_target_is_reward_plus_the_target_critics_lower_soft_value(sac: Sac) -> None:
    t = batch()
    x = features().detach()
    errors = expected_errors(sac, t, x, features(5))
    torch.testing.assert_close(td_error(sac, t, x), errors[0].mean() + errors[1].mean())


def test_weights_scale_each_transitions_error(sac: Sac) -> None:
    t = batch()
    x = features().detach()
    weights = torch.rand(B, generator=seeded(6))
    errors = expected_errors(sac, t, x, features(5))
    loss = td_error(sac, t, x, weights=weights)
    torch.testing.assert_close(loss, (weights * errors).mean(1).sum())
    torch.testing.assert_close(td_error(sac, t, x, weights=torch.ones(B)), td_error(sac, t, x))

    loss, log_prob = actor_loss(sac, x, seeded(4), weights)
    action, _ = sac.sample(x, seeded(4))
    q = q_values(sac.critic, x, action).amin(0)
    expected = weights * (sac.log_alpha.exp() * log_prob - q)
    torch.testing.assert_close(loss, expected.mean())


def test_sequences_have_the_losses_of_their_transitions(sac: Sac) -> None:
    """Leading axes (L, b) give the same as one long batch."""
    t = batch()
    x = features()
    next_x = features(5)
    sequences = {name: getattr(t, name).unflatten(0, (4, -1)) for name in vars(t)}
    long_x = x.unflatten(0, (4, -1))
    long_next_x = next_x.unflatten(0, (4, -1))

    flat = critic_loss(sac, t, x, next_x, CONFIG, seeded(4))
    long = critic_loss(sac, Transition(**sequences), long_x, long_next_x, CONFIG, seeded(4))
    torch.testing.assert_close(long, flat)

    flat, log_prob = actor_loss(sac, x, seeded(4))
    long, long_log_prob = actor_loss(sac, long_x, seeded(4))
    torch.testing.assert_close(long, flat)
    torch.testing.assert_close(long_log_prob.flatten(), log_prob)


def slow_and_fast(sac: Sac) -> Iterator[tuple[str, Tensor, Tensor]]:
    pairs = {
        "target_critic": (sac.target_critic, sac.critic),
        "ema_actor": (sac.ema_actor, sac.actor),
    }
    for name, (slow, fast) in pairs.items():
        for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
            yield name, a, b


def test_slow_copies_move_by_their_rate_and_what_they_follow_does_not(sac: Sac) -> None:
    config = SacConfig(tau=0.25, ema_rate=0.0625)
    rates = {"target_critic": config.tau, "ema_actor": config.ema_rate}
    before = deepcopy(sac)
    sac.update_targets(config)
    both = zip(slow_and_fast(sac), slow_and_fast(before), strict=True)
    for (name, slow, fast), (_, old_slow, old_fast) in both:
        torch.testing.assert_close(slow, old_slow + rates[name] * (old_fast - old_slow))
        assert not slow.requires_grad
        assert torch.equal(fast, old_fast)


def test_the_slow_copies_of_new_networks_equal_what_they_follow() -> None:
    for _, slow, fast in slow_and_fast(Sac(K, A, CONFIG, seeded(0))):
        assert torch.equal(slow, fast)


PROBLEM = Problem(
    family="any",
    obs_names=("x", "y"),
    obs_low=(-1.0, -1.0),
    obs_high=(1.0, 1.0),
    action_names=("u", "v"),
    horizon=2,
    episodes=1,
    task_names=("goal", "mass"),
    task_low=(-2.0, 1.0),
    task_high=(2.0, 1.5),
    reward=None,
)


def test_a_learner_shares_the_replay_that_it_is_given() -> None:
    first = SacLearner(PROBLEM, CONFIG, 0, CPU)
    second = SacLearner(PROBLEM, CONFIG, 1, CPU, first.replay)
    assert second.replay is first.replay
    assert first.replay.capacity == CONFIG.buffer_tasks


def two_ticks(tasks: int) -> TrialBatch:
    """From (0, 1) to (1, 0), then to the end; only the second tick is rewarded, by the goal."""
    task = torch.zeros(tasks, 2)
    task[::2, 0] = 1.0
    task[1::2, 0] = -1.0
    places = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    obs = places[None, :, None].expand(1, 3, tasks, 2)
    action = 2 * torch.rand(1, 2, tasks, A, generator=seeded(4)) - 1
    no = torch.zeros(1, 2, tasks, dtype=torch.bool)
    ends = no.clone()
    ends[:, 1] = True
    ticks = Transition(
        obs=obs[:, :2],
        action=action,
        applied=action,
        reward=ends * task[:, 0],
        next_obs=obs[:, 1:],
        terminated=ends,
        truncated=no,
        first=no,
        begins=~ends,
        valid=~no,
    )
    return TrialBatch(ticks, task, torch.arange(tasks), no[:, 0])


def test_a_learner_values_what_follows_and_what_it_knows_of_the_task() -> None:
    config = SacConfig(
        hidden=(32,),
        lr=2e-2,
        gamma=0.5,
        tau=0.1,
        init_temperature=1e-6,
        meta_batch=16,
        batch_per_task=4,
        gradient_steps=100,
    )
    learner = SacLearner(
        PROBLEM, config, 0, CPU, condition=lambda task: task[:, :1], condition_dim=1
    )
    learner.learn(two_ticks(16))
    torch.testing.assert_close(learner.obs_norm.mean, torch.tensor([0.5, 0.5]))
    obs = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(2, 1)
    goal = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    x = learner.features(obs, goal)
    values = q_values(learner.sac.critic, x, torch.zeros(4, A)).mean(0)
    expected = torch.tensor([0.5, 1.0, -0.5, -1.0])
    torch.testing.assert_close(values, expected, atol=0.15, rtol=0)


@torch.no_grad()
def test_normalized_critics_keep_values_bounded_far_from_what_was_seen() -> None:
    """With h a normalized layer of w units, |h| ≤ √w: however large the inputs are."""
    x = torch.randn(B, K, generator=seeded(1))
    action = torch.randn(B, A, generator=seeded(2))
    largest = {}
    for normalized in (False, True):
        config = replace(CONFIG, critic_layer_norm=normalized)
        critic = Sac(K, A, config, seeded(0)).critic
        near = q_values(critic, x, action).abs().max()
        far = q_values(critic, 1000 * x, 1000 * action).abs().max()
        largest[normalized] = float(far / near)
    assert largest[False] > 100
    assert largest[True] < 10


def temperature_gradient(target_entropy: float) -> Tensor:
    """What the first step of a learner does to the temperature."""
    config = replace(CONFIG, target_entropy=target_entropy, gradient_steps=1)
    learner = SacLearner(PROBLEM, config, 0, CPU)
    learner.learn(two_ticks(16))
    gradient = learner.sac.log_alpha.grad
    assert gradient is not None
    return gradient


def test_the_target_entropy_is_per_action_dimension() -> None:
    difference = temperature_gradient(-3.0) - temperature_gradient(-1.0)
    torch.testing.assert_close(difference, torch.tensor(2.0 * A))


def test_the_oracle_is_shown_the_task_on_a_scale_from_minus_one_to_one() -> None:
    oracle = Oracle(PROBLEM, CONFIG, 0, CPU)
    task = torch.tensor([[-2.0, 1.0], [2.0, 1.5], [0.0, 1.25], [1.0, 1.375]])
    expected = torch.tensor([[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0], [0.5, 0.5]])
    torch.testing.assert_close(oracle.prior(4, task).z, expected)


def test_the_oracle_reads_goals_from_the_observation_where_they_are_exchanged_there() -> None:
    """Hindsight exchanges the goals of observations; a goal in z would contradict them."""
    slide = problem_of(Slide())
    oracle = Oracle(slide, CONFIG, 0, CPU)
    task = torch.rand(4, slide.task_dim, generator=seeded(0))
    goals = [slide.task_names.index(name) for name in ("marker.x", "marker.y")]
    other = task.clone()
    other[:, goals] += 0.1
    z = oracle.prior(4, task).z
    assert torch.equal(oracle.prior(4, other).z, z)
    assert z.shape == (4, slide.task_dim - len(goals))


def test_without_a_discount_nothing_after_an_action_is_looked_at(sac: Sac) -> None:
    config = replace(CONFIG, gamma=0.0)
    unknown = torch.full((B, K), torch.nan)
    x = features()
    loss = critic_loss(sac, batch(), x, unknown, config, seeded(4))
    q = q_values(sac.critic, x, batch().action)
    expected = (q - config.reward_scale * batch().reward).square().mean(1).sum()
    assert torch.allclose(loss, expected)
