"""An emulated arm under ros2_control in a thread of the test, whose clock the driver moves."""

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from emulated import Clock

from hw_interface.drivers.ros2 import Ros2, Ros2Options
from hw_interface.emulators import Physics
from hw_interface.emulators.ros2 import Ros2Emulator, Ros2EmulatorOptions
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.signals import JointState
from sim.plant import Plant

VIPERX: ArmSpec = ARMS["viperx"]
NUMBERS = itertools.count()  # of the namespaces in this process
LONGEST = 30.0  # s that the emulator may need for one cycle on a busy machine


class PacedRos2(Ros2):
    """The driver; one of its ticks passes at the arm with each reading."""

    clock: Clock
    emulator: Ros2Emulator

    def read(self) -> JointState:
        self.advance(self.capabilities.dt)
        return super().read()

    def advance(self, seconds: float) -> None:
        """Let time pass, and wait until the arm has come to the end of it."""
        self.clock.now += seconds
        deadline = time.monotonic() + LONGEST
        period = 1 / self.emulator.options.rate
        while self.clock.now - self.emulator.handled >= period:
            if time.monotonic() > deadline:
                raise TimeoutError("the emulator does not run")
            time.sleep(5e-5)

    def _clock(self) -> float:
        return self.clock.now

    def _pause(self) -> None:
        self.advance(0.006)


@contextmanager
def emulated_ros2(
    physics: Physics | None = None, options: dict[str, Any] | None = None, **of_arm: Any
) -> Iterator[tuple[PacedRos2, Ros2Emulator]]:
    """A driver that is not yet connected, and its arm; no command outside the limits may reach it.

    Args:
        physics: of the arm.
        options: of the driver, other than where the arm is.
        of_arm: options of the emulator.
    """
    clock = Clock()
    space = f"test_{os.getpid()}_{next(NUMBERS)}"
    of_emulator = Ros2EmulatorOptions(namespace=space, **of_arm)
    emulator = Ros2Emulator(VIPERX, physics or Plant(VIPERX), of_emulator, clock)
    serving = threading.Thread(target=emulator.serve)
    serving.start()
    driver = PacedRos2(VIPERX, None, Ros2Options(namespace=space, **(options or {})))
    driver.clock = clock
    driver.emulator = emulator
    try:
        yield driver, emulator
    finally:
        driver.disconnect()
        emulator.close()
        serving.join()
    assert emulator.outside == 0
