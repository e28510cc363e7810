"""Laws of the replay: it samples valid transitions of the tasks asked for."""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from policies.method import Transition, TrialBatch
from policies.rl.replay import Replay
from policies.rl.replay_storage import FLAGS

CPU = torch.device("cpu")
E, H = 2, 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def empty(capacity: int) -> Replay:
    return Replay(capacity, CPU)


def trial(first: int, n: int, lengths: list[int] | None = None) -> TrialBatch:
    """n tasks whose ticks carry their own place: obs is (task, tick of the trial).

    ``lengths`` are of each task's episodes, all alike; later ticks are not valid and hold NaN.
    """
    tick = torch.arange(E * H).view(E, H, 1).expand(E, H, n).float()
    task = torch.arange(first, first + n).expand(E, H, n).float()
    length = torch.tensor(lengths or [H] * n).expand(E, 1, n)
    valid = torch.arange(H)[None, :, None] < length
    hide = torch.where(valid, 0.0, torch.nan)
    obs = torch.stack([task + hide, tick], -1)
    no = torch.zeros(E, H, n, dtype=torch.bool)
    ticks = Transition(
        obs=obs,
        action=0.1 * obs,
        applied=0.2 * obs,
        reward=task + tick / 100 + hide,
        next_obs=2 * obs,
        terminated=no,
        truncated=tick % H == H - 1,
        first=no,
        begins=tick % H == 0,
        valid=valid,
    )
    parameters = torch.arange(first, first + n).float()[:, None]
    return TrialBatch(ticks, parameters, torch.arange(n), no[:, 0])


def is_consistent(t: Transition) -> bool:
    """Whether every row is as ``trial`` made it."""
    task, tick = t.obs.unbind(-1)
    checks = [
        t.valid.all(),
        torch.equal(t.reward, task + tick / 100),
        torch.equal(t.action, 0.1 * t.obs),
        torch.equal(t.applied, 0.2 * t.obs),
        torch.equal(t.next_obs, 2 * t.obs),
        torch.equal(t.truncated, tick % H == H - 1),
        torch.equal(t.begins, tick % H == 0),
        not t.terminated.any(),
    ]
    return all(checks)


def stored_tasks(replay: Replay) -> set[int]:
    return set(replay.task[: len(replay), 0].int().tolist())


lengths = st.lists(st.integers(0, H), min_size=1, max_size=8).filter(any)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lengths, st.integers(1, E * H + 3), st.integers(0, 99), st.sampled_from([None, 1, 4, 99]))
def test_a_context_has_valid_transitions_of_its_task_and_none_twice(
    lengths: list[int], size: int, seed: int, newest: int | None
) -> None:
    replay = empty(20)
    replay.add(trial(10, len(lengths), lengths))
    slots = replay.tasks(30, seeded(seed))
    rows, mask = replay.contexts(slots, size, seeded(seed), newest)
    width = min(size, E * H)
    assert mask.shape == rows.reward.shape == (30, width)
    assert rows.obs.isfinite().all(), "there is no NaN beside the context either"
    for i, slot in enumerate(slots):
        context = rows[i][mask[i]]
        length = 2 * lengths[int(replay.task[slot, 0]) - 10]
        available = min(length, newest or length)
        assert 1 <= len(context.reward) <= min(width, available)
        assert is_consistent(context)
        assert (context.obs[:, 0] == replay.task[slot, 0]).all()
        assert len(context.obs[:, 1].unique()) == len(context.reward)


def test_contexts_are_of_all_sizes_and_of_all_transitions() -> None:
    replay = empty(4)
    replay.add(trial(0, 1))
    slots = torch.zeros(2000, dtype=torch.int64)
    rows, mask = replay.contexts(slots, 6, seeded())
    sizes = mask.sum(1).bincount(minlength=7)
    ticks = rows.obs[..., 1][mask].int().bincount(minlength=E * H)
    assert (sizes[1:] > 250).all()  # 333 on average
    assert (ticks > 500).all()  # 700 on average


def test_a_recent_context_has_only_the_newest_transitions() -> None:
    replay = empty(4)
    replay.add(trial(0, 2, [H, 3]))
    slots = torch.tensor([0, 1]).repeat(500)
    rows, mask = replay.contexts(slots, E * H, seeded(), newest=4)
    drawn = [rows.obs[i, :, 1][mask[i]] for i in range(len(slots))]
    assert torch.cat(drawn[0::2]).unique().tolist() == [6, 7, 8, 9]
    assert torch.cat(drawn[1::2]).unique().tolist() == [2, 5, 6, 7]
    assert {len(context) for context in drawn} == {1, 2, 3, 4}

    everything = replay.transitions(slots, 20, seeded()).obs[..., 1]
    assert len(everything[0::2].unique()) == E * H, "the other samplers are not restricted"


def test_without_a_window_a_context_is_drawn_from_all_transitions() -> None:
    """And by the same random numbers as with a window that holds them all."""
    replay = empty(4)
    replay.add(trial(0, 2))
    slots = torch.tensor([0, 1, 1])
    rows, mask = replay.contexts(slots, 6, seeded())
    windowed_rows, windowed_mask = replay.contexts(slots, 6, seeded(), newest=E * H)
    assert torch.equal(rows.obs, windowed_rows.obs)
    assert torch.equal(mask, windowed_mask)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lengths, st.integers(0, 99))
def test_drawn_transitions_are_valid_ones_of_their_task(lengths: list[int], seed: int) -> None:
    replay = empty(20)
    new = replay.add(trial(10, len(lengths), lengths))
    assert is_consistent(new)
    assert len(new.reward) == 2 * sum(lengths)
    assert len(replay) == sum(length > 0 for length in lengths), "empty tasks are left out"
    slots = replay.tasks(30, seeded(seed))
    rows = replay.transitions(slots, 7, seeded(seed))
    assert rows.obs.shape == (30, 7, 2)
    assert is_consistent(rows)
    assert torch.equal(rows.obs[..., 0], replay.task[slots].expand(-1, 7))


@pytest.mark.parametrize("added", [2, 5, 7])
def test_tasks_may_be_drawn_from_the_newest_alone(added: int) -> None:
    replay = empty(5)
    for first in range(added):
        replay.add(trial(first, 1))
    for newest in (1, 2, 4, 9):
        slots = replay.tasks(200, seeded(), newest)
        kept = min(newest, added, 5)
        expected = set(range(added - kept, added))
        assert set(replay.task[slots, 0].int().tolist()) == expected
        age = replay.age(slots)
        assert torch.equal(age, added - 1 - replay.task[slots, 0].long())


def test_every_transition_is_drawn_about_as_often() -> None:
    replay = empty(4)
    replay.add(trial(0, 2, [H, 2]))
    rows = replay.transitions(torch.tensor([1]), 4000, seeded())
    counts = rows.obs[..., 1].int().flatten().bincount(minlength=E * H)
    valid = counts[[0, 1, H, H + 1]]
    assert (valid > 850).all()  # 1000 on average
    assert counts.sum() == valid.sum()


def test_the_ring_overwrites_the_oldest_tasks() -> None:
    replay = empty(5)
    stages = [
        (0, {0, 1, 2}),
        (3, {1, 2, 3, 4, 5}),
        (6, {4, 5, 6, 7, 8}),
    ]
    for first, expected in stages:
        replay.add(trial(first, 3))
        assert stored_tasks(replay) == expected
        drawn = replay.transitions(replay.tasks(300, seeded()), 2, seeded())
        assert set(drawn.obs[..., 0].int().flatten().tolist()) == expected
    replay.add(trial(20, 8))  # more than there is room for
    assert len(replay) == 5
    assert stored_tasks(replay) == {23, 24, 25, 26, 27}


def test_a_short_task_in_an_old_slot_leaves_nothing_of_the_long_one() -> None:
    replay = empty(1)
    replay.add(trial(0, 1))
    replay.add(trial(1, 1, [1]))
    rows, mask = replay.contexts(torch.zeros(200, dtype=torch.int64), E * H, seeded())
    assert mask.sum(1).max() == 2
    assert (rows.obs[..., 0][mask] == 1).all()
    drawn = replay.transitions(torch.zeros(1, dtype=torch.int64), 200, seeded())
    assert (drawn.obs[..., 0] == 1).all()


def test_whole_trials_come_in_time_order_with_their_episodes_marked() -> None:
    replay = empty(4)
    replay.add(trial(0, 3, [2, H, 3]))
    rows, mask = replay.trials(torch.tensor([2, 0]))
    assert mask.sum(1).tolist() == [6, 4]
    assert rows.obs[0, :, 1][mask[0]].tolist() == [0, 1, 2, 5, 6, 7]
    assert rows.obs[1, :, 1][mask[1]].tolist() == [0, 1, 5, 6]
    episode = rows.begins.cumsum(1) - 1
    assert episode[0][mask[0]].tolist() == [0, 0, 0, 1, 1, 1]
    assert episode[1][mask[1]].tolist() == [0, 0, 1, 1]


Sampler = Callable[[Replay, Tensor], Transition]


def draw_transitions(replay: Replay, slots: Tensor) -> Transition:
    return replay.transitions(slots, 3, seeded())


def draw_contexts(replay: Replay, slots: Tensor) -> Transition:
    rows, _ = replay.contexts(slots, 4, seeded())
    return rows


@pytest.mark.parametrize("sample", [draw_transitions, draw_contexts])
@pytest.mark.parametrize("added", [0, 1, 3])
def test_a_restored_replay_continues_as_the_original(added: int, sample: Sampler) -> None:
    original = empty(4)
    restored = empty(4)
    for k in range(added):
        original.add(trial(3 * k, 3, [2, H, 1]))
    state = original.state_dict()
    restored.load_state_dict(state)
    for replay in (original, restored):
        replay.add(trial(90, 3))
    slots = original.tasks(50, seeded())
    assert torch.equal(slots, restored.tasks(50, seeded()))
    for f in fields(Transition):
        a = getattr(sample(original, slots), f.name)
        b = getattr(sample(restored, slots), f.name)
        torch.testing.assert_close(a, b, equal_nan=True, rtol=0, atol=0)


def test_flags_come_out_as_flags() -> None:
    replay = empty(2)
    one = trial(0, 1)
    ended = one.ticks.terminated.clone()
    ended[1, H - 1] = True
    replay.add(replace(one, ticks=replace(one.ticks, terminated=ended)))
    rows, _ = replay.trials(torch.tensor([0]))
    assert {name: getattr(rows, name).dtype for name in FLAGS} == dict.fromkeys(FLAGS, torch.bool)
    assert rows.terminated[0].tolist() == [False] * (E * H - 1) + [True]


def test_trials_of_other_shapes_are_refused() -> None:
    replay = empty(4)
    replay.add(trial(0, 1))
    short = trial(0, 1)
    with pytest.raises(ValueError, match="do not fit"):
        replay.add(replace(short, ticks=short.ticks[:1]))


def test_a_window_ends_before_a_tick_and_stays_in_its_episode() -> None:
    replay = empty(4)
    lengths = [5, 3, 4]
    replay.add(trial(0, 3, lengths))
    size = 4
    for task, length in enumerate(lengths):
        for end in range(E * length):
            episode_start = end - end % length
            first = max(episode_start, end - size)
            t, mask = replay.windows(torch.tensor([task]), torch.tensor([end]), size)
            expected, _ = replay.trials(torch.tensor([task]))
            assert is_consistent(t[mask])
            assert torch.equal(t[mask].obs, expected.obs[0, first:end])
            assert torch.equal(mask[0], torch.arange(size) >= size - (end - first))


def test_a_history_ends_before_a_tick_and_goes_on_over_episodes() -> None:
    replay = empty(4)
    lengths = [5, 3, 4]
    replay.add(trial(0, 3, lengths))
    for task, length in enumerate(lengths):
        expected, _ = replay.trials(torch.tensor([task]))
        for size in (4, 12):
            for end in range(E * length + 1):
                first = max(0, end - size)
                t, mask = replay.history(torch.tensor([task]), torch.tensor([end]), size)
                assert is_consistent(t[mask])
                assert torch.equal(t[mask].obs, expected.obs[0, first:end])
                assert torch.equal(mask[0], torch.arange(size) >= size - (end - first))


@pytest.mark.parametrize("size", [3, 7, 20])
def test_segments_are_consecutive_from_anywhere_in_the_trial(size: int) -> None:
    replay = empty(4)
    lengths = [5, 3, 1]
    replay.add(trial(0, 3, lengths))
    slots = torch.arange(3).repeat(200)
    t, mask, goes_on = replay.segments(slots, size, seeded())
    assert mask.shape == (600, min(size, E * H))
    begins: dict[int, set[int]] = {0: set(), 1: set(), 2: set()}
    ends = []
    for slot, own, exists in zip(slots.tolist(), t.reward, mask, strict=True):
        total = E * lengths[slot]
        assert int(exists.sum()) == min(size, total)
        assert exists[: int(exists.sum())].all()
        stored, _ = replay.trials(torch.tensor([slot]))
        order = stored.reward[0].tolist()
        begin = order.index(float(own[0]))
        ends.append(begin + size < total)
        assert own[exists].tolist() == order[begin : begin + int(exists.sum())]
        begins[slot].add(begin)
    for slot, found in begins.items():
        latest = max(0, E * lengths[slot] - size)
        assert found == set(range(latest + 1))
    assert goes_on.tolist() == ends


def test_no_transition_of_a_long_trial_is_rare_in_segments() -> None:
    replay = empty(1)
    replay.add(trial(0, 1))
    t, _, _ = replay.segments(torch.zeros(4000, dtype=torch.int64), 4, seeded())
    counts = torch.bincount(t.obs[..., 1].flatten().long(), minlength=E * H)
    assert counts.max() < 2.2 * counts.min()
