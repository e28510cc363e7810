"""A loop that may not wait adapts beside itself, and notices when that goes wrong."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from adaptation.background import BACKLOG, Background
from adaptation.jobs.arm_session import paced
from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from adaptation.runs.checkpoint import problem_of
from policies.method import Transition, TrialBatch
from sim.vec_world import VecWorld

LONG = 20.0  # s, after which a test that hangs fails
E = 3


@dataclass(frozen=True)
class FixedBelief:
    """What a belief is built on."""

    ticks: torch.Tensor  # (n,)
    unknown: torch.Tensor  # (n,) NaN from the prior on, as where no plan is made yet


class Watched(tiny.Counter):
    """Counts ticks, writes down what it acts by, and does as it is told in its slow verbs."""

    def __init__(
        self, during: Callable[[str, FixedBelief], FixedBelief] = lambda verb, belief: belief
    ) -> None:
        super().__init__(problem_of(tiny.Tiny()), tiny.CounterConfig(), seed=0)
        self.during, self.acted_by = during, []

    def prior(self, n: int, task: torch.Tensor | None = None) -> Any:
        return FixedBelief(torch.zeros(n), torch.full((n,), torch.nan))

    def act(self, obs: torch.Tensor, belief: Any, explore: bool) -> torch.Tensor:
        self.acted_by.append(float(belief.ticks[0]))
        return torch.zeros(len(obs), 2)

    def observe(self, belief: Any, transition: Transition) -> Any:
        return self.during("observe", replace(belief, ticks=belief.ticks + 1))

    def adapt(self, belief: Any, episode: Transition) -> Any:
        return self.during("adapt", replace(belief, ticks=belief.ticks + 100))


def lives(background: Any, episodes: int = E, n: int = 1, on_tick: Any = None) -> TrialBatch:
    family = tiny.Tiny()
    task = family.sample(np.random.default_rng(0), n)
    return rollout(tiny.Script(n), background, task, episodes, on_tick=on_tick)


class Gate:
    """A verb that stays in its first call until it is let go."""

    def __init__(self, verb: str) -> None:
        self.verb, self.open, self.entered, self.hung = (
            verb,
            threading.Event(),
            threading.Event(),
            False,
        )

    def __call__(self, verb: str, belief: FixedBelief) -> FixedBelief:
        if verb == self.verb and not self.open.is_set():
            self.entered.set()
            self.hung = not self.open.wait(LONG)
        return belief


@pytest.mark.parametrize("name", ["maml", "rl2", "context_mpc", "grbal"])
def test_with_patience_it_is_the_synchronous_loop(name: str) -> None:
    family = checkpoint.family_named("point")
    task = family.sample(np.random.default_rng(0), 2)

    def lived(background: bool) -> TrialBatch:
        world, method = VecWorld(family, n=2, seed=0), checkpoint.build(name, family, seed=0)
        if not background:
            return rollout(world, method, task, 2)
        with Background(method, torch.inf) as beside:
            trial = rollout(world, beside, task, 2)
        assert beside.events == []
        assert beside.most_stale == 0
        return trial

    here, beside = lived(False), lived(True)
    for field, x in vars(here.ticks).items():
        assert torch.equal(x, getattr(beside.ticks, field)), field


@pytest.mark.parametrize("verb", ["observe", "adapt"])
def test_no_tick_waits_for_a_slow_update_and_it_counts_from_the_tick_after_it_is_done(
    verb: str,
) -> None:
    """The update is let go from within the loop, ticks after it began: who waited for it would wait for ever."""
    gate = Gate(verb)
    method = Watched(gate)

    def on_tick(episode: int, tick: int, step: Any) -> None:
        if (episode, tick) == (1, 0):
            assert gate.entered.wait(LONG)
        if (episode, tick) == (1, 2):
            before.append(len(method.acted_by))
            gate.open.set()
            with background._changed:
                assert background._changed.wait_for(
                    lambda: not (background._jobs or background._busy), LONG
                )

    before: list[int] = []
    with Background(method, patience=0.0) as background:
        lives(background, on_tick=on_tick)
    assert not gate.hung
    old, new = method.acted_by[: before[0]], method.acted_by[before[0]]
    assert old == sorted(old)
    assert max(old) <= (0 if verb == "observe" else 5), (
        "what the update does not have yet is not acted by"
    )
    assert new == 5 + 100 + 3, "every tick counts once it is known"
    assert background.most_stale >= 3
    assert background.events == []


def test_a_whole_trial_goes_on_beside_an_update_that_does_not_end() -> None:
    gate = Gate("adapt")
    method = Watched(gate)
    with Background(method, patience=0.0) as background:
        lives(background)
        assert not gate.open.is_set()
        assert max(method.acted_by) <= 5, "the first episode's ticks, and not its adaptation"
        gate.open.set()
    assert not gate.hung


def test_a_new_trial_begins_at_the_prior_whatever_was_under_way() -> None:
    gate = Gate("adapt")
    method = Watched(gate)
    with Background(method, patience=0.0) as background:
        lives(background)
        assert gate.entered.wait(LONG)
        threading.Timer(0.05, gate.open.set).start()
        method.acted_by.clear()
        lives(NoAdaptation(background))
    assert set(method.acted_by) == {0.0}


def test_a_belief_that_is_not_finite_is_rolled_back_and_reported_once() -> None:
    def spoil(verb: str, belief: FixedBelief) -> FixedBelief:
        bad = verb == "observe" and 3 <= calls.bump() < 6
        return replace(belief, ticks=belief.ticks * torch.nan) if bad else belief

    calls = Calls()
    method = Watched(spoil)
    with Background(method, torch.inf) as background:
        lives(background, episodes=2)
    assert [(event["event"], event["detail"]) for event in background.events] == [
        ("BELIEF_NOT_FINITE", 1.0)
    ]
    assert method.acted_by == [0, 1, 2, 2, 2, 102, 103, 104, 105, 106]


class Calls:
    def __init__(self) -> None:
        self.many = 0

    def bump(self) -> int:
        self.many += 1
        return self.many


def test_a_belief_that_predicts_worse_than_the_prior_is_rolled_back_and_reported() -> None:
    class Judged(Watched):
        def score(self, belief: FixedBelief, ticks: Transition) -> torch.Tensor:
            """The fourth tick's belief is bad: by two from what has been seen, (H, n, ...)."""
            assert ticks.obs.dim() == 3
            return torch.where(belief.ticks == 4, -2.0, 0.0)

    method = Judged()
    with Background(method, torch.inf) as background:
        lives(background, episodes=1)
    (event,) = background.events
    assert (event["number"], event["event"], event["detail"]) == (0, "BELIEF_WORSE", 2.0)
    assert event["stamp"] >= 0
    assert method.acted_by == [0, 1, 2, 3, 3]


def test_who_is_too_slow_for_long_leaves_ticks_out_and_says_so() -> None:
    gate = Gate("observe")
    method = Watched(gate)
    with Background(method, patience=0.0) as background:
        lives(background, episodes=(BACKLOG + 20) // 5)
        assert [event["event"] for event in background.events] == ["BELIEF_STALE"]
        assert background.most_stale > BACKLOG
        gate.open.set()


def test_an_update_that_fails_fails_the_loop() -> None:
    def fail(verb: str, belief: FixedBelief) -> FixedBelief:
        raise ZeroDivisionError("in the worker")

    with (
        Background(Watched(fail), torch.inf) as background,
        pytest.raises(ZeroDivisionError, match="in the worker"),
    ):
        lives(background)


def test_a_visit_adapts_beside_the_loop_at_the_walls_pace_alone() -> None:
    method: Any = Watched()
    world: Any = tiny.Script(1)
    for clock, kind in (("lockstep", Watched), ("wall", Background)):
        world.clock = clock
        with paced(method, world) as adapting:
            assert isinstance(adapting, kind)
