"""Laws of ReBAL: a memory is that of the last ticks of one episode, and predicts what is ahead."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from test_grbal import HORIZON, OBS, A, make_problem, make_trial, random
from torch import Tensor

from policies.belief import map_tensors
from policies.method import CollectionSchedule, Transition
from policies.methods.rebal import Rebal, RebalBelief, RebalConfig
from policies.models.rebal_dynamics import RebalDynamics
from policies.nn.memory import LstmState
from policies.planning.icem import IcemConfig

N, M, K, H = 3, 4, 3, 6  # worlds, past ticks, future ticks, units
CONFIG = RebalConfig(
    memory_size=H,
    embedding=5,
    past_steps=M,
    future_steps=K,
    planner=IcemConfig(
        horizon=3,
        num_samples=8,
        num_elites=3,
        num_kept_elites=1,
        iterations=1,
        cold_iterations=2,
    ),
    meta_batch=8,
    gradient_steps=2,
    schedule=CollectionSchedule(meta_batch=N, episodes_per_trial=2),
)
both_rewards = pytest.mark.parametrize("hidden_reward", [False, True])


def make_method(hidden_reward: bool = False) -> Rebal:
    method = Rebal(make_problem(hidden_reward), CONFIG, 0, torch.device("cpu"))
    method.learn(make_trial(32, seed=9))
    return method


@pytest.fixture(scope="module")
def method() -> Rebal:
    return make_method()


def observe_all(method: Rebal, ticks: Transition, belief: RebalBelief | None = None) -> RebalBelief:
    """The belief after ticks (T, n, ...)."""
    if belief is None:
        belief = method.prior(ticks.obs.shape[1])
    for t in range(len(ticks.obs)):
        belief = method.observe(belief, ticks[t])
    return belief


def lstm(model: RebalDynamics, x: Tensor, state: LstmState) -> LstmState:
    """One step of an LSTM as it is written (Hochreiter and Schmidhuber 1997, with forget gate)."""
    weights = dict(model.memory.lstm.named_parameters())
    from_input = x @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
    from_hidden = state.hidden @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
    write, forget, new, show = (from_input + from_hidden).chunk(4, -1)
    cell = forget.sigmoid() * state.cell + write.sigmoid() * new.tanh()
    return LstmState(show.sigmoid() * cell.tanh(), cell)


def tick_before(model: RebalDynamics, t: Transition, k: int) -> Tensor:
    """What is read at the k-th of ticks (L, ...) of the one before, written out."""
    if k == 0 or bool(t.begins[k]):
        return torch.zeros(model.last_dim)
    outcome = t.next_obs[k - 1] - t.obs[k - 1]
    if model.predict_reward:
        outcome = torch.cat([outcome, t.reward[k - 1, None]])
    norm = model.outcome_norm
    return torch.cat([t.applied[k - 1], (outcome - norm.mean) * norm.inv_std])


def embedded(model: RebalDynamics, obs: Tensor, last: Tensor, action: Tensor) -> Tensor:
    """The input of the LSTM."""
    normalized = (obs - model.obs_norm.mean) * model.obs_norm.inv_std
    return torch.relu(model.embed(torch.cat([normalized, last, action])))


def read_from(model: RebalDynamics, t: Transition, begin: int, end: int) -> LstmState:
    """The memory that has read ticks ``begin`` to ``end`` - 1 of (L, ...), and nothing before."""
    state = LstmState(torch.zeros(H), torch.zeros(H))
    for k in range(begin, end):
        x = embedded(model, t.obs[k], tick_before(model, t, k), t.applied[k])
        state = lstm(model, x, state)
    return state


# ---- the belief ----


@both_rewards
def test_the_memory_is_the_scan_over_the_last_ticks(hidden_reward: bool) -> None:
    """Whether fewer than M ticks have passed or more."""
    method = make_method(hidden_reward)
    ticks = make_trial().ticks[0]
    belief = method.prior(N)
    for t in range(HORIZON):
        belief = method.observe(belief, ticks[t])
        for i in range(N):
            expected = read_from(method.model, ticks[:, i], max(0, t + 1 - M), t + 1)
            torch.testing.assert_close(belief.adapted.hidden[i], expected.hidden)
            torch.testing.assert_close(belief.adapted.cell[i], expected.cell)


def test_the_memory_is_empty_when_an_episode_begins(method: Rebal) -> None:
    """Whether ``adapt`` is called between the episodes or not."""
    ticks = make_trial().ticks
    head = ticks[1, :2]
    alone = observe_all(method, head)
    first_episode = observe_all(method, ticks[0])
    for before in (first_episode, method.adapt(first_episode, ticks[0])):
        after = observe_all(method, head, before)
        assert torch.equal(after.memories.hidden, alone.memories.hidden)
        assert torch.equal(after.memories.cell, alone.memories.cell)
    assert not torch.equal(first_episode.adapted.hidden, alone.adapted.hidden)


def test_an_unusable_tick_leaves_the_belief_unchanged(method: Rebal) -> None:
    ticks = make_trial().ticks[0]
    belief = observe_all(method, ticks[:3])
    tick = map_tensors(torch.clone, ticks[3])
    tick.valid[0] = False
    tick.next_obs[1, 0] = torch.nan
    after = method.observe(belief, tick)
    usable = method.observe(belief, ticks[3])
    for changed, kept, new in (
        (after.memories.cell, belief.memories.cell, usable.memories.cell),
        (after.last, belief.last, usable.last),
        (after.plan.mean, belief.plan.mean, usable.plan.mean),
    ):
        assert torch.equal(changed[:2], kept[:2])
        torch.testing.assert_close(changed[2], new[2])
        assert not torch.equal(changed[2], kept[2])


def test_a_world_believes_and_plans_alone_as_among_others(method: Rebal) -> None:
    ticks = make_trial().ticks[0, :5]
    together = observe_all(method, ticks)
    for i in range(N):
        alone = observe_all(method, ticks[:, i : i + 1])
        torch.testing.assert_close(alone.adapted.cell[0], together.adapted.cell[i])
        mean = together.plan.mean[i]
        torch.testing.assert_close(alone.plan.mean[0], mean, atol=1e-4, rtol=1e-4)


# ---- the model ----


@both_rewards
def test_a_plan_goes_on_reading_what_it_predicts(hidden_reward: bool) -> None:
    model = make_method(hidden_reward).model
    ticks = make_trial().ticks[0]
    actions = torch.rand(N, 2, 4, A, generator=random(2)) * 2 - 1
    changes = (model.outcome_norm.m2 > 0).float()
    std = changes / model.outcome_norm.inv_std
    memories = [read_from(model, ticks[:, i], 0, 3) for i in range(N)]
    memory = LstmState(
        torch.stack([m.hidden for m in memories]), torch.stack([m.cell for m in memories])
    )
    last = torch.stack([tick_before(model, ticks[:, i], 3) for i in range(N)])
    with torch.no_grad():
        states, rewards = model.rollout(ticks.obs[3], last, memory, actions)
        for i in range(N):
            for p in range(2):
                state, obs, before = memories[i], ticks.obs[3, i], last[i]
                for t in range(4):
                    action = actions[i, p, t]
                    state = lstm(model, embedded(model, obs, before, action), state)
                    outcome = model.head(state.hidden)
                    physical = model.outcome_norm.mean + std * outcome
                    obs = obs + physical[:OBS]
                    before = torch.cat([action, outcome])
                    torch.testing.assert_close(states[t + 1, i, p], obs, atol=1e-5, rtol=1e-4)
                    torch.testing.assert_close(
                        rewards[t, i, p], physical[OBS:], atol=1e-5, rtol=1e-4
                    )
    assert rewards.shape[-1] == hidden_reward
    assert (states[..., 2] == ticks.obs[3, :, 2, None]).all(), "a constant column stays constant"


@both_rewards
def test_the_loss_is_that_of_predictions_from_every_tick_written_out(hidden_reward: bool) -> None:
    """Two windows: one that begins an episode, and one within it that the episode ends in."""
    model = make_method(hidden_reward).model
    ticks = make_trial().ticks[0]
    errors = []
    windows = []
    for world, begin in ((0, 0), (1, 4)):
        t = ticks[:, world]
        window = [t[max(0, min(HORIZON - 1, begin - 1 + k))] for k in range(1 + M + K)]
        exists = [0 <= begin - 1 + k < HORIZON for k in range(1 + M + K)]
        windows.append((window, exists))
        for start in range(begin, begin + M + 1):
            state = read_from(model, t, begin, min(start, HORIZON))
            if start >= HORIZON:
                continue
            obs, last = t.obs[start], tick_before(model, t, start)
            for k in range(start, min(start + K, HORIZON)):
                state = lstm(model, embedded(model, obs, last, t.applied[k]), state)
                outcome = model.head(state.hidden)
                std = model.outcome_norm.std().float()
                obs = obs + (model.outcome_norm.mean + std * outcome)[:OBS]
                last = torch.cat([t.applied[k], outcome])
                error = (t.next_obs[k] - obs) * model.outcome_norm.inv_std[:OBS]
                if hidden_reward:
                    norm = model.outcome_norm
                    reward = (t.reward[k] - norm.mean[OBS]) * norm.inv_std[OBS]
                    error = torch.cat([error, (reward - outcome[OBS])[None]])
                errors.append(error.square().mean())
    stacked = map_windows([window for window, _ in windows])
    mask = torch.tensor([exists for _, exists in windows])
    loss = model.loss(stacked, mask, K)
    torch.testing.assert_close(loss, torch.stack(errors).mean(), atol=1e-6, rtol=1e-5)


def map_windows(windows: list[list[Transition]]) -> Transition:
    """Windows as lists of ticks, as one transition (b, L, ...)."""

    def stacked(name: str) -> Tensor:
        rows = [torch.stack([getattr(tick, name) for tick in window]) for window in windows]
        return torch.stack(rows)

    return Transition(**{name: stacked(name) for name in vars(windows[0][0])})


def test_nothing_is_predicted_from_a_memory_that_has_read_it(method: Rebal) -> None:
    """The loss reads no observation beyond the last start, and no outcome of a predicted tick."""
    t = make_trial(4).ticks[0, : 1 + M + 1].transpose(0, 1)
    mask = torch.ones(4, 1 + M + 1, dtype=torch.bool)
    obs = t.obs.clone().requires_grad_()
    next_obs = t.next_obs.clone().requires_grad_()
    read: list[Tensor] = []

    def record(_module: Any, inputs: tuple[Tensor, ...]) -> None:
        read.append(inputs[0])

    hook = method.model.embed.register_forward_pre_hook(record)
    method.model.loss(replace(t, obs=obs, next_obs=next_obs), mask, 1)
    hook.remove()
    assert len(read) == M + 1
    for k in range(M):  # what is read at the k-th tick of the past
        of_obs, of_next = torch.autograd.grad(
            read[k].sum(), (obs, next_obs), retain_graph=True, allow_unused=True
        )
        assert (of_next[:, k + 1 :] == 0).all()
        assert (of_next[:, k] != 0).any()
        assert (of_obs[:, k + 2 :] == 0).all()


def test_the_loss_trains_the_whole_network_and_no_statistics(method: Rebal) -> None:
    before = {name: x.clone() for name, x in method.model.named_buffers()}
    method.step()
    assert all(torch.equal(x, before[name]) for name, x in method.model.named_buffers())
    for name, parameter in method.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_training_windows_are_of_one_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make_method()
    loss = method.model.loss
    seen = []

    def record(t: Transition, mask: Tensor, future_steps: int) -> Tensor:
        seen.append((t, mask))
        return loss(t, mask, future_steps)

    monkeypatch.setattr(method.model, "loss", record)
    for _ in range(20):
        method.step()
    begins_at = set()
    for t, mask in seen:
        assert mask.shape[1] == 1 + M + K
        assert mask[:, 1].all()
        later = mask[:, 2:] & t.begins[:, 2:]
        assert not later.any()
        assert not (mask[:, 0] & t.begins[:, 1]).any()
        begins_at |= set(t.begins[:, 1].tolist())
    assert begins_at == {False, True}
