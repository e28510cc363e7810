"""Laws of RL² and PPO: learning unrolls what acting saw tick by tick, and a trial is one return."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy import BeliefRecorder, NoisyScript
from tiny import Tiny
from torch import Tensor

from adaptation.problem import problem_of
from adaptation.rollout import rollout
from policies.belief import named_tensors
from policies.method import TrialBatch
from policies.methods.rl2 import MemoryPolicy, Rl2, Rl2Belief, Rl2Config
from policies.methods.rl2_transformer import Rl2Transformer, Rl2TransformerConfig
from policies.methods.snail import Snail, SnailConfig
from policies.nn.attention import ROTARY_BASE, AttentionMemory
from policies.nn.memory import GruMemory, LstmMemory, Memory
from policies.nn.temporal_convolution import SnailMemory
from policies.rl import clipped_gaussian, ppo
from robots.errors import BadArgumentError

CPU = torch.device("cpu")
FAMILY = Tiny()
N = 4
CONFIG = Rl2Config(memory_size=8, hidden=8)
WINDOW = 4  # ticks, fewer than a trial has: it slides
ATTENTION = Rl2TransformerConfig(memory_size=8, hidden=8, heads=2, window=WINDOW)
SNAIL = SnailConfig(embedding=4, filters=3, attention=4, hidden=8, window=WINDOW)
RAGGED = {"terminated": {0: 1}, "truncated": {1: 2}, "diverged": {2: 0}}
ENDS = pytest.mark.parametrize("ends", [{}, RAGGED], ids=["whole", "ragged"])


KINDS = {
    "gru": (Rl2, CONFIG),
    "lstm": (Rl2, replace(CONFIG, memory="lstm")),
    "hypernetwork": (Rl2, replace(CONFIG, hypernetwork=True)),
    "attention": (Rl2Transformer, ATTENTION),
    "snail": (Snail, SNAIL),
}
every_memory = pytest.mark.parametrize("kind", KINDS)


def trained(kind: str = "gru") -> MemoryPolicy[Any]:
    """A method that has learned once, so that its normalizers have moved."""
    policy, config = KINDS[kind]
    method: MemoryPolicy[Any] = policy(problem_of(FAMILY), config, 0, CPU)
    method.learn(rollout(NoisyScript(N), method, tasks(), episodes=3))
    return method


def tasks(n: int = N) -> Any:
    return FAMILY.sample(np.random.default_rng(0), n)


def recorded(
    method: MemoryPolicy[Any], **ends: dict[int, int]
) -> tuple[TrialBatch, list[Rl2Belief[Any]]]:
    recorder: Any = BeliefRecorder(method)
    trial = rollout(NoisyScript(N, **ends), recorder, tasks(), episodes=3)
    return trial, recorder.beliefs


def valid_ticks(trial: TrialBatch, world: int) -> list[int]:
    """Numbers of a world's valid ticks, counted through the trial."""
    valid = trial.ticks.valid.flatten(0, 1)[:, world]
    return valid.nonzero().flatten().tolist()


def attention(window: int, blocks: int = 2) -> AttentionMemory:
    """Attention of four columns by two heads, with three columns of inputs."""
    g = torch.Generator().manual_seed(0)
    return AttentionMemory(3, 4, blocks, heads=2, window=window, generator=g)


def snail(window: int, blocks: int = 1) -> SnailMemory:
    """A SNAIL memory of three columns of inputs."""
    g = torch.Generator().manual_seed(0)
    return SnailMemory(
        inputs=3, embedding=4, filters=2, attention=3, blocks=blocks, window=window, generator=g
    )


MEMORIES = {
    "gru": GruMemory(3, 5, torch.Generator().manual_seed(0)),
    "lstm": LstmMemory(3, 5, torch.Generator().manual_seed(0)),
    "attention": attention(window=20),
    "attention to the last ticks": attention(window=2),
    "snail": snail(window=20, blocks=2),
    "snail over the last ticks": snail(window=2),
}


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_a_step_of_a_memory_is_what_its_scan_does_tick_by_tick(memory: Memory[Any]) -> None:
    inputs = torch.randn(7, N, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs, last = memory.scan(inputs, memory.initial(N))
        assert outputs.shape == (7, N, memory.size)
        state = memory.initial(N)
        for t in range(len(inputs)):
            output, state = memory.step(inputs[t], state)
            torch.testing.assert_close(output, outputs[t], atol=1e-5, rtol=0)
        assert_same_state(state, last)
        # A scan may be interrupted anywhere.
        first, middle = memory.scan(inputs[:3], memory.initial(N))
        rest, end = memory.scan(inputs[3:], middle)
        torch.testing.assert_close(torch.cat([first, rest]), outputs, atol=1e-5, rtol=0)
        assert_same_state(end, last)


def assert_same_state(found: Any, expected: Any) -> None:
    other = named_tensors(expected)
    for path, x in named_tensors(found).items():
        torch.testing.assert_close(x, other[path], atol=1e-5, rtol=0)


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_a_state_is_as_large_after_a_thousand_ticks_as_before_the_first(
    memory: Memory[Any],
) -> None:
    before = memory.initial(2)
    with torch.no_grad():
        _, after = memory.scan(torch.randn(1000, 2, 3), before)
    shapes = {path: x.shape for path, x in named_tensors(before).items()}
    assert {path: x.shape for path, x in named_tensors(after).items()} == shapes
    assert all(len(x) == 2 for x in named_tensors(after).values())


@pytest.mark.parametrize("memory", MEMORIES.values(), ids=MEMORIES)
def test_a_memory_sees_neither_the_future_nor_other_worlds(memory: Memory[Any]) -> None:
    inputs = torch.randn(7, N, 3, generator=torch.Generator().manual_seed(1))
    inputs.requires_grad_()
    outputs, _ = memory.scan(inputs, memory.initial(N))
    (gradient,) = torch.autograd.grad(outputs[4, 1].sum() + outputs[4, 1, 0], inputs)
    reached = (gradient != 0).any(-1)  # (7, N)
    assert reached[4, 1]
    assert not reached[5:].any()
    assert not reached[:, [0, 2, 3]].any()


def test_attention_reaches_back_one_window_for_each_block() -> None:
    inputs = torch.randn(9, 1, 3, generator=torch.Generator().manual_seed(1))
    inputs.requires_grad_()
    for blocks in (1, 2):
        memory = attention(window=3, blocks=blocks)
        outputs, _ = memory.scan(inputs, memory.initial(1))
        (gradient,) = torch.autograd.grad(outputs[8].sum() + outputs[8, 0, 0], inputs)
        reached = (gradient != 0).any(-1)[:, 0]
        assert reached.tolist() == [t >= 8 - 3 * blocks for t in range(9)]


def test_attention_is_the_softmax_over_the_window_as_it_is_written() -> None:
    """Vaswani et al. 2017, one query and one head at a time; Su et al. 2021 as complex numbers."""
    memory = attention(window=3, blocks=1)
    (block,) = memory.blocks
    inputs = torch.randn(6, 1, 3, generator=torch.Generator().manual_seed(1))

    def turned(x: Tensor, t: int) -> Tensor:
        """One head's columns, of which one half is real and the other imaginary."""
        frequency = ROTARY_BASE ** -(torch.arange(1) / 1)
        angle = torch.polar(torch.ones(1), t * frequency)
        return torch.complex(x[:1], x[1:]) * angle

    with torch.no_grad():
        outputs, _ = memory.scan(inputs, memory.initial(1))
        x = memory.embed(inputs[:, 0])
        query, key, value = block.project(block.attention_norm(x)).chunk(3, -1)
        for t in range(6):
            found = []
            for head in (slice(0, 2), slice(2, 4)):
                past = range(max(0, t - 3), t + 1)
                q = turned(query[t, head], t)
                scores = [(q.conj() * turned(key[s, head], s)).real.sum() / 2**0.5 for s in past]
                weights = torch.stack(scores).softmax(0)
                found.append((weights[:, None] * value[past.start : t + 1, head]).sum(0))
            h = x[t] + block.merge(torch.cat(found))
            h = h + block.feed_forward(block.forward_norm(h))
            torch.testing.assert_close(outputs[t, 0], memory.norm(h), atol=1e-5, rtol=0)


def test_snail_is_the_layers_as_they_are_written() -> None:
    """Mishra et al. 2018, one tick at a time; W = 2 has convolutions of distances 1 and 2."""
    memory = snail(window=2)
    (block,) = memory.blocks
    inputs = torch.randn(6, 1, 3, generator=torch.Generator().manual_seed(1))

    def tick(columns: list[Tensor], t: int) -> Tensor:
        return columns[t] if t >= 0 else torch.zeros_like(columns[0])

    with torch.no_grad():
        outputs, _ = memory.scan(inputs, memory.initial(1))
        x = list(memory.embed(inputs[:, 0]))
        for layer, distance in zip(block.convolutions, (1, 2), strict=True):
            found = []
            for t in range(6):
                two = torch.cat([tick(x, t - distance), tick(x, t)])
                value, gate = layer.project(two).chunk(2)
                found.append(torch.cat([x[t], value.tanh() * gate.sigmoid()]))
            x = found
        projected = [block.attention.project(one).chunk(3) for one in x]
        for t in range(6):
            past = projected[max(0, t - 2) : t + 1]
            scores = torch.stack([projected[t][0] @ key for _, key, _ in past]) / 3**0.5
            read = scores.softmax(0) @ torch.stack([value for _, _, value in past])
            torch.testing.assert_close(outputs[t, 0], torch.cat([x[t], read]), atol=1e-5, rtol=0)


def test_convolutions_span_the_window() -> None:
    """Distances 1, 2 and 4 look back 7 ticks; attention, left out here, the window of 4."""
    memory = snail(window=4)
    inputs = torch.randn(9, 1, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    outputs, _ = memory.scan(inputs, memory.initial(1))
    convolved = outputs[8, 0, : -memory.blocks[0].attention.size]
    (gradient,) = torch.autograd.grad(convolved.sum(), inputs)
    assert (gradient != 0).any(-1)[:, 0].tolist() == [t >= 8 - 7 for t in range(9)]


def test_only_the_distance_of_ticks_counts_for_attention() -> None:
    """Where the window is full, a trial may go on for ever: an older start changes nothing."""
    memory = attention(window=3, blocks=1)
    inputs = torch.randn(12, 1, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, _ = memory.scan(inputs, memory.initial(1))
        later, _ = memory.scan(inputs[4:], memory.initial(1))
    torch.testing.assert_close(later[3:], whole[7:], atol=1e-5, rtol=0)
    assert not torch.allclose(later[1], whole[5], atol=1e-3)


def test_the_order_of_ticks_counts_for_attention() -> None:
    memory = attention(window=5, blocks=1)
    inputs = torch.randn(4, 1, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        straight, _ = memory.scan(inputs, memory.initial(1))
        exchanged, _ = memory.scan(inputs[[1, 0, 2, 3]], memory.initial(1))
    assert not torch.allclose(straight[3], exchanged[3], atol=1e-4)


def test_heads_share_the_width_of_attention_evenly() -> None:
    with pytest.raises(BadArgumentError, match="multiple of 6"):
        AttentionMemory(3, 8, 1, heads=3, window=4, generator=torch.Generator())


@every_memory
@ENDS
def test_step_by_step_is_the_scan_over_the_trial(
    kind: str, ends: dict[str, dict[int, int]]
) -> None:
    method = trained(kind)
    trial, beliefs = recorded(method, **ends)
    sequence = trial.sequences()
    ticks = trial.ticks.flatten(0, 1)
    with torch.no_grad():
        features = method.encoder(sequence)
    for world in range(N):
        rows = valid_ticks(trial, world)
        assert torch.equal(sequence.obs[: len(rows), world], ticks.obs[rows, world])
        assert not sequence.valid[len(rows) :, world].any()
        for i, t in enumerate(rows):
            with torch.no_grad():
                acted_under, _ = method.encoder.step(ticks.obs[t], beliefs[t])
            assert torch.allclose(features[i, world], acted_under[world], atol=1e-5)


def clipped_log_prob(normal: torch.distributions.Normal, action: Tensor) -> Tensor:
    """Of a sample clipped to [-1, 1], element by element."""
    low = normal.cdf(torch.tensor(-1.0)).log()
    high = (1 - normal.cdf(torch.tensor(1.0))).log()
    inside = normal.log_prob(action)
    return torch.where(action <= -1, low, torch.where(action >= 1, high, inside))


@every_memory
@ENDS
def test_likelihood_ratios_begin_at_one(kind: str, ends: dict[str, dict[int, int]]) -> None:
    """The old likelihoods are those of the policy that acted: no normalizer has moved since."""
    method = trained(kind)
    net = method.learner.net
    trial, beliefs = recorded(method, **ends)
    batch = method.learner.prepare(trial.sequences())
    ticks = trial.ticks.flatten(0, 1)
    std = net.log_std.exp().detach()
    for world in range(N):
        for i, t in enumerate(valid_ticks(trial, world)):
            with torch.no_grad():
                features, _ = method.encoder.step(ticks.obs[t], beliefs[t])
                normal = torch.distributions.Normal(net.actor(features)[world], std)
            expected = clipped_log_prob(normal, ticks.action[t, world])
            assert torch.allclose(batch.log_prob[i, world], expected.sum(), atol=1e-4)
    assert method.learner.step(batch)["kl"] < 1e-8


@every_memory
def test_the_memory_is_reset_for_a_task_and_not_for_an_episode(kind: str) -> None:
    method = trained(kind)
    _, beliefs = recorded(method)
    starts = beliefs[:: FAMILY.horizon]
    assert is_empty(starts[0])
    assert not any(is_empty(belief) for belief in starts[1:])
    assert all((belief.begins == 1).all() for belief in starts)
    assert sum((belief.begins == 1).all() for belief in beliefs) == 3
    _, again = recorded(method)
    assert is_empty(again[0])


def is_empty(belief: Rl2Belief[Any]) -> bool:
    """Whether all of the memory is zero, in every world."""
    return all(bool((x == 0).all()) for x in named_tensors(belief.hidden).values())


@every_memory
def test_an_episodes_last_reward_is_read_at_the_next_ones_first_tick(kind: str) -> None:
    method = trained(kind)
    trial, _ = recorded(method)
    reward = trial.ticks.reward.clone()
    reward[0, -1] += 1
    other = replace(trial, ticks=replace(trial.ticks, reward=reward))
    with torch.no_grad():
        before = method.encoder(trial.sequences())
        after = method.encoder(other.sequences())
    changed = (before != after).any(-1)
    assert not changed[: FAMILY.horizon].any()
    assert changed[FAMILY.horizon].all()

    last = trial.ticks[0, -1]
    actions = []
    for tick in (last, replace(last, reward=last.reward + 1)):
        belief = method.observe(method.prior(N), tick)
        belief = method.adapt(belief, trial.ticks[0])
        actions.append(method.act(trial.ticks.obs[1, 0], belief, explore=False))
    assert (actions[0] != actions[1]).any(-1).all()


@every_memory
def test_the_memory_reads_the_applied_action_and_not_the_chosen_one(kind: str) -> None:
    method = trained(kind)
    trial, beliefs = recorded(method)
    assert not torch.equal(trial.ticks.applied, trial.ticks.action)
    assert torch.equal(beliefs[1].action, trial.ticks.applied[0, 0])


@every_memory
def test_trials_do_not_depend_on_each_other(kind: str) -> None:
    method = trained(kind)
    trial, _ = recorded(method)
    obs = trial.ticks.obs.clone()
    obs[:, :, 0] += 1
    other = replace(trial, ticks=replace(trial.ticks, obs=obs))
    before = method.learner.prepare(trial.sequences())
    after = method.learner.prepare(other.sequences())
    assert (before.log_prob[:, 0] != after.log_prob[:, 0]).all()
    assert torch.equal(before.log_prob[:, 1:], after.log_prob[:, 1:])


@every_memory
def test_a_world_that_has_ended_keeps_its_memory(kind: str) -> None:
    method = trained(kind)
    trial, beliefs = recorded(method, truncated={1: 2})
    for t in (3, 4):
        belief = beliefs[t]
        for path, x in named_tensors(belief.hidden).items():
            assert torch.equal(x[1], named_tensors(beliefs[3].hidden)[path][1])
        assert belief.reward[1] == trial.ticks.reward[0, 2, 1]
        assert belief.begins[1] == 0


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    gamma=st.floats(0, 1),
    gae_lambda=st.floats(0, 1),
    ended=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_advantages_are_the_weighted_mean_of_n_step_ones(
    seed: int, gamma: float, gae_lambda: float, ended: list[bool]
) -> None:
    """Schulman et al. 2016, equation 16, summed as it is written; nothing crosses an end."""
    g = torch.Generator().manual_seed(seed)
    reward, value = torch.randn(2, 6, dtype=torch.float64, generator=g)
    follows = ~torch.tensor(ended)
    follows[-1] = False
    columns = (x[:, None] for x in (reward, value, follows))
    found = ppo.advantages(*columns, gamma, gae_lambda)[:, 0]
    for t in range(6):
        expected = 0.0
        weight = 1.0
        for k in range(t, 6):
            next_value = gamma * value[k + 1] if follows[k] else 0.0
            expected += weight * (reward[k] + next_value - value[k])
            weight *= gamma * gae_lambda
            if not follows[k]:
                break
        assert abs(found[t] - expected) < 1e-9


LAST = FAMILY.horizon - 1


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [
        ({}, 15),
        ({"truncated": dict.fromkeys(range(N), LAST)}, 15),
        ({"terminated": dict.fromkeys(range(N), LAST)}, 15),
        ({"terminated": dict.fromkeys(range(N), 1)}, 6),  # each of the three episodes has two ticks
        ({"diverged": dict.fromkeys(range(N), 3)}, 9),  # the fourth tick of each is not valid
    ],
    ids=["whole", "truncated", "terminated", "ended early", "diverged"],
)
def test_a_trial_is_one_return(ends: dict[str, dict[int, int]], ticks: int) -> None:
    """Across the end of an episode the next one's rewards count, discounted by one tick.

    After the last valid tick of the trial nothing counts: neither a value nor an invalid reward.
    """
    method = trained()
    net = method.learner.net
    gamma = CONFIG.gamma
    trial, _ = recorded(method, **ends)
    sequence = trial.sequences()
    with torch.no_grad():
        value = net.return_norm.inverse(net.value(method.encoder(sequence)))
    bootstrap = ppo.bootstrap_mask(sequence)
    returns = ppo.advantages(sequence.reward, value, bootstrap, gamma, 1.0) + value
    for world in range(N):
        rows = valid_ticks(trial, world)
        assert len(rows) == ticks
        reward = trial.ticks.reward.flatten(0, 1)[rows, world]
        assert bootstrap[:, world].tolist() == [True] * (ticks - 1) + [False] * (16 - ticks)
        for t in range(ticks):
            weights = gamma ** torch.arange(float(ticks - t))
            expected = (weights * reward[t:]).sum()
            torch.testing.assert_close(returns[t, world], expected, atol=1e-4, rtol=0)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(mean=st.floats(-3, 3), std=st.floats(0.05, 2))
def test_the_likelihood_of_clipped_actions_sums_to_one(mean: float, std: float) -> None:
    """The density inside the range and the masses at its ends."""
    at = torch.tensor([mean], dtype=torch.float64)
    log_std = torch.tensor([std], dtype=torch.float64).log()
    inside = torch.linspace(-1, 1, 20001, dtype=torch.float64)[1:-1, None]
    ends = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    density = clipped_gaussian.log_prob(at, log_std, inside).exp()
    masses = clipped_gaussian.log_prob(at, log_std, ends).exp()
    assert abs(density.sum() * 1e-4 + masses.sum() - 1) < 1e-3


def test_actions_are_drawn_as_often_as_their_likelihood_says() -> None:
    mean = torch.tensor([0.4, -2.0]).expand(50_000, 2)
    log_std = torch.tensor([-0.5, 0.2])
    actions = clipped_gaussian.sample(mean, log_std, torch.Generator().manual_seed(0))
    for k, edge in ((0, 1.0), (1, -1.0)):
        mass = clipped_gaussian.log_prob(mean[0, [k]], log_std[[k]], torch.tensor([edge])).exp()
        share = (actions[:, k] == edge).float().mean()
        assert abs(share - mass) < 0.01
    assert torch.equal(clipped_gaussian.sample(mean[0], log_std, None), torch.tensor([0.4, -1.0]))


def test_the_surrogate_rewards_no_ratio_beyond_its_clip() -> None:
    log_ratio = torch.tensor([0.5, -0.5, 0.5, -0.5, 0.01]).requires_grad_()
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    ppo.surrogate(log_ratio, advantage, 0.2).sum().backward()
    assert log_ratio.grad is not None
    assert (log_ratio.grad != 0).tolist() == [False, True, True, False, True]


def test_trials_without_a_valid_tick_teach_nothing() -> None:
    method = trained()
    trial, _ = recorded(method, diverged=dict.fromkeys(range(N), 0))
    assert not trial.ticks.valid.any()
    method.learn(trial)
    assert all(p.isfinite().all() for p in method.learner.net.parameters())


def test_the_critics_targets_are_returns_in_units_of_the_new_statistics() -> None:
    """With no future, a return is its reward; the advantage is over the value before the update."""
    method = Rl2(problem_of(FAMILY), replace(CONFIG, gamma=0.0), 0, CPU)
    learner = method.learner
    norm = learner.net.return_norm
    for _ in range(2):
        trial, _ = recorded(method)
        ticks = trial.sequences()
        ticks = replace(ticks, reward=5 + 3 * ticks.reward)
        with torch.no_grad():
            value = norm.inverse(learner.net.value(method.encoder(ticks)))
        batch = learner.prepare(ticks)
        expected = ppo.standardized(ticks.reward - value, ticks.valid, (0, 1))
        torch.testing.assert_close(batch.advantage, expected)
        targets = batch.value_target
        torch.testing.assert_close(targets, norm(ticks.reward[..., None])[..., 0])
        assert abs(targets.mean()) < 0.1
        assert abs(targets.std() - 1) < 0.1


def test_the_normalizers_of_the_memory_move_after_the_gradient_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = Rl2(problem_of(FAMILY), CONFIG, 0, CPU)
    trial, _ = recorded(method, **RAGGED)
    counts = []

    def learn(ticks: Any) -> dict[str, float]:
        counts.append(float(method.encoder.obs_norm.count))
        return {}

    monkeypatch.setattr(method.learner, "learn", learn)
    method.learn(trial)
    assert counts == [0.0]
    valid = trial.ticks.valid
    torch.testing.assert_close(method.encoder.obs_norm.mean, trial.ticks.obs[valid].mean(0))
    reward = trial.ticks.reward[valid]
    torch.testing.assert_close(method.encoder.reward_norm.mean[0], reward.mean())
