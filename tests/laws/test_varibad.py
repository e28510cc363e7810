"""Laws of VariBAD: what the belief is, what trains it, and what the policy may know of it."""

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
from policies.belief import named_tensors
from policies.method import CollectionSchedule, Transition, TrialBatch
from policies.methods import varibad as module
from policies.methods.varibad import Varibad, VaribadConfig, elbo_losses
from policies.models.trial_vae import DiagonalGaussian, random_ticks
from policies.rl import ppo
from robots.errors import BadArgumentError

CPU = torch.device("cpu")
FAMILY = Tiny()
H = FAMILY.horizon
N = 4
LATENT = 2
CONFIG = VaribadConfig(
    memory_size=8,
    latent_dim=LATENT,
    hidden=8,
    decoder_hidden=(8,),
    vae_tasks=6,
    elbo_terms=3,
    decoded_ticks=5,
    buffer_tasks=16,
)
RAGGED = {"terminated": {0: 1}, "truncated": {1: 2}, "diverged": {2: 0}}
ENDS = pytest.mark.parametrize("ends", [{}, RAGGED], ids=["whole", "ragged"])


def varibad(**changes: Any) -> Varibad:
    return Varibad(problem_of(FAMILY), replace(CONFIG, **changes), 0, CPU)


def tasks() -> Any:
    return FAMILY.sample(np.random.default_rng(0), N)


def recorded(method: Varibad, **ends: dict[int, int]) -> tuple[TrialBatch, list[Any]]:
    """A trial, and the belief that was acted under at every tick of it."""
    recorder: Any = BeliefRecorder(method)
    trial = rollout(NoisyScript(N, **ends), recorder, tasks(), episodes=3)
    return trial, recorder.beliefs


def trained(**changes: Any) -> Varibad:
    """A method that has learned once, so that its normalizers have moved."""
    method = varibad(**changes)
    trial, _ = recorded(method, **RAGGED)
    method.learn(trial)
    return method


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in module.state_dict().items()}


def changed(before: dict[str, Tensor], module: torch.nn.Module) -> set[str]:
    """Names of the tensors that differ."""
    after = module.state_dict()
    return {name for name, x in before.items() if not torch.equal(x, after[name])}


def with_change(ticks: Transition, field: str, at: Any) -> Transition:
    """The same ticks with one field changed at an index of its leading axes."""
    value = getattr(ticks, field).clone()
    value[at] = ~value[at] if value.dtype == torch.bool else value[at] + 1
    return replace(ticks, **{field: value})


# ---- the belief ----


def test_the_belief_before_any_tick_is_the_prior() -> None:
    method = trained()
    belief = method.prior(N)
    assert (belief.task.mean == 0).all()
    assert (belief.task.log_var == 0).all()
    assert (belief.hidden == 0).all()
    trial, _ = recorded(method)
    first = method.vae.encode(trial.sequences())[:1]
    assert (first.mean == 0).all()
    assert (first.log_var == 0).all()


@ENDS
def test_learning_reads_the_beliefs_that_were_acted_under(ends: dict[str, Any]) -> None:
    method = trained()
    trial, beliefs = recorded(method, **ends)
    sequence = method.with_hyper_states(trial.sequences())
    for world in range(N):
        rows = trial.ticks.valid.flatten(0, 1)[:, world].nonzero().flatten().tolist()
        for place, t in enumerate(rows):
            task = beliefs[t].task
            obs = trial.ticks.obs.flatten(0, 1)[t, world]
            expected = torch.cat([obs, task.mean[world], task.log_var[world]])
            torch.testing.assert_close(sequence.obs[place, world], expected, atol=1e-6, rtol=0)


@ENDS
def test_likelihood_ratios_begin_at_one(ends: dict[str, Any]) -> None:
    method = trained()
    trial, beliefs = recorded(method, **ends)
    batch = method.learner.prepare(method.with_hyper_states(trial.sequences()))
    net = method.learner.net
    with torch.no_grad():
        belief = beliefs[0]
        obs = torch.cat([trial.ticks.obs[0, 0], belief.task.mean, belief.task.log_var], -1)
        features = method.hyper_state.norm(obs)
        first = net.log_prob(features, trial.ticks.action[0, 0])
    torch.testing.assert_close(batch.log_prob[0], first, atol=1e-5, rtol=0)
    assert method.learner.step(batch)["kl"] < 1e-8


def test_the_belief_is_reset_for_a_task_and_not_for_an_episode() -> None:
    method = trained()
    _, beliefs = recorded(method)
    starts = beliefs[::H]
    assert (starts[0].hidden == 0).all()
    for belief in starts[1:]:
        assert (belief.hidden != 0).all()
        assert (belief.task.mean != 0).all()
    _, again = recorded(method)
    assert (again[0].hidden == 0).all()


@pytest.mark.parametrize("field", ["reward", "truncated", "terminated", "next_obs", "applied"])
def test_an_episodes_last_tick_is_known_in_the_next_ones_first(field: str) -> None:
    """Its reward and its end too."""
    method = trained()
    trial, beliefs = recorded(method)
    last = trial.ticks[0, -1]
    actions = []
    for tick in (last, with_change(last, field, slice(None))):
        belief = method.observe(beliefs[H - 1], tick)
        belief = method.adapt(belief, trial.ticks[0])
        actions.append(method.act(trial.ticks.obs[1, 0], belief, explore=False))
    assert (actions[0] != actions[1]).any(-1).all()


def test_a_belief_knows_neither_the_future_nor_other_worlds() -> None:
    method = trained()
    trial, _ = recorded(method)
    sequence = trial.sequences()
    before = method.vae.encode(sequence)
    after = method.vae.encode(with_change(sequence, "reward", (7, 1)))
    differs = (before.mean != after.mean).any(-1)  # (L + 1, n)
    assert differs[8:, 1].all()
    differs[8:, 1] = False
    assert not differs.any()


def test_worlds_may_be_permuted() -> None:
    method = trained()
    trial, _ = recorded(method, **RAGGED)
    order = torch.tensor([2, 0, 3, 1])
    sequence = trial.sequences()
    straight = method.with_hyper_states(sequence).obs[:, order]
    permuted = method.with_hyper_states(sequence[:, order]).obs
    torch.testing.assert_close(permuted, straight, atol=1e-6, rtol=0)


def test_a_world_that_has_ended_keeps_its_belief() -> None:
    method = trained()
    _, beliefs = recorded(method, truncated={1: 2})
    for t in (3, 4):
        for path, x in named_tensors(beliefs[t]).items():
            assert torch.equal(x[1], named_tensors(beliefs[3])[path][1])
            assert not torch.equal(x[0], named_tensors(beliefs[2])[path][0])


def test_the_policy_reads_mean_and_variance_and_no_sample() -> None:
    method = trained()
    trial, beliefs = recorded(method)
    obs = trial.ticks.obs[1, 0]
    belief = beliefs[H]
    action = method.act(obs, belief, explore=False)
    assert torch.equal(action, method.act(obs, belief, explore=False))
    for field in ("mean", "log_var"):
        moved = replace(belief.task, **{field: getattr(belief.task, field) + 1})
        other = method.act(obs, replace(belief, task=moved), explore=False)
        assert (action != other).any(-1).all()


# ---- what trains what ----


def test_ppo_changes_the_policy_and_not_the_autoencoder() -> None:
    method = trained()
    trial, _ = recorded(method)
    ticks = method.with_hyper_states(trial.sequences())
    assert not ticks.obs.requires_grad
    vae, policy = weights(method.vae), weights(method.learner.net)
    method.learner.learn(ticks)
    assert not changed(vae, method.vae)
    assert {"actor.0.weight", "critic.0.weight", "log_std"} <= changed(policy, method.learner.net)
    assert all(
        p.grad is None or (p.grad == 0).all() for p in method.learner.net.encoder.parameters()
    )


def test_the_elbo_changes_the_autoencoder_and_not_the_policy() -> None:
    method = trained()
    vae, policy = weights(method.vae), weights(method.learner.net)
    method.step()
    assert not changed(policy, method.learner.net)
    trained_weights = {name for name, _ in method.vae.named_parameters()}
    assert changed(vae, method.vae) == trained_weights


@pytest.mark.parametrize("name", ["reward", "obs", "belief_kl"])
def test_every_part_of_the_elbo_trains_the_encoder(name: str) -> None:
    method = trained()
    method.optimizer.zero_grad()
    method.losses()[name].backward()
    for parameter in (*method.vae.memory.parameters(), *method.vae.head.parameters()):
        assert parameter.grad is not None
        assert (parameter.grad != 0).any()
    decoders = {"reward": method.vae.reward_decoder, "obs": method.vae.obs_decoder}
    for decoded, decoder in decoders.items():
        gradients = [p.grad is not None for p in decoder.parameters()]
        assert all(gradients) if decoded == name else not any(gradients)


def test_rewards_of_the_next_episode_count_for_the_last_action() -> None:
    method = trained()
    trial, _ = recorded(method)
    sequence = method.with_hyper_states(trial.sequences())
    assert ppo.bootstrap_mask(sequence)[:-1].all()
    g = method.config.gamma
    value = torch.zeros_like(sequence.reward)
    bootstrap = ppo.bootstrap_mask(sequence)
    returns = ppo.advantages(sequence.reward, value, bootstrap, g, 1.0)
    expected = sequence.reward[H - 1] + g * returns[H]
    torch.testing.assert_close(returns[H - 1], expected)


def test_the_policy_learns_before_belief_and_normalizers_move(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = varibad()
    trial, _ = recorded(method, **RAGGED)
    seen = []

    def learn(ticks: Transition) -> dict[str, float]:
        assert not changed(initial, method.vae)
        seen.append(ticks)
        return {}

    initial = weights(method.vae)
    monkeypatch.setattr(method.learner, "learn", learn)
    method.learn(trial)
    (ticks,) = seen
    valid = trial.ticks.valid
    torch.testing.assert_close(method.vae.obs_norm.mean, trial.ticks.obs[valid].mean(0))
    torch.testing.assert_close(method.vae.reward_norm.mean[0], trial.ticks.reward[valid].mean())
    change = (trial.ticks.next_obs - trial.ticks.obs)[valid]
    torch.testing.assert_close(method.vae.change_norm.mean, change.mean(0))
    hyper_state = ticks.obs[ticks.valid].mean(0)
    torch.testing.assert_close(method.hyper_state.norm.mean, hyper_state)


def test_it_refuses_trials_of_older_weights() -> None:
    schedule = CollectionSchedule(meta_batch=2, episodes_per_trial=2, overlap=True)
    with pytest.raises(BadArgumentError, match=r"schedule\.overlap must be false"):
        VaribadConfig(schedule=schedule)


# ---- the evidence lower bound ----


def brute_force_elbo(
    method: Varibad,
    trial: Transition,
    length: int,
    beliefs: list[DiagonalGaussian],
    z: Tensor,
) -> dict[str, float]:
    """Minus the mean of the ELBO terms of one trial (L, ...), summed as they are defined.

    ``beliefs[t]`` is that after t ticks, ``z[t]`` (l,) its draw.
    """
    vae = method.vae
    zero = torch.tensor(0.0)
    sums = {"reward": zero, "obs": zero, "belief_kl": zero}
    for t in range(length + 1):
        q = Normal(beliefs[t].mean, (0.5 * beliefs[t].log_var).exp())
        past = beliefs[max(t - 1, 0)]
        p = Normal(past.mean, (0.5 * past.log_var).exp())
        sums["belief_kl"] = sums["belief_kl"] + kl_divergence(q, p).sum()
        for k in range(length):  # also the ticks from t on, which the belief has not seen
            obs = (trial.obs[k] - vae.obs_norm.mean) * vae.obs_norm.inv_std
            change = trial.next_obs[k] - trial.obs[k]
            change = (change - vae.change_norm.mean) * vae.change_norm.inv_std
            reward = (trial.reward[k] - vae.reward_norm.mean) * vae.reward_norm.inv_std
            known = torch.cat([obs, trial.applied[k]])
            moved = Normal(vae.obs_decoder(z[t], known), 1.0)
            earned = Normal(vae.reward_decoder(z[t], torch.cat([known, change])), 1.0)
            sums["obs"] = sums["obs"] - unnormalized(moved, change)
            sums["reward"] = sums["reward"] - unnormalized(earned, reward)
    scale = {"reward": 1.0, "obs": method.config.obs_weight, "belief_kl": method.config.kl_weight}
    return {name: float(scale[name] * total / (length + 1)) for name, total in sums.items()}


def unnormalized(normal: Normal, x: Tensor) -> Tensor:
    """The log-density without its constant."""
    return (normal.log_prob(x) - normal.log_prob(normal.mean)).sum()


@pytest.mark.parametrize("world", [0, 1, 3])
def test_the_loss_is_the_sum_over_past_and_future_and_the_kl_to_the_previous_belief(
    world: int,
) -> None:
    method = trained(kl_weight=0.3, obs_weight=0.7)
    trial, _ = recorded(method, **RAGGED)
    sequence = trial.sequences()[:, [world]]
    length = sequence.valid.sum(0)
    steps = int(length)
    with torch.no_grad():
        hidden = method.vae.memory.initial(1)
        beliefs = [method.prior(1).task]
        for t in range(steps):
            hidden, belief = method.vae.step(sequence[t], hidden)
            beliefs.append(belief)
        mean = torch.cat([belief.mean for belief in beliefs])
        log_var = torch.cat([belief.log_var for belief in beliefs])
        g = torch.Generator().manual_seed(5)
        z = mean + (0.5 * log_var).exp() * torch.randn(steps + 1, 1, LATENT, generator=g)[:, 0]
        rows = [DiagonalGaussian(mean[t], log_var[t]) for t in range(steps + 1)]
        expected = brute_force_elbo(method, sequence[:, 0], steps, rows, z)
        g = torch.Generator().manual_seed(5)
        every_term = torch.arange(steps + 1)[:, None]
        every_tick = torch.arange(steps)[:, None]
        found = elbo_losses(method.vae, sequence, length, every_term, every_tick, method.config, g)
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name


def test_worlds_count_alike_in_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean over terms and trials, whatever their length."""
    method = trained()
    trial, _ = recorded(method, **RAGGED)
    sequence = trial.sequences()
    length = sequence.valid.sum(0)
    terms = torch.tensor([[0, 1, 2, 3], [2, 3, 0, 1]]).clamp(max=length)
    decoded = torch.zeros(1, N, dtype=torch.int64)

    def mean(belief: DiagonalGaussian, _: torch.Generator) -> Tensor:
        return belief.mean  # a draw would depend on the number of worlds

    monkeypatch.setattr(DiagonalGaussian, "sample", mean)

    def losses(*worlds: int) -> dict[str, Tensor]:
        rows = list(worlds)
        some = [x[..., rows] for x in (length, terms, decoded)]
        with torch.no_grad():
            return elbo_losses(
                method.vae, sequence[:, rows], *some, method.config, method.generator
            )

    together = losses(*range(N))
    apart = [losses(i) for i in range(N)]
    for name, loss in together.items():
        of_each = torch.stack([part[name] for part in apart])
        torch.testing.assert_close(loss, of_each.mean())


def test_terms_and_decoded_ticks_are_drawn_from_the_whole_of_each_trial() -> None:
    length = torch.tensor([1, 3, 15])
    drawn = random_ticks(4000, length, torch.Generator().manual_seed(0))
    for i, most in enumerate(length.tolist()):
        counts = drawn[:, i].bincount(minlength=most)
        assert len(counts) == most
        assert (counts / 4000 * most - 1).abs().max() < 0.3


def test_the_loss_takes_whole_trials_from_the_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beliefs after none to all of a trial's valid ticks, likelihoods of all its valid ticks."""
    method = trained(elbo_terms=400, decoded_ticks=400)
    seen: dict[str, Any] = {}

    def spy(_: Any, *arguments: Any) -> dict[str, Tensor]:
        seen.update(zip(("ticks", "length", "terms", "decoded"), arguments, strict=False))
        return {}

    monkeypatch.setattr(module, "elbo_losses", spy)
    method.losses()
    length = seen["length"]
    assert torch.equal(length, seen["ticks"].valid.sum(0))
    assert (seen["terms"].amin(0) == 0).all()
    assert torch.equal(seen["terms"].amax(0), length)
    assert (seen["decoded"].amin(0) == 0).all()
    assert torch.equal(seen["decoded"].amax(0), length - 1)


def test_the_belief_learns_what_the_reward_depends_on() -> None:
    """Rewards ±1 by the task alone: the belief after a trial tells which."""
    config = replace(CONFIG, vae_lr=1e-2, vae_tasks=32, elbo_terms=8)
    method = Varibad(problem_of(FAMILY), config, 0, CPU)
    trial, _ = recorded(method)
    sign = torch.tensor([1.0, -1.0, 1.0, -1.0])
    known = replace(trial, ticks=replace(trial.ticks, reward=sign.expand(3, H, N)))
    method.vae.update(method.replay.add(known))
    losses = [float(method.step()["reward"]) for _ in range(150)]
    assert losses[-1] < 0.5 * losses[0]
    with torch.no_grad():
        beliefs = method.vae.encode(known.sequences())
    gap = (beliefs.mean[-1, 0] - beliefs.mean[-1, 1]).norm()
    std = (0.5 * beliefs.log_var[-1]).exp().mean()
    assert gap > 2 * std
    assert std < 0.9
