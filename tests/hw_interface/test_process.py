"""The servo's process without a process: the loop, run by hand over the fake arm."""

from collections.abc import Iterator
from typing import Any

import pytest
from fake import FAMILY, Fake

from hw_interface.process import Loop, ServoConfig
from hw_interface.shared_state import SharedState


@pytest.fixture
def shared() -> Iterator[SharedState]:
    memory = SharedState(7, 2)
    yield memory
    memory.close()


def loop_over(driver: Fake, shared: SharedState, **config: Any) -> Loop:
    return Loop(ServoConfig(FAMILY, lambda: driver, shared=shared.name, **{"lockstep": True, **config}))


@pytest.mark.parametrize("verb", ["connect", "enable", "read"])
def test_a_driver_that_fails_while_it_comes_up_is_let_go(shared: SharedState, verb: str) -> None:
    driver = Fake(FAMILY.body)  # type: ignore[arg-type]
    driver.broken = {verb}
    with pytest.raises(OSError, match=verb):
        loop_over(driver, shared).run()
    assert driver.calls[-2:] == ["stop", "disconnect"]
    assert shared.finished
