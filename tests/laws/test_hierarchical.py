"""Laws of the two levels: when sub-goals change, what each level sees, and what it learns from."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from noisy import NoisyScript
from tiny import Tiny
from torch import Tensor

from adaptation.problem import problem_of
from adaptation.random_policy import RandomPolicy, concat_trials
from adaptation.rollout import rollout
from policies.belief import named_tensors
from policies.method import CollectionSchedule, Transition, TrialBatch
from policies.methods.hierarchical import Hierarchical, HierarchicalConfig
from policies.methods.pearl import PearlConfig
from policies.methods.rl2 import Rl2Config
from policies.methods.varibad import VaribadConfig
from policies.models.subgoals import SubgoalSpace
from policies.rl.sac import SacConfig
from robots.errors import BadArgumentError

CPU = torch.device("cpu")
FAMILY = Tiny()
H = FAMILY.horizon  # 5: two sub-goals of two ticks and one of one
E, K, N = 3, 2, 4
REACH = 0.2
SCALE = REACH * 3.0  # half the range of Tiny's columns is 3 rad
SAC = SacConfig(hidden=(8,), meta_batch=4, batch_per_task=2, gradient_steps=1, buffer_tasks=16)
CONFIG = HierarchicalConfig(
    subgoal_ticks=K,
    subgoal_reach=REACH,
    high=Rl2Config(
        memory_size=8,
        hidden=8,
        epochs=1,
        minibatches=1,
        schedule=CollectionSchedule(meta_batch=N, episodes_per_trial=E),
    ),
    pearl=PearlConfig(sac=SAC, latent_dim=2, encoder_hidden=(8,)),
    rl2=Rl2Config(memory_size=8, hidden=8, epochs=1, minibatches=1),
    varibad=VaribadConfig(memory_size=8, hidden=8, epochs=1, minibatches=1, vae_steps=1),
)
RAGGED = {"terminated": {0: 1}, "truncated": {1: 2}, "diverged": {2: 0}}
ENDS = pytest.mark.parametrize("ends", [{}, RAGGED], ids=["whole", "ragged"])
LOW = pytest.mark.parametrize("low", ["pearl", "rl2", "varibad"])


class Recorder:
    """A policy that keeps the belief at every tick, and the sub-goal that it acts toward."""

    privileged = False

    def __init__(self, policy: Any, method: Hierarchical) -> None:
        self.policy = policy
        self.method = method
        self.beliefs: list[Any] = []
        self.pursued: list[Any] = []
        self.prior = policy.prior
        self.observe = policy.observe
        self.adapt = policy.adapt

    def act(self, obs: Tensor, belief: Any, explore: bool) -> Tensor:
        self.beliefs.append(belief)
        self.pursued.append(self.method.begin(belief.high, obs))
        return self.policy.act(obs, belief, explore)


def hierarchical(**changes: Any) -> Hierarchical:
    return Hierarchical(problem_of(FAMILY), replace(CONFIG, **changes), 0, CPU)


def recorded(
    method: Hierarchical, policy: Any = None, **ends: dict[int, int]
) -> tuple[TrialBatch, Recorder]:
    """A trial, by default one of training, and what was believed in it."""
    recorder = Recorder(policy or method.collector, method)
    task = FAMILY.sample(np.random.default_rng(0), N)
    acting: Any = recorder
    return rollout(NoisyScript(N, **ends), acting, task, episodes=E), recorder


def trained(low: str = "pearl", **changes: Any) -> Hierarchical:
    """A method that has learned once, so that its normalizers have moved."""
    method = hierarchical(low=low, **changes)
    method.learn(recorded(method, **RAGGED)[0])
    return method


def with_reward(trial: TrialBatch, reward: Tensor) -> TrialBatch:
    return replace(trial, ticks=replace(trial.ticks, reward=reward))


# ---- sub-goals ----


@ENDS
def test_a_sub_goal_is_kept_for_k_ticks_and_ends_with_the_episode(ends: dict[str, Any]) -> None:
    method = trained()
    trial, recorder = recorded(method, **ends)
    for world in range(N):
        before = None
        for i, pursued in enumerate(recorder.pursued):
            e, t = divmod(i, H)
            if not trial.ticks.valid[e, t, world]:
                continue
            target = pursued.target[world]
            if t % K == 0:
                obs = trial.ticks.obs[e, t, world]
                action = pursued.action[world]
                assert action.abs().max() <= 1
                torch.testing.assert_close(target, obs + SCALE * action)
                assert before is None or not torch.equal(target, before)
            else:
                assert before is not None
                assert torch.equal(target, before)
            before = target


def test_sub_goals_are_means_outside_of_training() -> None:
    """Whether the low level explores or not."""
    method = trained()
    trial, recorder = recorded(method, policy=method)
    net = method.high.learner.net
    for i in (0, K, H, 2 * H):
        high = recorder.beliefs[i].high
        obs = trial.ticks.obs.flatten(0, 1)[i]
        features, _ = method.high.encoder.step(obs, high.memory)
        mean = net.actor(features).clamp(-1, 1)
        torch.testing.assert_close(recorder.pursued[i].action, mean)


def test_noise_of_a_training_trial_is_drawn_once_and_anew_for_the_next() -> None:
    method = trained()
    noise = method.collector.prior(N).high.noise
    assert noise.shape == (N, E * 3, 2)
    assert torch.equal(method.collector.prior(N).high.noise, noise)
    trial, recorder = recorded(method)
    std = method.high.learner.net.log_std.exp()
    for number, i in enumerate(e * H + t for e in range(E) for t in (0, 2, 4)):
        obs = trial.ticks.obs.flatten(0, 1)[i]
        features, _ = method.high.encoder.step(obs, recorder.beliefs[i].high.memory)
        sample = method.high.learner.net.actor(features) + std * noise[:, number]
        torch.testing.assert_close(recorder.pursued[i].action, sample.clamp(-1, 1))
    method.learn(trial)
    assert not torch.equal(method.collector.prior(N).high.noise, noise)


# ---- beliefs ----


def test_before_data_both_levels_believe_their_priors() -> None:
    method = trained()
    belief = method.prior(N)
    assert (belief.high.memory.hidden == 0).all()
    assert (belief.high.noise == 0).all()
    assert torch.equal(belief.low.posterior.mean, torch.zeros(N, 2))
    assert torch.equal(belief.low.posterior.precision, torch.eye(2).expand(N, 2, 2))


def test_the_memory_is_reset_for_a_task_and_reads_a_sub_goal_when_it_is_over() -> None:
    method = trained()
    _, recorder = recorded(method)
    memories = [belief.high.memory.hidden for belief in recorder.beliefs]
    changed = [i for i in range(1, E * H) if not torch.equal(memories[i], memories[i - 1])]
    assert changed == [e * H + t for e in range(E) for t in (0, 2, 4)][1:]
    _, again = recorded(method)
    assert (again.beliefs[0].high.memory.hidden == 0).all()


@LOW
def test_a_world_that_has_ended_keeps_its_belief(low: str) -> None:
    method = trained(low)
    _, recorder = recorded(method, truncated={1: 2})
    ended, later = (named_tensors(recorder.beliefs[t]) for t in (3, 4))
    for path, x in ended.items():
        assert torch.equal(x[1], later[path][1]), path


@LOW
def test_rewards_reach_the_high_level_and_motion_the_low_one(low: str) -> None:
    method = trained(low)
    trial, recorder = recorded(method)
    belief = recorder.beliefs[1]
    tick = trial.ticks[0, 1]
    other = replace(tick, reward=tick.reward + 1)
    one, two = (named_tensors(method.observe(belief, x)) for x in (tick, other))
    moved = {path for path, x in one.items() if not torch.equal(x, two[path])}
    assert moved == {"/high/memory/reward"}
    other = replace(tick, next_obs=tick.next_obs + 0.1)
    two = named_tensors(method.observe(belief, other))
    moved = {path for path, x in one.items() if not torch.equal(x, two[path])}
    assert moved
    assert all(path.startswith("/low") for path in moved)


# ---- what each level learns from ----


@LOW
@ENDS
def test_learning_finds_the_sub_goals_that_were_pursued(low: str, ends: dict[str, Any]) -> None:
    method = trained(low)
    trial, recorder = recorded(method, **ends)
    actions, targets = method.pursued(trial.ticks)
    for i, pursued in enumerate(recorder.pursued):
        e, t = divmod(i, H)
        valid = trial.ticks.valid[e, t]
        assert torch.equal(actions[e, t][valid], pursued.action[valid])
        assert torch.equal(targets[e, t][valid], pursued.target[valid])


def given_to(method: Hierarchical, trial: TrialBatch, patch: Any) -> dict[str, Transition]:
    """The transitions that each level learns from."""
    given: dict[str, Transition] = {}

    def noting(level: str) -> Any:
        def learn(trial: TrialBatch) -> dict[str, float]:
            given[level] = trial.ticks
            return {}

        return learn

    patch.setattr(method.high, "learn", noting("high"))
    patch.setattr(method.low, "learn", noting("low"))
    method.learn(trial)
    return given


@ENDS
def test_the_low_level_is_rewarded_for_nearing_the_sub_goal(
    ends: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = trained()
    trial, recorder = recorded(method, **ends)
    low = given_to(method, trial, monkeypatch)["low"]
    problem: Any = method.low.problem
    for e, t, world in trial.ticks.valid.nonzero().tolist():
        target = recorder.pursued[e * H + t].target[world].numpy()
        obs = trial.ticks.obs[e, t, world].numpy()
        next_obs = trial.ticks.next_obs[e, t, world].numpy()
        left = (target - next_obs) / SCALE
        tick = low[e, t, world]
        np.testing.assert_allclose(tick.reward, -np.sqrt((left**2).sum()), rtol=1e-5)
        np.testing.assert_allclose(tick.obs, [*obs, *((target - obs) / SCALE)], atol=1e-5)
        np.testing.assert_allclose(tick.next_obs, [*next_obs, *left], atol=1e-5)
        by_problem = problem.reward(tick.obs, tick.applied, tick.next_obs, trial.task[world])
        torch.testing.assert_close(by_problem, tick.reward)
    for name in ("action", "applied", "terminated", "truncated", "first", "begins", "valid"):
        assert torch.equal(getattr(low, name), getattr(trial.ticks, name)), name


@ENDS
def test_a_tick_of_the_high_level_is_a_sub_goal_with_all_that_it_earned(
    ends: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = trained()
    trial, recorder = recorded(method, **ends)
    high = given_to(method, trial, monkeypatch)["high"]
    assert high.reward.shape == (E, 3, N)
    t = trial.ticks
    for e in range(E):
        for m, ticks in enumerate(([0, 1], [2, 3], [4])):
            for world in range(N):
                alive = [i for i in ticks if t.valid[e, i, world]]
                assert bool(high.valid[e, m, world]) == (ticks[0] in alive)
                assert bool(high.begins[e, m, world]) == bool(t.begins[e, ticks[0], world])
                assert bool(high.first[e, m, world]) == (e == 0 and m == 0)
                if not alive:
                    continue
                tick = high[e, m, world]
                assert torch.equal(tick.obs, t.obs[e, ticks[0], world])
                action = recorder.pursued[e * H + ticks[0]].action[world]
                assert torch.equal(tick.action, action)
                assert torch.equal(tick.applied, action)
                earned = sum(float(t.reward[e, i, world]) for i in alive)
                assert float(tick.reward) == pytest.approx(earned, abs=1e-6)
                ended = any(bool(t.terminated[e, i, world]) for i in alive)
                assert bool(tick.terminated) == ended
                timed_out = any(bool(t.truncated[e, i, world]) for i in alive)
                assert bool(tick.truncated) == timed_out


@ENDS
def test_likelihood_ratios_of_the_high_level_begin_at_one(
    ends: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learning reads the same memories, and the same actions, as acting did."""
    method = trained()
    trial, recorder = recorded(method, **ends)
    with monkeypatch.context() as patch:
        high = given_to(method, trial, patch)["high"]
    sequence = replace(trial, ticks=high).sequences()
    batch = method.high.learner.prepare(sequence)
    starts = [e * H + t for e in range(E) for t in (0, 2, 4)]
    net = method.high.learner.net
    for world in range(N):
        valid = high.valid.flatten(0, 1)[:, world]
        for place, number in enumerate(valid.nonzero().flatten().tolist()):
            i = starts[number]
            obs = trial.ticks.obs.flatten(0, 1)[i]
            features, _ = method.high.encoder.step(obs, recorder.beliefs[i].high.memory)
            expected = net.log_prob(features, recorder.pursued[i].action)[world]
            torch.testing.assert_close(batch.log_prob[place, world], expected, atol=1e-4, rtol=0)
    assert method.high.learner.step(batch)["kl"] < 1e-8


@ENDS
def test_likelihood_ratios_of_a_low_level_begin_at_one(
    ends: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = trained("rl2")
    trial, recorder = recorded(method, **ends)
    with monkeypatch.context() as patch:
        ticks = given_to(method, trial, patch)["low"]
    low: Any = method.low
    batch = low.learner.prepare(replace(trial, ticks=ticks).sequences())
    for world in range(N):
        valid = trial.ticks.valid.flatten(0, 1)[:, world]
        for place, i in enumerate(valid.nonzero().flatten().tolist()):
            obs = method.space.widen(trial.ticks.obs.flatten(0, 1)[i], recorder.pursued[i].target)
            features, _ = low.encoder.step(obs, recorder.beliefs[i].low)
            action = trial.ticks.action.flatten(0, 1)[i]
            expected = low.learner.net.log_prob(features, action)[world]
            torch.testing.assert_close(batch.log_prob[place, world], expected, atol=1e-4, rtol=0)


@LOW
def test_each_level_learns_from_its_own_reward_alone(
    low: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After other rewards of the family, for the same sub-goals, only the high level differs."""
    states = []
    for sign in (1.0, -1.0):
        method = hierarchical(low=low)
        trial, _ = recorded(method)
        found = method.pursued(trial.ticks)
        monkeypatch.setattr(method, "pursued", lambda _, found=found: found)
        method.learn(with_reward(trial, sign * trial.ticks.reward))
        states.append(method.state_dict())
    state, other = (named_tensors(x) for x in states)
    differs = {path for path, x in state.items() if not torch.equal(x, other[path])}
    assert "/high/learner/net/actor.0.weight" in differs
    assert all(path.startswith("/high") for path in differs)


# ---- settings ----


def test_sub_goals_change_the_named_columns_and_never_an_observed_goal() -> None:
    problem = replace(problem_of(FAMILY), goal_columns=(1,))
    assert SubgoalSpace(problem, (), REACH, CPU).names == ["x"]
    space = SubgoalSpace(problem_of(FAMILY), ("y",), REACH, CPU)
    low = space.low_problem()
    assert low.obs_names == ("x", "y", "left.y")
    assert space.high_problem(K).action_names == ("change.y",)
    wide = space.widen(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.3]]))
    torch.testing.assert_close(wide, torch.tensor([[1.0, 2.0, 0.5]]))
    with pytest.raises(BadArgumentError, match="no column z to change; there are: x, y"):
        SubgoalSpace(problem_of(FAMILY), ("z",), REACH, CPU)


def test_it_refuses_trials_of_older_weights() -> None:
    schedule = replace(CONFIG.high.schedule, overlap=True)
    with pytest.raises(BadArgumentError, match=r"high\.schedule\.overlap must be false"):
        HierarchicalConfig(high=replace(CONFIG.high, schedule=schedule))


def test_random_trials_are_not_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    method = trained()
    trial, _ = recorded(method)
    task = FAMILY.sample(np.random.default_rng(1), N)
    random: Any = RandomPolicy(2, torch.Generator().manual_seed(0))
    other = rollout(NoisyScript(N), random, task, episodes=E)
    with monkeypatch.context() as patch:
        expected = given_to(method, trial, patch)
    method = trained()
    found = given_to(method, concat_trials([other, trial]), monkeypatch)
    for level in ("high", "low"):
        for path, x in named_tensors(expected[level]).items():
            assert torch.equal(x, named_tensors(found[level])[path]), path


@LOW
def test_the_low_level_has_the_schedule_of_the_high_one(low: str) -> None:
    method = hierarchical(low=low)
    assert method.low.schedule == method.schedule == CONFIG.high.schedule
