"""The control loop without a process of its own, over the fake arm."""

import gc
import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake import (
    FAMILY,
    READY,
    TICKS_PER_ACTION,
    FakeDriver,
    LiveTracker,
    assert_within_limits,
)

from hw_interface.control import process, shared_state
from hw_interface.control.config import ControlConfig
from hw_interface.control.controller import ArmController
from hw_interface.control.events import Event, Mode
from hw_interface.control.layout import Sizes, ring_columns
from hw_interface.control.process import ControlLoop
from hw_interface.control.requests import Request
from hw_interface.control.retreat import ARRIVED_TOLERANCE
from hw_interface.control.shared_state import SharedState
from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.control.words import Word
from hw_interface.devices import Devices
from robots.driver import Capabilities
from robots.signals import Verdict
from robots.world import Family, Start, Task
from sim.families import FAMILIES

WALL_CLOCK = re.compile(r"time\.time\b|time_ns|datetime|CLOCK_REALTIME")


@pytest.fixture
def shared() -> Iterator[SharedState]:
    memory = SharedState(Sizes.of(FAMILY))
    yield memory
    memory.close()


def loop_over(
    driver: FakeDriver, shared: SharedState, family: Family = FAMILY, **options: Any
) -> ControlLoop:
    options = {"lockstep": True, "parent": os.getppid(), **options}
    devices = Devices(driver, LiveTracker())
    return ControlLoop(ControlConfig(family, lambda: devices, shared=shared.name, **options))


@pytest.mark.parametrize("verb", ["connect", "enable", "read"])
def test_a_driver_that_fails_to_come_up_is_disconnected(shared: SharedState, verb: str) -> None:
    driver = FakeDriver()
    driver.failing = {verb}
    with pytest.raises(SystemExit):
        loop_over(driver, shared).run()
    assert verb in shared.exit_reason
    assert driver.calls[-2:] == ["stop", "disconnect"]
    assert shared.finished


def test_a_control_process_whose_policy_is_gone_at_the_start_ends(shared: SharedState) -> None:
    driver = FakeDriver()
    try:
        loop_over(driver, shared, parent=os.getpid()).run()  # no process is its own parent
    finally:
        gc.enable()
    assert Event(shared.events[0]["kind"]) is Event.POLICY_DIED
    assert driver.calls[-2:] == ["stop", "disconnect"]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_wall_clock_that_jumps_changes_nothing(
    shared: SharedState, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """As with NTP, or by hand: the loop, the deadlines and the ages are monotonic."""
    rig = LoopRig(shared, lockstep=False)
    true_time = time.time
    for seq in range(1, 4):
        shift = jump * (seq % 2)
        monkeypatch.setattr(time, "time", partial(shifted, true_time, shift))
        monkeypatch.setattr(time, "time_ns", partial(shifted, time.monotonic_ns, 1e9 * shift))
        rig.post(seq)
        rig.loop.run_once()
    assert rig.controller.watchdog.mode is Mode.RUNNING
    assert rig.active_action == 3
    assert rig.loop.progress.events == 0


def shifted(clock: Callable[[], float], shift: float) -> float:
    return clock() + shift


def test_no_part_of_the_control_process_reads_the_wall_clock() -> None:
    package = Path(process.__file__).parent
    readers = []
    for path in [*package.glob("*.py"), *package.parent.glob("drivers/*.py")]:
        if WALL_CLOCK.search(path.read_text()):
            readers.append(path.name)
    assert readers == []


def test_a_family_whose_period_is_no_multiple_of_the_tick_is_refused(shared: SharedState) -> None:
    class Odd(FakeDriver):
        capabilities = Capabilities(dt=0.007, realtime=True)

    with pytest.raises(ValueError, match=r"acts every 0\.1 s.*no multiple of the arm's 0\.007 s"):
        loop_over(Odd(), shared)


class LoopRig:
    """A loop over the fake arm, armed, whose ticks a test runs."""

    def __init__(self, shared: SharedState, lockstep: bool) -> None:
        self.shared = shared
        self.driver = FakeDriver()
        # on a busy machine neither a stall nor a late tick is a fault of this arm's
        config = WatchdogConfig(stall=np.inf, overrun=np.inf)
        self.loop = loop_over(self.driver, shared, lockstep=lockstep, watchdog=config)
        self.counts = np.zeros(len(Word), dtype=np.int64)
        self.controller = self.loop.controller
        self.controller.start()
        self.controller.watchdog.arm(self.loop.now())

    def post(self, seq: int, x: float = 0.0, continues: bool = False) -> None:
        action = np.array([x, 0.0])
        stamp = time.monotonic()
        self.shared.action.write(seq=seq, stamp=stamp, action=action, continues=continues)

    def say(self, word: Word) -> None:
        self.counts[word] += 1
        self.shared.words.write(counts=self.counts)
        self.loop.handle_words()

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.loop.tick()

    @property
    def active_action(self) -> int:
        return int(self.shared.state.read_nonblocking()["active_action_seq"])

    @property
    def events(self) -> list[Event]:
        return [Event(kind) for kind in self.shared.events["kind"][: self.loop.progress.events]]


@pytest.mark.parametrize(("lockstep", "active"), [(True, 1), (False, 2)])
def test_in_real_time_a_new_action_is_active_from_the_next_tick(
    shared: SharedState, lockstep: bool, active: int
) -> None:
    """In lockstep it waits until the previous one has had all its ticks."""
    rig = LoopRig(shared, lockstep)
    rig.post(1)
    rig.ticks(3)
    assert rig.active_action == 1
    rig.post(2)
    rig.ticks(1)
    assert rig.active_action == active
    rig.ticks(TICKS_PER_ACTION)
    assert rig.active_action == 2
    assert rig.controller.watchdog.mode is Mode.RUNNING


@pytest.mark.parametrize("lockstep", [True, False])
def test_an_action_out_of_order_is_dropped_and_reported_once(
    shared: SharedState, lockstep: bool
) -> None:
    rig = LoopRig(shared, lockstep)
    rig.post(5, 0.5)
    rig.ticks(TICKS_PER_ACTION)
    rig.post(4, -1.0)
    rig.ticks(3)
    assert rig.events == [Event.OUT_OF_ORDER]
    state = shared.state.read_nonblocking()
    assert Verdict.DROPPED in Verdict(int(state["verdict"]))
    assert rig.active_action == 5
    np.testing.assert_array_equal(rig.controller._action, [[0.5, 0.0]])
    rig.post(6)
    rig.ticks(TICKS_PER_ACTION)
    assert rig.active_action == 6
    assert rig.events == [Event.OUT_OF_ORDER]
    assert rig.controller.watchdog.mode is Mode.RUNNING


@pytest.mark.parametrize("lockstep", [True, False])
def test_an_action_that_answers_an_old_observation_is_not_followed_in_real_time(
    shared: SharedState, lockstep: bool
) -> None:
    """In lockstep no time passes between an observation and the first tick of its action."""
    rig = LoopRig(shared, lockstep)
    stamp = time.monotonic() - 60
    shared.action.write(seq=1, stamp=stamp, action=np.array([0.5, 0.0]))
    rig.ticks(1)
    verdict = Verdict(int(shared.state.read_nonblocking()["verdict"]))
    assert (Verdict.DROPPED in verdict) == (not lockstep)
    assert rig.controller.watchdog.mode is (Mode.RUNNING if lockstep else Mode.ARMED)
    assert rig.events == [], "an arm that is armed stands still: nothing has happened"


def test_a_planner_that_thinks_for_long_is_held_and_its_late_action_is_not_followed(
    shared: SharedState,
) -> None:
    """And its next action is, which answers the observation after that."""
    rig = LoopRig(shared, lockstep=False)
    rig.post(1, 0.3)
    rig.ticks(1)
    watchdog = rig.controller.watchdog
    assert watchdog.mode is Mode.RUNNING
    observed = time.monotonic()
    deadline = FAMILY.limits.deadline
    watchdog.check_age(observed + 2 * deadline)
    assert watchdog.mode is Mode.HOLD
    rig.controller.set_action(2, observed, np.array([1.0, 0.0]), taken=observed + 3.6 * deadline)
    watchdog.check_age(observed + 3.6 * deadline)
    assert watchdog.mode is Mode.HOLD
    rig.controller.set_action(3, observed + 3.6 * deadline, np.array([0.2, 0.0]))
    watchdog.check_age(observed + 3.7 * deadline)
    assert watchdog.mode is Mode.RUNNING
    assert rig.events == [Event.STALE]


@pytest.mark.parametrize("stamp", [np.inf, 1e300, 2.0**62])
def test_a_stamp_in_the_future_counts_as_now(shared: SharedState, stamp: float) -> None:
    """It neither postpones the deadline nor hides the silence of a policy."""
    rig = LoopRig(shared, lockstep=False)
    shared.action.write(seq=1, stamp=stamp, action=np.zeros(2))
    rig.ticks(1)
    watchdog = rig.controller.watchdog
    assert watchdog.mode is Mode.RUNNING
    now = rig.loop.now()
    watchdog.check_age(now + 1.1 * FAMILY.limits.deadline)
    assert watchdog.mode is Mode.HOLD
    watchdog.check_age(now + 4.1 * FAMILY.limits.deadline)
    assert watchdog.mode is Mode.FAULT


def test_a_continued_action_is_followed_while_running_alone(shared: SharedState) -> None:
    """A policy may be suspended before it carries a strike on; a hold then comes and goes."""
    rig = LoopRig(shared, lockstep=False)
    for seq in (1, 2):
        rig.post(seq, 0.3, continues=seq > 1)
        rig.ticks(1)
        assert rig.controller.watchdog.mode is Mode.RUNNING
    rig.say(Word.HOLD)
    rig.say(Word.RELEASE)
    rig.post(3, 0.3, continues=True)
    rig.ticks(1)
    assert rig.controller.watchdog.mode is Mode.HOLD
    rig.post(4, 0.3)
    rig.ticks(1)
    assert rig.controller.watchdog.mode is Mode.RUNNING


@pytest.mark.parametrize("word", Word)
@pytest.mark.parametrize("kind", [int(Request.END_EPISODE), 99])
def test_no_request_takes_the_place_of_a_word(shared: SharedState, word: Word, kind: int) -> None:
    rig = LoopRig(shared, lockstep=True)
    rig.counts[word] += 1
    shared.words.write(counts=rig.counts)
    for seq in range(1, 4):
        shared.request.write(seq=seq, kind=kind)
    rig.loop.handle_words()
    rig.loop.handle_request()
    assert shared.state.read_nonblocking()["words_handled"].tolist() == rig.counts.tolist()
    assert rig.loop.ending == (word is Word.QUIT)
    assert (rig.controller.watchdog.mode is Mode.FAULT) == (word is Word.STOP)


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ((Word.CLEAR, Word.STOP), Mode.FAULT),
        ((Word.RELEASE, Word.HOLD), Mode.HOLD),
        (tuple(Word), Mode.FAULT),
    ],
)
def test_of_several_words_within_a_tick_the_safest_counts(
    shared: SharedState, words: tuple[Word, ...], mode: Mode
) -> None:
    rig = LoopRig(shared, lockstep=True)
    rig.counts[list(words)] += 1
    shared.words.write(counts=rig.counts)
    rig.loop.handle_words()
    assert rig.controller.watchdog.mode is mode


IMPOSSIBLE = (2**62, -(2**62), -1, 0)


def moving(shared: SharedState) -> LoopRig:
    """A rig whose arm moves, well short of its line."""
    rig = LoopRig(shared, lockstep=False)
    rig.ticks(1)
    for seq in (1, 2):
        rig.post(seq, -0.4)
        rig.ticks(TICKS_PER_ACTION)
    assert not rig.controller.at_rest
    return rig


def run_to_rest(rig: LoopRig, seconds: float = 3.0) -> None:
    """Run the loop, without a policy, until the arm has come to rest."""
    rig.loop.pacer.restart()
    give_up = time.monotonic() + seconds
    while not rig.controller.at_rest and time.monotonic() < give_up:
        rig.loop.run_once()
    assert rig.controller.at_rest
    assert_within_limits(rig.driver, tool=False)


@pytest.mark.parametrize("number", IMPOSSIBLE)
@pytest.mark.parametrize("field", ["seq", "kind"])
def test_impossible_numbers_do_not_end_the_process_unbraked(
    shared: SharedState, field: str, number: int
) -> None:
    rig = moving(shared)
    fields = {"seq": 9, "kind": int(Request.END_EPISODE), field: number}
    shared.request.write(**fields)
    if field == "seq":
        shared.action.write(seq=number, stamp=np.nan, action=np.full(2, np.nan))
        shared.words.write(counts=np.full(len(Word), number))
    run_to_rest(rig)
    if field == "kind":
        assert Event.BAD_RECORD in rig.events
        assert shared.state.read_nonblocking()["rejected_seq"] == 9


def test_a_start_of_impossible_numbers_is_refused(shared: SharedState) -> None:
    rig = LoopRig(shared, lockstep=True)
    for seq, number in enumerate((np.nan, np.inf, 1e300), start=1):
        shared.request.write(
            seq=seq,
            kind=int(Request.BEGIN_EPISODE),
            q=np.full(len(READY), number),
            object_pose=np.full(7, number),
            task=np.full(len(FAMILY.task_names), number),
        )
        rig.loop.run_once()
        assert shared.state.read_nonblocking()["rejected_seq"] == seq
    assert rig.events == []


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_in_the_shared_memory_do_not_end_the_process_unbraked(
    shared: SharedState, seed: int
) -> None:
    """They are ignored, the policy is silent then, and the arm is braked within its limits."""
    rig = moving(shared)
    rng = np.random.default_rng(seed)
    size = shared._memory.size
    run_once = rig.loop.run_once

    def overwrite_and_run() -> None:
        shared._memory.buf[:size] = rng.bytes(size)
        run_once()

    rig.loop.run_once = overwrite_and_run  # type: ignore[method-assign]
    run_to_rest(rig)
    assert rig.controller.watchdog.mode in (Mode.HOLD, Mode.FAULT)
    assert rig.loop.failures == 0


def test_a_damaged_record_is_reported_once_until_it_is_whole_again(
    shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "UNREADABLE", 0.0)
    rig = LoopRig(shared, lockstep=True)
    for _ in range(2):
        shared.request._record["kind"][...] = 7
        for _ in range(3):
            rig.loop.run_once()
        shared.request.write(seq=0)
        rig.loop.run_once()
    assert rig.events == [Event.BAD_RECORD] * 2
    assert rig.controller.watchdog.mode is Mode.ARMED


def test_an_error_of_our_own_brakes_the_arm_and_then_ends_the_process(
    shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = moving(shared)

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a mistake in the action map")

    monkeypatch.setattr(type(rig.controller.family.action), "__call__", fail)
    run_to_rest(rig)
    assert rig.loop.ending
    assert rig.events[0] is Event.CONTROL_FAILED
    assert "a mistake in the action map" in shared.exit_reason


@pytest.mark.parametrize("held", [False, True])
def test_an_arm_that_presses_on_something_releases_it_before_its_process_ends(
    shared: SharedState, held: bool
) -> None:
    """Also at the normal end, and while an operator holds it."""
    driver = FakeDriver()
    loop = loop_over(driver, shared)
    loop.start()
    loop.tick()
    if held:
        loop.obey(Word.HOLD)
    driver.wall[0] = driver.q[0] - 0.03  # rad; the waist carries no weight
    driver.q = np.minimum(driver.q, driver.wall)
    for _ in range(5):
        loop.tick()
    assert np.abs(driver.goal - driver.q).max() > 0.02
    loop.obey(Word.QUIT)
    for _ in range(300):
        if not loop.controller.at_rest:
            loop.tick()
    assert driver.calls[-1] == "stop"
    remaining = driver.commands[-1].q - driver.q
    assert np.abs(remaining).max() <= 2 * ARRIVED_TOLERANCE
    assert_within_limits(driver)


def test_after_several_errors_of_our_own_the_driver_is_stopped_at_once(
    shared: SharedState,
) -> None:
    driver = FakeDriver()
    loop = loop_over(driver, shared)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    loop.handle_request = fail  # type: ignore[method-assign]
    try:
        with pytest.raises(ZeroDivisionError):
            loop.run()
    finally:
        gc.enable()
    assert driver.calls[-2:] == ["stop", "disconnect"]


def test_the_recorder_is_given_mode_and_number_of_the_active_action(shared: SharedState) -> None:
    rig = LoopRig(shared, lockstep=True)
    rig.post(7)
    rig.ticks(2)
    rows, _, _ = shared.drain(0)
    control = rows[:, ring_columns(len(READY))["control"]]
    assert control[:, 0].tolist() == [Mode.RUNNING] * 2
    assert control[:, 2].tolist() == [7, 7]


def test_a_start_outside_the_limits_is_published_as_refused(shared: SharedState) -> None:
    rig = LoopRig(shared, lockstep=True)
    for seq, q in ((4, READY + 10), (5, READY)):
        shared.request.write(
            seq=seq,
            kind=int(Request.BEGIN_EPISODE),
            q=q,
            object_pose=np.full(7, np.nan),
            task=np.zeros(len(FAMILY.task_names)),
        )
        rig.loop.handle_request()
        state = shared.state.read_nonblocking()
        assert state["last_request_seq"] == seq
        assert state["rejected_seq"] == 4
        assert (rig.loop.pending_start is None) == (seq == 4)


def test_an_arm_that_arrives_and_may_not_move_on_is_not_armed(
    shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the object is not seen once it is placed: the move failed, the request did not."""
    rig = LoopRig(shared, lockstep=True)

    def unready(controller: ArmController) -> str:
        return "the object is not seen" if controller.mover.arrived else ""

    monkeypatch.setattr(ArmController, "unready", property(unready))
    shared.request.write(
        seq=4,
        kind=int(Request.BEGIN_EPISODE),
        q=READY,
        object_pose=np.full(7, np.nan),
        task=np.zeros(len(FAMILY.task_names)),
    )
    for _ in range(2000):
        rig.loop.run_once()
        state = shared.state.read_nonblocking()
        if state["ended_seq"] == 4:
            break
    assert (state["arrived_seq"], state["failed_seq"], state["rejected_seq"]) == (4, 4, 0)
    assert state["mode"] == Mode.IDLE
    assert shared.reason == "the object is not seen"


class SlowPlacer:
    """Takes its time to place an object."""

    seconds = 0.3

    def place(self, task: Task, start: Start) -> None:
        time.sleep(self.seconds)


def test_the_time_that_placing_the_object_takes_is_not_lateness(shared: SharedState) -> None:
    rig = LoopRig(shared, lockstep=False)
    rig.controller.placer = SlowPlacer()
    rig.controller.watchdog.mode = Mode.IDLE
    task = FAMILY.sample(np.random.default_rng(0), 1)
    rig.loop.pending_start = (task, Start(READY[None]))
    rig.loop.begin_episode()
    rig.loop.wait_for_tick()
    assert rig.controller.watchdog.mode is Mode.ARMED
    assert rig.loop.pacer.max_lateness < SlowPlacer.seconds


def test_a_task_may_have_any_number_of_parameters() -> None:
    """The shared memory is laid out for the family: no number of parameters is built in."""
    family = FAMILIES["slide"]()
    family.task_names = tuple(f"goal.parameter{i}" for i in range(100))
    values = np.arange(100.0)
    shared = SharedState(Sizes.of(family))
    try:
        loop = loop_over(FakeDriver(), shared, family)
        loop.controller.start()
        shared.request.write(
            seq=1,
            kind=int(Request.BEGIN_EPISODE),
            q=READY,
            object_pose=np.full(7, np.nan),
            task=values,
        )
        loop.handle_request()
        assert loop.pending_start is not None
        task, start = loop.pending_start
        np.testing.assert_array_equal(task.values, values[None])
        assert start.object_pos is None
    finally:
        shared.close()


def test_an_error_of_our_own_brakes_the_arm_also_where_nobody_can_be_told(
    shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard error may be a full disk, or a terminal that was closed."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("Input/output error")

    rig = moving(shared)

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a mistake in the action map")

    monkeypatch.setattr(sys, "stderr", Closed())
    monkeypatch.setattr(type(rig.controller.family.action), "__call__", fail)
    run_to_rest(rig)
    assert rig.loop.ending
    assert Event.CONTROL_FAILED in rig.events
