"""The servo's process without a process: the loop, run by hand over the fake arm."""

import gc
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake import FAMILY, PERIOD, Fake

from hw_interface.control.process import ControlConfig, ControlLoop, NotUpError
from hw_interface.control.shared_state import SharedState
from hw_interface.control.watchdog import Event, Mode
from robots.signals import Verdict


@pytest.fixture
def shared() -> Iterator[SharedState]:
    memory = SharedState(7, 2)
    yield memory
    memory.close()


def loop_over(driver: Fake, shared: SharedState, **config: Any) -> ControlLoop:
    given = {"lockstep": True, "parent": os.getppid(), **config}
    return ControlLoop(ControlConfig(FAMILY, lambda: driver, shared=shared.name, **given))


@pytest.mark.parametrize("verb", ["connect", "enable", "read"])
def test_a_driver_that_fails_while_it_comes_up_is_let_go(shared: SharedState, verb: str) -> None:
    driver = Fake(FAMILY.body)  # type: ignore[arg-type]
    driver.broken = {verb}
    with pytest.raises(NotUpError, match=verb):
        loop_over(driver, shared).run()
    assert verb in shared.last_words
    assert driver.calls[-2:] == ["stop", "disconnect"]
    assert shared.finished


def test_a_servo_whose_policy_was_gone_before_it_looked_ends(shared: SharedState) -> None:
    driver = Fake(FAMILY.body)  # type: ignore[arg-type]
    try:
        loop_over(driver, shared, parent=os.getpid()).run()  # nobody is their own parent
    finally:
        gc.enable()
    assert Event(shared.events[0]["kind"]) is Event.POLICY_DIED
    assert driver.calls[-2:] == ["stop", "disconnect"]


class Desk:
    """A loop over the fake arm, ready to follow, that is given its ticks."""

    def __init__(self, shared: SharedState, lockstep: bool) -> None:
        self.shared, self.driver = shared, Fake(FAMILY.body)  # type: ignore[arg-type]
        self.loop = loop_over(self.driver, shared, lockstep=lockstep)
        self.loop.servo.start()
        self.loop.servo.watchdog.arm(self.loop.now())

    def post(self, number: int, x: float = 0.0) -> None:
        self.shared.action.write(number=number, stamp=time.monotonic(), action=np.array([x, 0.0]))

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.loop.tick()

    @property
    def following(self) -> int:
        return int(self.shared.state.read()["action"])

    @property
    def seen(self) -> list[Event]:
        return [Event(kind) for kind in self.shared.events["kind"][: self.loop.events]]


@pytest.mark.parametrize(("lockstep", "at_once"), [(True, 1), (False, 2)])
def test_at_the_walls_pace_a_new_action_counts_from_the_next_tick(
    shared: SharedState, lockstep: bool, at_once: int
) -> None:
    """In lockstep it waits until the last one has had its ticks: all have the same."""
    desk = Desk(shared, lockstep)
    desk.post(1)
    desk.ticks(3)
    assert desk.following == 1
    desk.post(2)
    desk.ticks(1)
    assert desk.following == at_once
    desk.ticks(PERIOD)
    assert desk.following == 2
    assert desk.loop.servo.watchdog.mode is Mode.RUNNING


@pytest.mark.parametrize("lockstep", [True, False])
def test_an_action_out_of_order_is_dropped_and_said_once(
    shared: SharedState, lockstep: bool
) -> None:
    desk = Desk(shared, lockstep)
    desk.post(5, 0.5)
    desk.ticks(PERIOD)
    desk.post(4, -1.0)
    desk.ticks(3)
    assert desk.seen == [Event.OUT_OF_ORDER]
    assert Verdict.DROPPED in Verdict(int(shared.state.read()["verdict"]))
    assert desk.following == 5
    np.testing.assert_array_equal(desk.loop.servo._action, [[0.5, 0.0]])
    desk.post(6)
    desk.ticks(PERIOD)
    assert desk.following == 6
    assert desk.seen == [Event.OUT_OF_ORDER]
    assert desk.loop.servo.watchdog.mode is Mode.RUNNING
