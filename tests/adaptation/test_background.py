"""A loop that may not wait adapts beside itself, and notices when that goes wrong."""

import errno
import io
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from adaptation import background as background_module
from adaptation.background import BACKLOG, Background
from adaptation.belief_keeper import BeliefKeeper, prediction_deficit
from adaptation.jobs.arm_session import pace
from adaptation.no_adaptation import NoAdaptation
from adaptation.problem import problem_of
from adaptation.rollout import Policy, rollout
from adaptation.runs import checkpoint
from policies.method import Scores, Transition, TrialBatch
from robots.errors import ArmError
from sim.vec_world import VecWorld

TIMEOUT = 20.0  # s, after which a test that hangs fails
EPISODES = 3


@dataclass(frozen=True)
class TickBelief:
    """What a belief is built on."""

    ticks: torch.Tensor  # (n,)
    unknown: torch.Tensor  # (n,) NaN from the prior on, like a plan that is not made yet


Hook = Callable[[str, TickBelief], TickBelief]  # (verb, new belief) -> belief


def keep(verb: str, belief: TickBelief) -> TickBelief:
    return belief


class Watched(tiny.Counter):
    """Counts ticks, records what it acts by, and calls a hook in its slow verbs."""

    def __init__(self, hook: Hook = keep) -> None:
        super().__init__(problem_of(tiny.Tiny()), tiny.CounterConfig(), seed=0)
        self.hook = hook
        self.acted_by: list[float] = []

    def prior(self, n: int, task: torch.Tensor | None = None) -> Any:
        return TickBelief(torch.zeros(n), torch.full((n,), torch.nan))

    def act(self, obs: torch.Tensor, belief: Any, explore: bool) -> torch.Tensor:
        self.acted_by.append(float(belief.ticks[0]))
        return torch.zeros(len(obs), 2)

    def observe(self, belief: Any, transition: Transition) -> Any:
        return self.hook("observe", replace(belief, ticks=belief.ticks + 1))

    def adapt(self, belief: Any, episode: Transition) -> Any:
        return self.hook("adapt", replace(belief, ticks=belief.ticks + 100))


def act(policy: Policy, episodes: int = EPISODES, on_tick: Any = None) -> TrialBatch:
    """One trial of one task in a scripted world."""
    task = tiny.Tiny().sample(np.random.default_rng(0), 1)
    return rollout(tiny.Script(1), policy, task, episodes, on_tick=on_tick)


class Gate:
    """Blocks a verb in its first call until the gate is opened."""

    def __init__(self, verb: str) -> None:
        self.verb = verb
        self.open = threading.Event()
        self.entered = threading.Event()
        self.timed_out = False

    def __call__(self, verb: str, belief: TickBelief) -> TickBelief:
        if verb == self.verb and not self.open.is_set():
            self.entered.set()
            self.timed_out = not self.open.wait(TIMEOUT)
        return belief


@pytest.mark.parametrize(
    "name", ["maml", "rl2", "rl2_transformer", "snail", "varibad", "context_mpc", "grbal"]
)
def test_with_infinite_patience_it_is_the_synchronous_loop(name: str) -> None:
    family = checkpoint.family_named("point")
    task = family.sample(np.random.default_rng(0), 2)

    def synchronous() -> TrialBatch:
        world = VecWorld(family, n=2, seed=0)
        return rollout(world, checkpoint.build(name, family, seed=0), task, 2)

    def in_background() -> TrialBatch:
        world = VecWorld(family, n=2, seed=0)
        with Background(checkpoint.build(name, family, seed=0), torch.inf) as background:
            trial = rollout(world, background, task, 2)
        assert background.events.all == []
        assert background.most_stale == 0
        return trial

    expected = synchronous().ticks
    found = in_background().ticks
    for field, x in vars(expected).items():
        assert torch.equal(x, getattr(found, field)), field


@pytest.mark.parametrize("verb", ["observe", "adapt"])
def test_a_slow_update_blocks_no_tick_and_is_used_from_the_tick_after_it(verb: str) -> None:
    """The gate is opened from within the loop, ticks after the update began.

    A loop that waited for the update would therefore wait for ever.
    """
    gate = Gate(verb)
    method = Watched(gate)
    acted_before: list[int] = []

    def on_tick(episode: int, tick: int, step: Any) -> None:
        if (episode, tick) == (1, 0):
            assert gate.entered.wait(TIMEOUT)
        if (episode, tick) == (1, 2):
            acted_before.append(len(method.acted_by))
            gate.open.set()
            with background._changed:
                assert background._changed.wait_for(background._is_idle, TIMEOUT)

    with Background(method, patience=0.0) as background:
        act(background, on_tick=on_tick)
    assert not gate.timed_out
    old = method.acted_by[: acted_before[0]]
    new = method.acted_by[acted_before[0]]
    assert old == sorted(old)
    assert max(old) <= (0 if verb == "observe" else 5), "an unfinished update is not acted by"
    assert new == 5 + 100 + 3, "every tick counts once its update is finished"
    assert background.most_stale >= 3
    assert background.events.all == []


def test_a_trial_continues_while_an_update_never_ends() -> None:
    gate = Gate("adapt")
    method = Watched(gate)
    with Background(method, patience=0.0) as background:
        act(background)
        assert not gate.open.is_set()
        assert max(method.acted_by) <= 5, "the first episode's ticks, without its adaptation"
        gate.open.set()
    assert not gate.timed_out


def test_a_new_trial_starts_at_the_prior_whatever_was_running() -> None:
    gate = Gate("adapt")
    method = Watched(gate)
    with Background(method, patience=0.0) as background:
        act(background)
        assert gate.entered.wait(TIMEOUT)
        threading.Timer(0.05, gate.open.set).start()
        method.acted_by.clear()
        wrapped: Any = NoAdaptation(background)  # type: ignore[arg-type]
        act(wrapped)
    assert set(method.acted_by) == {0.0}


class SpoilsUpdates:
    """Makes the belief NaN in some calls of ``observe``, counted from 1."""

    def __init__(self, *spoiled: int) -> None:
        self.spoiled = spoiled
        self.calls = 0

    def __call__(self, verb: str, belief: TickBelief) -> TickBelief:
        if verb != "observe":
            return belief
        self.calls += 1
        if self.calls in self.spoiled:
            return replace(belief, ticks=belief.ticks * torch.nan)
        return belief


def test_a_belief_that_is_not_finite_is_rolled_back_and_reported_once() -> None:
    method = Watched(SpoilsUpdates(3, 4, 5))
    with Background(method, torch.inf) as background:
        act(background, episodes=2)
    (event,) = background.events.all
    assert (event.event, event.detail) == ("BELIEF_NOT_FINITE", 1.0)
    assert method.acted_by == [0, 1, 2, 2, 2, 102, 103, 104, 105, 106]


def test_a_problem_that_comes_back_is_reported_again() -> None:
    with Background(Watched(SpoilsUpdates(2, 4)), torch.inf) as background:
        act(background, episodes=1)
    reported = [(event.number, event.event) for event in background.events.all]
    assert reported == [(0, "BELIEF_NOT_FINITE"), (1, "BELIEF_NOT_FINITE")]


class Judged(Watched, Scores[TickBelief]):
    """The belief after four ticks is bad: worse by two."""

    def score(self, belief: TickBelief, ticks: Transition) -> torch.Tensor:
        assert ticks.obs.dim() == 3  # (H, n, o)
        return torch.where(belief.ticks == 4, -2.0, 0.0)


def test_a_belief_that_predicts_worse_than_the_prior_is_rolled_back_and_reported() -> None:
    method = Judged()
    with Background(method, torch.inf) as background:
        act(background, episodes=1)
    (event,) = background.events.all
    assert (event.number, event.event, event.detail) == (0, "BELIEF_WORSE", 2.0)
    assert event.stamp >= 0
    assert method.acted_by == [0, 1, 2, 3, 3]


class RecordsScored(Judged):
    """Records the transitions by which its beliefs are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.scored: list[list[float]] = []

    def score(self, belief: TickBelief, ticks: Transition) -> torch.Tensor:
        self.scored.append(ticks.next_obs[:, 0, 0].tolist())
        return torch.zeros(len(belief.ticks))


def test_beliefs_are_compared_by_the_transitions_of_the_episode_under_way() -> None:
    method = RecordsScored()
    with Background(method, torch.inf) as background:
        act(background, episodes=2)
    growing = [[float(t) for t in range(1, 1 + length)] for length in range(1, 6)]
    assert method.scored[::2] == method.scored[1::2] == growing + growing


def test_beliefs_are_not_compared_by_ticks_in_which_a_world_had_ended() -> None:
    method = RecordsScored()
    task = tiny.Tiny().sample(np.random.default_rng(0), 2)
    with Background(method, torch.inf) as background:
        rollout(tiny.Script(2, terminated={0: 1}), background, task, 1)
    assert method.scored[::2] == [[1.0], *[[1.0, 2.0]] * 4]


def test_a_belief_is_not_good_enough_where_it_is_worse_in_one_world_alone() -> None:
    class WorseInOne(Judged):
        def score(self, belief: TickBelief, ticks: Transition) -> torch.Tensor:
            changed = (belief.ticks > 0).float()
            return changed * torch.tensor([5.0, -1.0])

    task = tiny.Tiny().sample(np.random.default_rng(0), 2)
    with Background(WorseInOne(), torch.inf) as background:
        rollout(tiny.Script(2), background, task, 1)
        (event,) = background.events.all
    assert (event.event, event.detail) == ("BELIEF_WORSE", 1.0)


def test_a_belief_that_predicts_no_number_is_rolled_back() -> None:
    class PredictsNothing(Judged):
        def score(self, belief: TickBelief, ticks: Transition) -> torch.Tensor:
            return torch.where(belief.ticks == 4, torch.nan, 0.0)

    method = PredictsNothing()
    with Background(method, torch.inf) as background:
        act(background, episodes=1)
        (event,) = background.events.all
    assert (event.event, event.detail) == ("BELIEF_WORSE", None)
    assert method.acted_by == [0, 1, 2, 3, 3]


def test_a_worker_that_is_too_slow_leaves_ticks_out_and_reports_it() -> None:
    gate = Gate("observe")
    method = Watched(gate)
    with Background(method, patience=0.0) as background:
        episodes = (BACKLOG + 20) // 5
        act(background, episodes=episodes)
        assert [event.event for event in background.events.all] == ["BELIEF_STALE"]
        assert background.most_stale > BACKLOG
        gate.open.set()
        with background._changed:
            assert background._changed.wait_for(background._is_idle, TIMEOUT)
        ticks = float(background._published.ticks)
        assert ticks // 100 == episodes - 1, "no end of an episode is left out but the last"
        assert ticks % 100 < 5 * episodes


class FailsUpdates:
    """Raises in some calls of ``observe`` and in every ``adapt``."""

    def __init__(self, *failing: int, error: Exception | None = None) -> None:
        self.failing = failing
        self.error = error or ZeroDivisionError("in an update")
        self.calls = 0

    def __call__(self, verb: str, belief: TickBelief) -> TickBelief:
        self.calls += verb == "observe"
        if verb == "adapt" or self.calls in self.failing:
            raise self.error
        return belief


@pytest.mark.parametrize("realtime", [True, False])
def test_an_update_that_fails_is_left_out_and_told_once(
    realtime: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    method = Watched(FailsUpdates(2, 3, 4))
    if realtime:
        with Background(method, torch.inf) as background:
            act(BeliefKeeper(background), episodes=2)
        events = background.events.all
    else:
        keeper = BeliefKeeper(method)
        act(keeper, episodes=2)
        events = keeper.events.all
    assert method.acted_by == [0, 1, 1, 1, 1, 2, 3, 4, 5, 6]
    assert [event.event for event in events] == ["UPDATE_FAILED"] * 2, "two losses in a row each"
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert told[0].endswith("the last belief is kept: ZeroDivisionError: in an update")


def test_a_failure_is_no_error_where_nobody_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard error may be a full disk, or a terminal that was closed."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    method = Watched(FailsUpdates(2))
    with Background(method, torch.inf) as background:
        act(background, episodes=1)
    assert len(background.events.all) == 1
    assert method.acted_by == [0, 1, 1, 2, 3]


def test_an_update_that_hangs_ends_neither_silently_nor_never(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background_module, "HANG_TIMEOUT", 0.05)
    gate = Gate("adapt")
    with Background(Watched(gate), patience=0.0) as background:
        act(background)
        assert gate.entered.wait(TIMEOUT)
        with pytest.raises(ArmError, match="has not ended for"):
            background.prior(1)
    assert not gate.open.is_set(), "it was left behind"
    gate.open.set()


def test_a_gpu_without_memory_leaves_the_updates_on_the_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(policy: Any, device: torch.device) -> Any:
        raise torch.OutOfMemoryError("no memory is left on the device")

    monkeypatch.setattr(background_module, "make_updater", full)
    method = Watched()
    with Background(method, torch.inf) as background:
        act(background, episodes=1)
        (event,) = background.events.all
    assert event.event == "UPDATES_ON_CPU"
    assert max(method.acted_by) > 0, "it adapts"


def test_a_gpu_that_runs_out_of_memory_in_a_trial_fails_updates_and_the_device_stays() -> None:
    full = torch.OutOfMemoryError("no memory is left on the device")
    method = Watched(FailsUpdates(3, error=full))
    with Background(method, torch.inf) as background:
        updater = background._guarded.updater
        act(background, episodes=1)
    assert method.acted_by == [0, 1, 2, 2, 3]
    assert [event.event for event in background.events.all] == ["UPDATE_FAILED"]
    assert background._guarded.updater is updater


class CollapsedBelief(Watched, Scores[TickBelief]):
    """It becomes sure of something wrong, and predicts what it sees worse than its prior."""

    def score(self, belief: TickBelief, ticks: Transition) -> torch.Tensor:
        assert bool(ticks.valid.all())
        return -belief.ticks


@pytest.mark.parametrize("padding", [0, 2])
def test_a_belief_that_is_over_sure_is_no_adaptation(padding: int) -> None:
    """Ticks that an episode did not have do not count."""
    task = tiny.Tiny().sample(np.random.default_rng(0), 1)
    keeper = BeliefKeeper(CollapsedBelief())
    episode = rollout(tiny.Script(1), keeper, task, 1).ticks[0]
    episode.valid[len(episode.valid) - padding :] = False
    sure = keeper.belief
    assert prediction_deficit(CollapsedBelief(), sure, episode) == float(sure.ticks[0]) > 0
    assert prediction_deficit(CollapsedBelief(), CollapsedBelief().prior(1), episode) == 0
    assert prediction_deficit(Watched(), sure, episode) == 0, "it cannot tell"


def test_updates_run_in_the_background_in_real_time_only() -> None:
    method: Any = Watched()
    world: Any = tiny.Script(1)
    for clock, kind in (("lockstep", Watched), ("realtime", Background)):
        world.clock = clock
        with pace(method, world) as policy:
            assert isinstance(policy, kind)
