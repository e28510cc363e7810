"""Laws of PEARL: what trains the encoder, what a belief is and what it costs, when z is drawn."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, kl_divergence

from policies.method import Problem, Transition, TrialBatch
from policies.methods.pearl import Pearl, PearlBelief, PearlConfig
from policies.models.posterior import Posterior, context_features, prior
from policies.rl.sac import SacConfig

CPU = torch.device("cpu")
E, H, N, L = 2, 6, 5, 3
SAC = SacConfig(hidden=(16, 16), meta_batch=8, batch_per_task=4, gradient_steps=2, buffer_tasks=16)
CONFIG = PearlConfig(sac=SAC, latent_dim=L, encoder_hidden=(16,), max_context=E * H)
PROBLEM = Problem(
    family="any",
    obs_names=("x", "y"),
    obs_low=(-1.0, -1.0),
    obs_high=(1.0, 1.0),
    action_names=("u", "v"),
    horizon=H,
    episodes=E,
    task_names=("goal",),
    task_low=(0.0,),
    task_high=(1.0,),
    reward=None,
)


def pearl(config: PearlConfig = CONFIG, seed: int = 0) -> Pearl:
    return Pearl(PROBLEM, config, seed, CPU)


def trial(seed: int = 1, n: int = N, **flags: bool) -> TrialBatch:
    g = torch.Generator().manual_seed(seed)
    no = torch.zeros(E, H, n, dtype=torch.bool)
    obs, next_obs, action = (2 * torch.rand(3, E, H, n, 2, generator=g) - 1).unbind()
    begins = no.clone()
    begins[:, 0] = True
    ticks = Transition(
        obs=obs,
        action=action,
        applied=0.5 * action,
        reward=torch.rand(E, H, n, generator=g),
        next_obs=next_obs,
        terminated=no,
        truncated=no,
        first=no,
        begins=begins,
        valid=~no,
    )
    changes = {name: torch.full_like(no, value) for name, value in flags.items()}
    ticks = replace(ticks, **changes)
    return TrialBatch(ticks, torch.zeros(n, 1), torch.arange(n), no[:, 0])


@pytest.fixture
def trained() -> Pearl:
    """With a trial in the replay, and statistics of it."""
    method = pearl()
    method.learn(trial())
    return method


def ticks_of(batch: TrialBatch) -> list[Transition]:
    sequence = batch.ticks.flatten(0, 1)
    return [sequence[t] for t in range(E * H)]


def observed(method: Pearl, ticks: Sequence[Transition]) -> PearlBelief:
    belief = method.prior(len(ticks[0].reward))
    for tick in ticks:
        belief = method.observe(belief, tick)
    return belief


def assert_close(a: Posterior, b: Posterior) -> None:
    for f in fields(Posterior):
        torch.testing.assert_close(getattr(a, f.name), getattr(b, f.name), atol=1e-4, rtol=1e-4)


def gradients(loss: Tensor, part: nn.Module) -> list[Tensor | None]:
    parameters = list(part.parameters())
    return list(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))


def test_the_encoder_learns_from_the_critics_error_and_the_kl_alone(trained: Pearl) -> None:
    losses = trained.losses()
    for name in ("critic", "kl"):
        found = gradients(losses[name], trained.encoder)
        assert all(g is not None and g.any() for g in found), name
    for name in ("actor", "temperature"):
        assert all(g is None for g in gradients(losses[name], trained.encoder)), name
    without_actor = losses["critic"] + losses["kl"]
    without_critic = losses["kl"] + losses["actor"]
    assert all(g is None for g in gradients(without_actor, trained.sac.actor))
    assert all(g is None for g in gradients(without_critic, trained.sac.critic))


def test_a_step_gives_each_network_the_gradient_of_its_own_loss(trained: Pearl) -> None:
    """The sum of the losses is descended at once; no loss leaks into another's network."""
    networks = {"actor": trained.sac.actor, "critic": trained.sac.critic}
    state = trained.state_dict()
    losses = trained.losses()
    global_stream = torch.get_rng_state()
    expected = {name: gradients(losses[name], network) for name, network in networks.items()}
    trained.load_state_dict(state)
    trained.step()
    for name, network in networks.items():
        for p, gradient in zip(network.parameters(), expected[name], strict=True):
            assert p.grad is not None
            torch.testing.assert_close(p.grad, gradient)
    assert torch.equal(global_stream, torch.get_rng_state()), "no draw from the global stream"


def test_beliefs_updated_tick_by_tick_equal_those_inferred_from_all_ticks(trained: Pearl) -> None:
    batch = trial(2)
    trained.replay.add(batch)
    trained.ema_encoder.load_state_dict(trained.encoder.state_dict())
    slots = torch.arange(N, 2 * N)
    rows, mask = trained.replay.trials(slots)
    assert torch.equal(mask, torch.ones(N, E * H, dtype=torch.bool))

    def whole_trials(*_: Any, **__: Any) -> tuple[Transition, Tensor]:
        return rows, mask

    trained.replay.contexts = whole_trials  # type: ignore[method-assign]
    assert_close(observed(trained, ticks_of(batch)).posterior, trained.infer(slots))


def test_a_belief_is_the_product_of_the_factors_of_all_ticks(trained: Pearl) -> None:
    """By brute force: log densities of N(0, I) and of every measurement add up to the belief's."""
    batch = trial(2)
    posterior = observed(trained, ticks_of(batch)).posterior
    world = batch.ticks.flatten(0, 1)[:, 0]
    with torch.no_grad():
        x = trained.context_norm(context_features(world))
        out = trained.ema_encoder.net(x)
    directions = out[:, :L]
    measured = out[:, L]
    z = torch.randn(20, L, generator=torch.Generator().manual_seed(0))
    errors = z @ directions.T - measured
    expected = -0.5 * errors.square().sum(1) - 0.5 * z.square().sum(1)
    deviation = z - posterior.mean[0]
    found = -0.5 * torch.einsum("ki,ij,kj->k", deviation, posterior.precision[0], deviation)
    # Both are known up to a constant.
    torch.testing.assert_close(expected - expected[0], found - found[0], atol=1e-3, rtol=1e-3)


def test_the_order_of_ticks_does_not_matter(trained: Pearl) -> None:
    ticks = ticks_of(trial(2))
    backwards = observed(trained, ticks[::-1]).posterior
    assert_close(observed(trained, ticks).posterior, backwards)


def test_ticks_that_are_not_valid_leave_the_posterior_as_it_was(trained: Pearl) -> None:
    invalid = torch.arange(N) == 1
    tick = ticks_of(trial(2))[0]
    tick = replace(
        tick,
        valid=~invalid,
        reward=torch.where(invalid, torch.nan, tick.reward),
    )
    before = trained.prior(N).posterior
    after = trained.observe(trained.prior(N), tick).posterior
    assert torch.equal(after.precision[1], before.precision[1])
    assert torch.equal(after.weighted[1], before.weighted[1])
    assert (after.weighted[~invalid] != 0).any(-1).all()


def test_old_evidence_fades_by_the_setting_and_only_at_valid_ticks(
    trained: Pearl, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ticks_of(trial(2))[:2]
    start = trained.prior(N).posterior
    evidence = [
        observed(trained, [tick]).posterior.precision - start.precision for tick in (first, second)
    ]
    config = replace(trained.config, forgetting_factor=0.5)
    monkeypatch.setattr(trained, "config", config)
    faded = observed(trained, [first, second]).posterior.precision
    torch.testing.assert_close(faded, start.precision + 0.5 * evidence[0] + evidence[1])
    invalid = replace(second, valid=torch.zeros_like(second.valid))
    kept = observed(trained, [first, invalid]).posterior.precision
    assert torch.equal(kept, observed(trained, [first]).posterior.precision)


def test_z_is_held_for_an_episode_and_drawn_again_after_it(trained: Pearl) -> None:
    batch = trial(2)
    belief = trained.prior(N)
    z = belief.z
    for tick in ticks_of(batch)[:H]:
        belief = trained.observe(belief, tick)
        assert belief.z is z
    after = trained.adapt(belief, batch.ticks[0])
    assert (after.z != z).any(-1).all()
    assert_close(after.posterior, belief.posterior)


def test_draws_are_of_the_posterior(trained: Pearl) -> None:
    one_world = [tick[:1] for tick in ticks_of(trial(2))]
    one = observed(trained, one_world).posterior
    many = Posterior(one.precision.expand(20000, L, L), one.weighted.expand(20000, L))
    z = trained.draw(many).z
    covariance = torch.linalg.inv(one.precision[0])
    std = covariance.diagonal().sqrt()
    scale = std.outer(std)
    assert ((z.mean(0) - one.mean[0]).abs() < 0.04 * std).all()
    torch.testing.assert_close(z.T.cov() / scale, covariance / scale, atol=0.04, rtol=0)


def test_a_belief_of_a_hundred_ticks_is_no_larger_than_one_of_none(trained: Pearl) -> None:
    def size(belief: PearlBelief) -> dict[str, tuple[int, ...]]:
        posterior = belief.posterior
        parts = {
            "precision": posterior.precision,
            "weighted": posterior.weighted,
            "z": belief.z,
        }
        for name, x in parts.items():
            assert not x.requires_grad, f"{name} keeps the graph of all ticks before"
        return {name: (*x.shape, x.untyped_storage().nbytes()) for name, x in parts.items()}

    assert size(observed(trained, ticks_of(trial(2)) * 8)) == size(trained.prior(N))


def test_acting_without_exploration_is_under_the_mean_with_and_without_evidence(
    trained: Pearl,
) -> None:
    """One random z would make a policy without adaptation look worse than it is."""
    obs = torch.zeros(N, 2)
    empty = trained.prior(N)
    informed = observed(trained, ticks_of(trial(2)))

    def mean_action(z: Tensor) -> Tensor:
        return trained.sac.act(trained.features(obs, z), None)

    mean = informed.posterior.mean
    prior_mean = torch.zeros(N, L)
    torch.testing.assert_close(trained.act(obs, empty, False), mean_action(prior_mean))
    torch.testing.assert_close(trained.act(obs, informed, False), mean_action(mean))
    assert not torch.equal(mean_action(informed.z), mean_action(mean))
    exploring = [trained.act(obs, informed, True) for _ in range(2)]
    assert not torch.equal(exploring[0], exploring[1])


def losses_after(**flags: bool) -> dict[str, Tensor]:
    method = pearl()
    method.replay.add(trial(**flags))
    return method.losses()


def test_a_critic_looks_past_the_time_limit_and_not_past_an_end() -> None:
    plain = losses_after()
    late = losses_after(truncated=True)
    ended = losses_after(terminated=True)
    assert torch.equal(plain["critic"], late["critic"])
    assert not torch.allclose(plain["critic"], ended["critic"])
    assert torch.equal(plain["kl"], ended["kl"]), "an end is not evidence"


def test_actor_and_critic_read_each_state_beside_the_z_of_its_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[tuple[Transition, Tensor, Tensor]] = []

    def critic_loss(sac: Any, batch: Transition, x: Tensor, next_x: Tensor, *_: Any) -> Tensor:
        given.append((batch, x, next_x))
        return x.sum()

    monkeypatch.setattr("policies.methods.pearl.critic_loss", critic_loss)
    method = pearl()
    method.learn(trial())
    obs = trial().ticks.obs.flatten(0, 2)
    torch.testing.assert_close(method.obs_norm.mean, obs.mean(0))
    context = context_features(trial().ticks.flatten(0, 2))
    torch.testing.assert_close(method.context_norm.mean, context.mean(0))
    ((batch, x, next_x), *_) = given
    torch.testing.assert_close(x[:, :2], method.obs_norm(batch.obs))
    torch.testing.assert_close(next_x[:, :2], method.obs_norm(batch.next_obs))
    z = x[:, 2:].view(SAC.meta_batch, SAC.batch_per_task, L)
    assert torch.equal(z, z[:, :1].expand_as(z)), "one z for all transitions of a task"
    assert len(z[:, 0].unique(dim=0)) == SAC.meta_batch, "and a draw of its own for each task"
    assert torch.equal(next_x[:, 2:], x[:, 2:])


def test_the_target_entropy_is_per_action_dimension() -> None:
    found = []
    for target in (-1.0, -3.0):
        method = pearl(replace(CONFIG, sac=replace(SAC, target_entropy=target)))
        method.replay.add(trial())
        loss = method.losses()["temperature"]
        found += torch.autograd.grad(loss, [method.sac.log_alpha])
    torch.testing.assert_close(found[1] - found[0], torch.tensor(4.0))


def test_the_true_task_is_never_read() -> None:
    first = pearl()
    other = pearl()
    first.learn(trial())
    other.learn(replace(trial(), task=torch.full((N, 1), 7.0)))
    for a, b in zip(first.net.parameters(), other.net.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not pearl().privileged


def test_the_averaged_encoder_follows_the_encoder_by_its_rate(trained: Pearl) -> None:
    before = [p.clone() for p in trained.ema_encoder.parameters()]
    trained.step()
    ema = trained.ema_encoder.parameters()
    fast = trained.encoder.parameters()
    for now, old, new in zip(ema, before, fast, strict=True):
        torch.testing.assert_close(now, old + SAC.ema_rate * (new - old), rtol=1e-6, atol=1e-9)


def test_contexts_come_from_the_newest_transitions_where_a_window_is_set() -> None:
    method = pearl(replace(CONFIG, context_window=2))
    method.replay.add(trial())
    old = method.replay.data[:N, : E * H - 2]
    slots = torch.arange(N)
    state = method.generator.get_state()
    before = method.infer(slots)
    old += 1.0  # what no context may hold
    method.generator.set_state(state)
    after = method.infer(slots)
    assert torch.equal(before.precision, after.precision)
    assert torch.equal(before.weighted, after.weighted)


def test_the_encoder_learns_from_recent_contexts_alone_where_a_number_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Older tasks train actor and critics under a z without a gradient."""
    method = pearl(replace(CONFIG, context_tasks=2))
    method.learn(trial())
    slots, is_recent = method.draw_tasks()
    assert torch.equal(is_recent, method.replay.age(slots) < 2)
    assert is_recent[: len(slots) // 2].all()

    def gradient(mask: Tensor) -> Tensor:
        monkeypatch.setattr(method, "draw_tasks", lambda: (slots, mask))
        losses = method.losses()
        total = losses["critic"] + losses["kl"]
        parameters = list(method.encoder.parameters())
        parts = torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])

    none = torch.zeros_like(is_recent)
    assert not gradient(none).any()
    assert gradient(~none).any()


def test_a_restored_pearl_continues_as_the_original(trained: Pearl) -> None:
    restored = pearl(seed=9)
    state = deepcopy(trained.state_dict())  # a state shares its tensors with the method
    restored.load_state_dict(state)
    logs = [method.learn(trial(3)) for method in (trained, restored)]
    assert logs[0] == logs[1]
    assert torch.equal(trained.prior(2).z, restored.prior(2).z)


def test_the_prior_is_a_standard_gaussian_and_has_no_divergence_from_itself() -> None:
    assert torch.equal(prior(3, L, CPU).kl(), torch.zeros(3))
    z = pearl().prior(20000).z
    assert z.mean(0).abs().max() < 0.03
    assert (z.T.cov() - torch.eye(L)).abs().max() < 0.05


def test_the_kl_is_that_of_torch(trained: Pearl) -> None:
    p = observed(trained, ticks_of(trial(2))).posterior
    standard = MultivariateNormal(torch.zeros(L), torch.eye(L))
    reference = kl_divergence(MultivariateNormal(p.mean, precision_matrix=p.precision), standard)
    torch.testing.assert_close(p.kl(), reference, rtol=1e-4, atol=1e-4)


def rewards_learned_from(method: Pearl, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """Rewards of the context (n, L) and of the batch (n, b) of each task in one gradient step."""
    contexts: list[Tensor] = []
    batches: list[Tensor] = []
    posterior = method.posterior

    def note_context(ticks: Transition, mask: Tensor) -> Posterior:
        contexts.append(ticks.reward)
        return posterior(ticks, mask)

    def note_batch(batch: Transition, *arguments: Any) -> Transition:
        batches.append(batch.reward)
        return batch

    monkeypatch.setattr(method, "posterior", note_context)
    monkeypatch.setattr("policies.methods.pearl.relabel_goals", note_batch)
    method.losses()
    context = contexts[0]
    return context, batches[0].view(len(context), -1)


def test_in_hindsight_context_and_batch_have_the_rewards_of_one_goal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def goal_itself(obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        return task[..., 0].expand(obs.shape[:-1])

    config = replace(CONFIG, hindsight_share=1.0)
    method = Pearl(replace(PROBLEM, true_reward=goal_itself), config, 0, CPU)
    several = trial(n=8)
    method.learn(replace(several, task=torch.arange(8.0)[:, None]))
    context, batch = rewards_learned_from(method, monkeypatch)
    assert (context == context[:, :1]).all()
    assert (batch == context[:, :1]).all()
    assert len(set(context[:, 0].tolist())) > 1


def test_context_and_batch_of_a_task_change_by_one_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    def growth(obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        return (next_obs - obs)[..., 0]

    config = replace(CONFIG, gain_std=0.5)
    method = Pearl(replace(PROBLEM, true_reward=growth), config, 0, CPU)
    several = trial(n=8)
    ticks = several.ticks
    one_larger = replace(ticks, next_obs=ticks.obs + 1.0)
    method.learn(replace(several, ticks=one_larger))
    # the reward is the gain of each task
    context, batch = rewards_learned_from(method, monkeypatch)
    gain = context[:, :1]
    torch.testing.assert_close(context, gain.expand_as(context))
    torch.testing.assert_close(batch, gain.expand_as(batch))
    assert len(set(gain[:, 0].tolist())) == len(gain)
