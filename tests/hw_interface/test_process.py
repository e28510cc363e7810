"""The control loop without a process of its own, over the fake arm."""

import gc
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake import FAMILY, READY, TICKS_PER_ACTION, FakeDriver, LiveTracker

from hw_interface.control.layout import Sizes, ring_columns
from hw_interface.control.process import ControlConfig, ControlLoop
from hw_interface.control.requests import Request
from hw_interface.control.shared_state import SharedState
from hw_interface.control.watchdog import Event, Mode
from hw_interface.devices import Devices
from robots.driver import Capabilities
from robots.signals import Verdict
from robots.world import Family, Start, Task
from sim.families import FAMILIES


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


def test_a_family_whose_period_is_no_multiple_of_the_tick_is_refused(shared: SharedState) -> None:
    class Odd(FakeDriver):
        capabilities = Capabilities(dt=0.007, realtime=True)

    with pytest.raises(ValueError, match=r"acts every 0\.1 s.*no multiple of the arm's 0\.007 s"):
        loop_over(Odd(), shared)


class LoopRig:
    """A loop over the fake arm, armed, whose ticks a test runs."""

    def __init__(self, shared: SharedState, lockstep: bool) -> None:
        self.shared = shared
        self.loop = loop_over(FakeDriver(), shared, lockstep=lockstep)
        self.controller = self.loop.controller
        self.controller.start()
        self.controller.watchdog.arm(self.loop.now())

    def post(self, seq: int, x: float = 0.0) -> None:
        self.shared.action.write(seq=seq, stamp=time.monotonic(), action=np.array([x, 0.0]))

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.loop.tick()

    @property
    def active_action(self) -> int:
        return int(self.shared.state.read_nonblocking()["active_action_seq"])

    @property
    def events(self) -> list[Event]:
        return [Event(kind) for kind in self.shared.events["kind"][: self.loop.events]]


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
def test_an_action_is_as_old_as_its_stamp_in_real_time_alone(
    shared: SharedState, lockstep: bool
) -> None:
    """In lockstep no time passes between an action and its first tick."""
    rig = LoopRig(shared, lockstep)
    shared.action.write(seq=1, stamp=time.monotonic() - 60, action=np.zeros(2))
    rig.ticks(1)
    assert rig.events == ([] if lockstep else [Event.SILENT])


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
    rig.loop.arrive(rig.loop.now())
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
