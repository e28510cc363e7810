"""The servo's process without a process: the loop, run by hand over the fake arm."""

import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest
from fake import FAMILY, Fake

from hw_interface.process import Loop, ServoConfig
from hw_interface.shared_state import SharedState
from hw_interface.watchdog import Event


@pytest.fixture
def shared() -> Iterator[SharedState]:
    memory = SharedState(7, 2)
    yield memory
    memory.close()


def loop_over(driver: Fake, shared: SharedState, **config: Any) -> Loop:
    given = {"lockstep": True, "parent": os.getppid(), **config}
    return Loop(ServoConfig(FAMILY, lambda: driver, shared=shared.name, **given))


@pytest.mark.parametrize("verb", ["connect", "enable", "read"])
def test_a_driver_that_fails_while_it_comes_up_is_let_go(shared: SharedState, verb: str) -> None:
    driver = Fake(FAMILY.body)  # type: ignore[arg-type]
    driver.broken = {verb}
    with pytest.raises(OSError, match=verb):
        loop_over(driver, shared).run()
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
