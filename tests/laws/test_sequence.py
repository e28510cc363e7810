"""Laws of learning on sequences: what is acted under is what is learned from, and what follows."""

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
from policies.belief import map_tensors
from policies.method import Problem, Transition, TrialBatch, stack
from policies.methods import sequence
from policies.methods.sequence import Sequence, SequenceConfig, with_final_obs
from policies.rl.sac import SacConfig
from robots.errors import BadArgumentError

CPU = torch.device("cpu")
FAMILY = Tiny()
N = 4
SAC = SacConfig(hidden=(8,), meta_batch=4, gradient_steps=2)
CONFIG = SequenceConfig(sac=SAC, memory_size=8, heads=2, segment=60)
RAGGED = {"terminated": {0: 1}, "truncated": {1: 2}, "diverged": {2: 0}}
every_memory = pytest.mark.parametrize("memory", ["attention", "gru"])


def make(**changes: Any) -> Sequence:
    return Sequence(problem_of(FAMILY), replace(CONFIG, **changes), 0, CPU)


def tasks() -> Any:
    return FAMILY.sample(np.random.default_rng(0), N)


def trial_of(method: Any, **ends: dict[int, int]) -> TrialBatch:
    return rollout(NoisyScript(N, **ends), method, tasks(), episodes=3)


@every_memory
@pytest.mark.parametrize("ends", [{}, RAGGED], ids=["whole", "ragged"])
def test_features_of_a_stored_trial_are_those_that_were_acted_under(
    memory: str, ends: dict[str, dict[int, int]]
) -> None:
    method = make(memory=memory)
    method.learn(trial_of(method))  # so that the normalizers have moved
    recorder: Any = BeliefRecorder(method)
    trial = trial_of(recorder, **ends)
    sequence = trial.sequences()
    ticks = trial.ticks.flatten(0, 1)
    with torch.no_grad():
        features = method.encoder(with_final_obs(sequence, sequence.valid))
        for world in range(N):
            rows = ticks.valid[:, world].nonzero().flatten().tolist()
            for i, t in enumerate(rows):
                acted_under, _ = method.encoder.step(ticks.obs[t], recorder.beliefs[t])
                torch.testing.assert_close(
                    features[i, world], acted_under[world], atol=1e-5, rtol=0
                )
            if not rows:
                continue
            # The state after the last tick is the one that the next action would be taken in.
            last = rows[-1]
            belief = method.observe(recorder.beliefs[last], ticks[last])
            after, _ = method.encoder.step(ticks.next_obs[last], belief)
            end = features[len(rows), world]
            torch.testing.assert_close(end, after[world], atol=1e-5, rtol=0)


def targets(method: Sequence, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the critics' loss is given of one batch."""
    given: dict[str, Any] = {}
    original = sequence.critic_loss

    def record(sac: Any, batch: Transition, x: Tensor, next_x: Tensor, *rest: Any) -> Tensor:
        given.update(batch=batch, x=x, next_x=next_x, weights=rest[-1])
        return original(sac, batch, x, next_x, *rest)

    monkeypatch.setattr(sequence, "critic_loss", record)
    method.losses()
    return given


def test_value_flows_through_an_episode_s_end_and_not_beyond_a_last_termination(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """World 0 terminates in every episode; its trial ends only with the last of them."""
    method = make()
    method.learn(trial_of(method, terminated={0: 1}))
    slots = torch.zeros(N, dtype=torch.int64)
    monkeypatch.setattr(method.replay, "tasks", lambda *_: slots)
    given = targets(method, monkeypatch)
    stored, exists = method.replay.trials(slots[:1])
    length = int(exists.sum())
    assert stored.terminated[0, :length].sum() == 3
    found = given["batch"].terminated[:, 0]
    assert found[:length].nonzero().flatten().tolist() == [length - 1]
    weights = given["weights"][:, 0]
    assert torch.equal(weights > 0, exists[0])
    assert given["weights"].mean() == pytest.approx(1.0)  # a loss is a mean over its ticks
    # the next tick's features, also where an episode begins with it
    with torch.no_grad():
        features = method.encoder(with_final_obs(stored.transpose(0, 1), exists.T))
    torch.testing.assert_close(given["next_x"][:length, :1], features[1 : length + 1])


def test_value_flows_through_every_episode_s_end_in_segments_of_a_trial() -> None:
    """Trials of three episodes, all but the last tick of which go on, in segments of any cut."""
    method = make(segment=4, sac=replace(SAC, meta_batch=200))
    trial = trial_of(method)
    terminated = trial.ticks.truncated  # every episode ends by itself
    ticks = replace(trial.ticks, terminated=terminated, truncated=torch.zeros_like(terminated))
    ticks.obs[..., 0] = torch.arange(ticks.obs[..., 0].numel()).view(ticks.obs.shape[:-1])
    method.replay.add(replace(trial, ticks=ticks))
    whole = ticks.flatten(0, 1)
    drawn, exists, is_learned, _ = method.draw_segments()
    assert exists.all()
    final = with_final_obs(drawn, exists)
    learned_from = set()
    for i in range(200):
        world = int((whole.obs[..., 0] == drawn.obs[0, i, 0]).nonzero()[0, 1])
        order = whole.obs[:, world, 0].tolist()
        begin = order.index(float(drawn.obs[0, i, 0]))
        for t in range(len(drawn.obs)):
            number = begin + t
            is_last = number == len(order) - 1
            assert bool(is_learned[t, i]) == (t < len(drawn.obs) - 1 or is_last)
            if is_learned[t, i]:
                learned_from.add((world, number))
            if is_learned[t, i] and not is_last:  # what follows is the trial's own next tick
                assert torch.equal(final.obs[t + 1, i], whole.obs[number + 1, world])
                assert final.begins[t + 1, i] == whole.begins[number + 1, world]
    assert len(learned_from) == N * len(whole.obs), "each tick is learned from"


def test_what_stands_after_a_trial_changes_no_loss() -> None:
    def losses(spoil: bool) -> dict[str, Tensor]:
        method = make()
        method.learn(trial_of(method, terminated={0: 1}))
        for world in range(N):
            length = int(method.replay.length[world])
            if spoil:
                method.replay.data[world, length:] = 7.0
        return method.losses()

    expected = losses(spoil=False)
    for name, loss in losses(spoil=True).items():
        torch.testing.assert_close(loss, expected[name])


def test_gradients_reach_the_memory_from_the_critics_alone() -> None:
    method = make()
    method.learn(trial_of(method))
    for name, loss in method.losses().items():
        method.optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:
            loss.backward()
        memory = [p.grad for p in method.trained_encoder.parameters()]
        reached = any(g is not None and g.abs().sum() > 0 for g in memory)
        assert reached == (name == "critic"), name
        assert all(p.grad is None for p in method.encoder.parameters())


def test_hindsight_changes_the_rewards_that_the_memory_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = make(hindsight_share=1.0)
    method.replay.add(trial_of(method))
    task = torch.full((N, method.replay.task.shape[1]), 0.25)
    monkeypatch.setattr(sequence, "exchange_hidden_goals", lambda *_: task)

    def paid(_problem: Any, ticks: Transition, of: Tensor) -> Transition:
        return replace(ticks, reward=torch.full_like(ticks.reward, float(of[0, 0])))

    monkeypatch.setattr(sequence, "with_true_reward", paid)
    drawn = method.draw_segments()
    assert torch.equal(drawn.task, task)
    assert (drawn.ticks.reward == 0.25).all()


def test_a_state_resumes_exactly() -> None:
    method = make()
    trial = trial_of(method)
    method.learn(trial)
    other = make()
    other.load_state_dict(map_tensors(torch.clone, method.state_dict()))
    assert method.learn(trial) == other.learn(trial)


def test_the_averaged_memory_acts_and_follows_the_trained_one() -> None:
    method = make()
    before = [p.clone() for p in method.encoder.parameters()]
    method.learn(trial_of(method))
    pairs = zip(
        before, method.encoder.parameters(), method.trained_encoder.parameters(), strict=True
    )
    moved = 0
    for old, averaged, trained in pairs:
        step = (averaged - old) * (trained - old)
        assert (step >= 0).all()
        moved += int((step > 0).sum())
    assert moved > 0
    for averaged, trained in zip(
        method.encoder.buffers(), method.trained_encoder.buffers(), strict=True
    ):
        assert torch.equal(averaged, trained)
    obs = torch.zeros(N, method.problem.obs_dim)
    belief = method.prior(N)
    action = method.act(obs, belief, explore=False)
    with torch.no_grad():
        method.trained_encoder.memory.embed[0].bias += 1.0
    assert torch.equal(method.act(obs, belief, explore=False), action)
    with torch.no_grad():
        method.encoder.memory.embed[0].bias += 1.0
    assert not torch.equal(method.act(obs, belief, explore=False), action)


def test_critics_learn_from_the_training_reward_and_the_memory_reads_the_true_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = make()
    method.learn(trial_of(method))

    def other(_problem: Any, ticks: Transition, _task: Tensor) -> Transition:
        return replace(ticks, reward=ticks.reward + 5)

    read: list[Tensor] = []
    method.trained_encoder.register_forward_pre_hook(
        lambda _module, inputs: read.append(inputs[0].reward)
    )
    monkeypatch.setattr(sequence, "with_training_reward", other)
    given = targets(method, monkeypatch)
    assert torch.equal(given["batch"].reward, read[0][:-1] + 5)


def test_no_episode_begins_with_the_state_after_a_segment() -> None:
    method = make()
    ticks = trial_of(method).sequences()[:1]  # its one tick begins an episode
    assert ticks.begins.all()
    extended = with_final_obs(ticks, ticks.valid)
    assert extended.begins.tolist() == [[True] * N, [False] * N]


PROBLEM = Problem(
    family="sign",
    obs_names=("nothing",),
    obs_low=(-1.0,),
    obs_high=(1.0,),
    action_names=("a",),
    horizon=4,
    episodes=2,
    task_names=("sign",),
    task_low=(-1.0,),
    task_high=(1.0,),
    reward=None,
)


def play(method: Sequence, sign: Tensor, explore: bool, adapt: bool = True) -> TrialBatch:
    """Two episodes of four ticks that pay an action times a hidden sign (n,)."""
    n = len(sign)
    no = torch.zeros(n, dtype=torch.bool)
    nothing = torch.zeros(n, 1)
    belief = method.prior(n)
    episodes = []
    for _ in range(2):
        ticks = []
        for t in range(4):
            action = method.act(nothing, belief, explore)
            reward = sign * action[:, 0]
            last = no | (t == 3)
            begins = no | (t == 0)
            tick = Transition(
                nothing, action, action, reward, nothing, no, last, begins, begins, ~no
            )
            belief = method.observe(belief, tick) if adapt else belief
            ticks.append(tick)
        episodes.append(stack(ticks))
        belief = method.adapt(belief, episodes[-1]) if adapt else belief
    success = torch.zeros(2, n, dtype=torch.bool)
    return TrialBatch(stack(episodes), sign[:, None], torch.arange(n), success)


def signs(n: int, seed: int) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)).sign()


@every_memory
def test_a_hidden_sign_is_learned_from_the_rewards_of_a_trial(memory: str) -> None:
    sac = SacConfig(hidden=(32,), lr=3e-3, meta_batch=32, gradient_steps=20, ema_rate=0.05)
    config = SequenceConfig(
        sac=sac, memory=memory, memory_size=16, heads=2, segment=8, encoder_lr=3e-3
    )
    method = Sequence(PROBLEM, config, 0, CPU)
    for i in range(20):
        method.learn(play(method, signs(32, i), explore=True))
    sign = signs(200, 99)
    adapted = play(method, sign, explore=False).ticks.reward
    unadapted = play(method, sign, explore=False, adapt=False).ticks.reward
    assert adapted[1].mean() > 0.8  # the most is 1
    assert unadapted[1].mean().abs() < 0.2


def test_a_setting_that_has_no_effect_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="batch_per_task has no effect"):
        replace(CONFIG, sac=replace(SAC, batch_per_task=4))
