"""Laws of HyperX's bonuses: what they reward, when they end, and what must never see them."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from noisy import BeliefRecorder, NoisyScript
from tiny import Tiny
from torch import Tensor

from adaptation.problem import problem_of
from adaptation.rollout import rollout
from policies.method import CollectionSchedule, Transition, TrialBatch
from policies.methods.varibad import Varibad, VaribadConfig
from policies.rl.hyperx import HyperxBonus, HyperxConfig

CPU = torch.device("cpu")
FAMILY = Tiny()
N = 4
ITERATIONS = 4
HYPERX = HyperxConfig(
    novelty_weight=0.5, error_weight=0.25, hidden=(16,), outputs=4, steps=3, batch_size=8
)
CONFIG = VaribadConfig(
    memory_size=8,
    latent_dim=2,
    hidden=8,
    decoder_hidden=(8,),
    vae_tasks=6,
    elbo_terms=3,
    decoded_ticks=5,
    vae_steps=2,
    buffer_tasks=16,
    obs_weight=0.7,
    schedule=CollectionSchedule(meta_batch=N, episodes_per_trial=3, iterations=ITERATIONS),
    hyperx=HYPERX,
)
RAGGED = {"terminated": {0: 1}, "truncated": {1: 2}, "diverged": {2: 0}}


def varibad(seed: int = 0, **changes: Any) -> Varibad:
    return Varibad(problem_of(FAMILY), replace(CONFIG, **changes), seed, CPU)


def collected(method: Varibad) -> tuple[TrialBatch, list[Any]]:
    """A trial, and the belief that was acted under at every tick of it."""
    recorder: Any = BeliefRecorder(method)
    task = FAMILY.sample(np.random.default_rng(0), N)
    trial = rollout(NoisyScript(N, **RAGGED), recorder, task, episodes=3)
    return trial, recorder.beliefs


def trained(**changes: Any) -> Varibad:
    method = varibad(**changes)
    method.learn(collected(method)[0])
    return method


def bonus_of(columns: int, **changes: Any) -> HyperxBonus:
    g = torch.Generator().manual_seed(1)
    return HyperxBonus(columns, replace(HYPERX, **changes), 0.9, ITERATIONS, g)


def learned_rewards(method: Varibad, trial: TrialBatch, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The rewards (L, n) that the policy is trained with."""
    given: list[Transition] = []
    learn = method.learner.learn

    def note(ticks: Transition) -> dict[str, float]:
        given.append(ticks)
        return learn(ticks)

    with monkeypatch.context() as patch:
        patch.setattr(method.learner, "learn", note)
        method.learn(trial)
    (ticks,) = given
    return ticks.reward


# ---- what is rewarded ----


def test_a_hyper_state_is_less_new_the_more_often_it_was_visited() -> None:
    bonus = bonus_of(3, steps=50, lr=3e-3)
    g = torch.Generator().manual_seed(0)
    visited = torch.randn(64, 3, generator=g)
    elsewhere = torch.randn(64, 3, generator=g) + 6
    found = []
    for _ in range(4):
        with torch.no_grad():
            found.append((float(bonus.net(visited).mean()), float(bonus.net(elsewhere).mean())))
        bonus.learn(visited)
    of_visited = [mean for mean, _ in found]
    assert of_visited == sorted(of_visited, reverse=True)
    assert of_visited[-1] < 0.5 * of_visited[0]
    assert found[-1][1] > 2 * of_visited[-1]


def test_novelty_is_the_predictors_squared_error_and_does_not_train_the_target() -> None:
    bonus = bonus_of(3)
    states = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    net = bonus.net
    target = {name: x.clone() for name, x in net.target.state_dict().items()}
    with torch.no_grad():
        difference = net.predictor(states) - net.target(HYPERX.input_scale * states)
    expected = (difference**2).sum(-1) / HYPERX.outputs
    torch.testing.assert_close(net(states), expected)
    bonus.learn(states)
    for name, x in net.target.state_dict().items():
        assert torch.equal(x, target[name])


def test_a_bonus_is_in_units_of_the_std_of_its_discounted_sums() -> None:
    bonus = bonus_of(3)
    g = torch.Generator().manual_seed(0)
    states = torch.randn(5, 2, 3, generator=g)
    error = torch.rand(5, 2, generator=g)
    valid = torch.ones(5, 2, dtype=torch.bool)
    valid[3:, 1] = False
    error[3:, 1] = 1e6  # no mask may let this into the scale
    bonus.net.iterations += 1
    found = bonus.reward(states, error, valid)
    parts = {"novelty": bonus.net(states).detach().double(), "error": error.double()}
    expected = torch.zeros(5, 2, dtype=torch.float64)
    weights = {"novelty": 0.5, "error": 0.25}
    for name, x in parts.items():
        sums = []
        for world in range(2):
            for t in range(int(valid[:, world].sum())):
                sums.append(sum(0.9 ** (t - k) * float(x[k, world]) for k in range(t + 1)))
        expected += 0.75 * weights[name] * x / np.std(sums)  # one of four iterations is done
    torch.testing.assert_close(found.double(), expected * valid, rtol=1e-4, atol=1e-6)


def test_what_is_rewarded_is_the_next_hyper_state_and_the_error_of_its_belief() -> None:
    method = trained()
    trial, beliefs = collected(method)
    sequence = trial.sequences()
    method.generator.manual_seed(5)
    states, error = method.outcomes(sequence)
    world = 3  # acts to the end
    method.generator.manual_seed(5)
    noise = torch.randn(len(sequence.reward), N, 2, generator=method.generator)
    vae = method.vae
    for t in (0, 4, 9):
        task = beliefs[t + 1].task  # that of the next decision has read tick t
        mean, log_var = task.mean[world], task.log_var[world]
        next_obs = sequence.next_obs[t, world]
        expected = method.hyper_state.norm(torch.cat([next_obs, mean, log_var]))
        torch.testing.assert_close(states[t, world], expected, atol=1e-5, rtol=0)
        z = mean + (0.5 * log_var).exp() * noise[t, world]
        obs = (sequence.obs[t, world] - vae.obs_norm.mean) * vae.obs_norm.inv_std
        change = next_obs - sequence.obs[t, world]
        change = (change - vae.change_norm.mean) * vae.change_norm.inv_std
        reward = (sequence.reward[t, world] - vae.reward_norm.mean) * vae.reward_norm.inv_std
        known = torch.cat([obs, sequence.applied[t, world]])
        with torch.no_grad():
            change_error = (vae.obs_decoder(z, known) - change).square().sum()
            known = torch.cat([known, change])
            reward_error = (vae.reward_decoder(z, known) - reward).square().sum()
        expected_error = reward_error + 0.7 * change_error
        torch.testing.assert_close(error[t, world], expected_error, rtol=1e-3, atol=1e-5)


# ---- who sees the bonus, and until when ----


def test_the_policy_alone_learns_from_the_bonus(monkeypatch: pytest.MonkeyPatch) -> None:
    method = varibad()
    trial, _ = collected(method)
    true = trial.ticks.reward.clone()
    rewards = learned_rewards(method, trial, monkeypatch)
    sequence = trial.sequences()
    bonus = rewards - sequence.reward
    assert (bonus[sequence.valid] > 0).all()
    assert (bonus[~sequence.valid] == 0).all()
    assert torch.equal(trial.ticks.reward, true)
    stored, exists = method.replay.trials(torch.arange(len(method.replay)))
    assert sorted(stored.reward[exists].tolist()) == sorted(true[trial.ticks.valid].tolist())
    torch.testing.assert_close(method.vae.reward_norm.mean[0], true[trial.ticks.valid].mean())


def test_the_bonus_changes_no_belief() -> None:
    """Those about one trial are the same with it, after the first learning of the autoencoder."""
    with_bonus = varibad()
    without = varibad(hyperx=None)
    trial, _ = collected(without)
    before = without.with_hyper_states(trial.sequences()).obs
    assert torch.equal(with_bonus.with_hyper_states(trial.sequences()).obs, before)
    states, error = with_bonus.outcomes(trial.sequences())
    assert with_bonus.bonus is not None
    weights = {name: x.clone() for name, x in with_bonus.vae.state_dict().items()}
    with_bonus.bonus.reward(states, error, trial.sequences().valid)
    with_bonus.bonus.learn(states[trial.sequences().valid])
    for name, x in with_bonus.vae.state_dict().items():
        assert torch.equal(x, weights[name])


@pytest.mark.parametrize(("anneal_share", "zero_from"), [(1.0, 4), (0.5, 2)])
def test_it_falls_linearly_to_exactly_zero(
    anneal_share: float, zero_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = varibad(hyperx=replace(HYPERX, anneal_share=anneal_share))
    assert method.bonus is not None
    for iteration in range(ITERATIONS + 2):
        trial, _ = collected(method)
        assert method.bonus.share == pytest.approx(max(0.0, 1 - iteration / zero_from))
        rewards = learned_rewards(method, trial, monkeypatch)
        is_true = torch.equal(rewards, trial.sequences().reward)
        assert is_true == (iteration >= zero_from)


def test_without_the_setting_there_is_no_bonus(monkeypatch: pytest.MonkeyPatch) -> None:
    assert VaribadConfig().hyperx is None
    method = varibad(hyperx=None)
    trial, _ = collected(method)
    assert "bonus" not in method.state_dict()
    assert torch.equal(learned_rewards(method, trial, monkeypatch), trial.sequences().reward)


def test_a_training_goes_on_with_the_bonus_that_it_had() -> None:
    original = trained()
    restored = varibad(seed=7)
    trial, _ = collected(original)
    restored.load_state_dict(deepcopy(original.state_dict()))
    assert restored.bonus is not None
    assert restored.bonus.share == pytest.approx(0.75)
    assert original.learn(trial) == restored.learn(trial)
