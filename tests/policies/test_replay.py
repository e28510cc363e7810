"""What the replay may hand out: transitions of the tasks asked for, valid ones, none twice in a context."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.method import Transition, TrialBatch
from policies.rl.replay import FLAGS, Replay

E, H = 2, 5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trial(first: int, n: int, lengths: list[int] | None = None) -> TrialBatch:
    """n tasks, of which each tick says whose it is and when it was: obs is (task, tick of the trial).

    ``lengths`` are of each task's episodes, both alike; what lies beyond is not valid and full of NaN.
    """
    tick = torch.arange(E * H).view(E, H, 1).expand(E, H, n).float()
    task = torch.arange(first, first + n).expand(E, H, n).float()
    valid = torch.arange(H)[None, :, None] < torch.tensor(lengths or [H] * n).expand(E, 1, n)
    hide = torch.where(valid, 0.0, torch.nan)
    obs = torch.stack([task + hide, tick], -1)
    no = torch.zeros(E, H, n, dtype=torch.bool)
    ticks = Transition(
        obs,
        0.1 * obs,
        0.2 * obs,
        task + tick / 100 + hide,
        2 * obs,
        no,
        tick % H == H - 1,
        no,
        tick % H == 0,
        valid,
    )
    return TrialBatch(
        ticks, torch.arange(first, first + n).float()[:, None], torch.arange(n), no[:, 0]
    )


def consistent(t: Transition) -> bool:
    """Whether every row is as ``trial`` made it."""
    task, tick = t.obs[..., 0], t.obs[..., 1]
    return bool(
        t.valid.all()
        and torch.equal(t.reward, task + tick / 100)
        and torch.equal(t.action, 0.1 * t.obs)
        and torch.equal(t.applied, 0.2 * t.obs)
        and torch.equal(t.next_obs, 2 * t.obs)
        and torch.equal(t.truncated, tick % H == H - 1)
        and not t.terminated.any()
    )


def owners(replay: Replay) -> set[int]:
    """The tasks that are kept."""
    return set(replay.task[: len(replay), 0].int().tolist())


lengths = st.lists(st.integers(0, H), min_size=1, max_size=8).filter(any)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lengths, st.integers(1, E * H + 3), st.integers(0, 99))
def test_a_context_has_valid_transitions_of_its_task_and_none_twice(
    lengths: list[int], most: int, seed: int
) -> None:
    replay = Replay(20)
    replay.add(trial(10, len(lengths), lengths))
    slots = replay.tasks(30, seeded(seed))
    rows, counts = replay.contexts(slots, most, seeded(seed))
    width = min(most, E * H)
    assert counts.shape == rows.reward.shape == (30, width)
    assert rows.obs.isfinite().all(), "nor does NaN come beside them"
    for i, slot in enumerate(slots):
        mine = Transition(
            **{f.name: getattr(rows, f.name)[i][counts[i]] for f in fields(Transition)}
        )
        available = 2 * lengths[int(replay.task[slot, 0]) - 10]
        assert 1 <= len(mine.reward) <= min(width, available)
        assert consistent(mine)
        assert (mine.obs[:, 0] == replay.task[slot, 0]).all()
        assert len(mine.obs[:, 1].unique()) == len(mine.reward)


def test_contexts_are_of_all_lengths_and_of_all_transitions() -> None:
    replay = Replay(4)
    replay.add(trial(0, 1))
    rows, counts = replay.contexts(torch.zeros(2000, dtype=torch.int64), 6, seeded())
    assert (counts.sum(1).bincount(minlength=7)[1:] > 250).all()  # 333 on average
    assert (rows.obs[..., 1][counts].int().bincount(minlength=E * H) > 500).all()  # 700 on average


@settings(max_examples=40, deadline=None, derandomize=True)
@given(lengths, st.integers(0, 99))
def test_drawn_transitions_are_valid_and_of_the_task_asked_for(
    lengths: list[int], seed: int
) -> None:
    replay = Replay(20)
    new = replay.add(trial(10, len(lengths), lengths))
    assert consistent(new)
    assert len(new.reward) == 2 * sum(lengths)
    assert len(replay) == sum(length > 0 for length in lengths), (
        "a task of which nothing is known is none"
    )
    slots = replay.tasks(30, seeded(seed))
    rows = replay.transitions(slots, 7, seeded(seed))
    assert rows.obs.shape == (30, 7, 2)
    assert consistent(rows)
    assert torch.equal(rows.obs[..., 0], replay.task[slots].expand(-1, 7))


def test_every_transition_is_drawn_about_as_often() -> None:
    replay = Replay(4)
    replay.add(trial(0, 2, [H, 2]))
    rows = replay.transitions(torch.tensor([1]), 4000, seeded())
    counts = rows.obs[..., 1].int().flatten().bincount(minlength=E * H)
    assert (counts[[0, 1, H, H + 1]] > 850).all()  # 1000 on average
    assert counts.sum() == counts[[0, 1, H, H + 1]].sum()


def test_the_ring_forgets_the_oldest_tasks() -> None:
    replay = Replay(5)
    for first, kept in ((0, {0, 1, 2}), (3, {1, 2, 3, 4, 5}), (6, {4, 5, 6, 7, 8})):
        replay.add(trial(first, 3))
        assert owners(replay) == kept
        drawn = replay.transitions(replay.tasks(300, seeded()), 2, seeded())
        assert set(drawn.obs[..., 0].int().flatten().tolist()) == kept
    replay.add(trial(20, 8))  # more than there is room for
    assert len(replay) == 5
    assert owners(replay) == {23, 24, 25, 26, 27}


def test_a_short_task_in_an_old_place_leaves_nothing_of_the_long_one() -> None:
    replay = Replay(1)
    replay.add(trial(0, 1))
    replay.add(trial(1, 1, [1]))
    rows, counts = replay.contexts(torch.zeros(200, dtype=torch.int64), E * H, seeded())
    assert counts.sum(1).max() == 2
    assert (rows.obs[..., 0][counts] == 1).all()
    assert (
        replay.transitions(torch.zeros(1, dtype=torch.int64), 200, seeded()).obs[..., 0] == 1
    ).all()


def test_whole_trials_come_in_the_order_of_time() -> None:
    replay = Replay(4)
    replay.add(trial(0, 3, [2, H, 3]))
    rows, there = replay.trials(torch.tensor([2, 0]))
    assert there.sum(1).tolist() == [6, 4]
    assert rows.obs[0, :, 1][there[0]].tolist() == [0, 1, 2, 5, 6, 7]
    assert rows.obs[1, :, 1][there[1]].tolist() == [0, 1, 5, 6]


@pytest.mark.parametrize("added", [0, 1, 3])
def test_a_restored_replay_goes_on_as_the_first_would_have(added: int) -> None:
    kept, restored = Replay(4), Replay(4)
    for k in range(added):
        kept.add(trial(3 * k, 3, [2, H, 1]))
    state = kept.state_dict()
    restored.load_state_dict(state)
    for replay in (kept, restored):
        replay.add(trial(90, 3))
    if added:
        assert 90 not in state["task"], "what was saved is a copy"
    slots = kept.tasks(50, seeded())
    assert torch.equal(slots, restored.tasks(50, seeded()))
    for get in (
        lambda r: r.transitions(slots, 3, seeded()),
        lambda r: r.contexts(slots, 4, seeded())[0],
    ):
        for f in fields(Transition):
            a, b = (getattr(get(replay), f.name) for replay in (kept, restored))
            torch.testing.assert_close(a, b, equal_nan=True, rtol=0, atol=0)


def test_flags_come_out_as_flags() -> None:
    replay = Replay(2)
    one = trial(0, 1)
    ended = one.ticks.terminated.clone()
    ended[1, H - 1] = True
    replay.add(replace(one, ticks=replace(one.ticks, terminated=ended)))
    rows, _ = replay.trials(torch.tensor([0]))
    assert {name: getattr(rows, name).dtype for name in FLAGS} == dict.fromkeys(FLAGS, torch.bool)
    assert rows.terminated[0].tolist() == [False] * (E * H - 1) + [True]


def test_trials_of_other_shapes_are_refused() -> None:
    replay = Replay(4)
    replay.add(trial(0, 1))
    short = trial(0, 1)
    with pytest.raises(ValueError, match="do not fit"):
        replay.add(replace(short, ticks=short.ticks.map(lambda x: x[:1])))
