"""An arm's emulator in a thread of the test, whose time passes when it is told to: no test waits, or is too late."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hw_interface.drivers import dynamixel
from hw_interface.drivers.dynamixel import Dynamixel
from hw_interface.emulators.dynamixel import Bus, BusOptions
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.signals import JointState
from sim.plant import Plant

VIPERX: ArmSpec = ARMS["viperx"]


class Clock:
    """Time, s, that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Paced(Dynamixel):
    """The driver; with each reading one of its ticks passes at the bus."""

    clock: Clock

    def read(self) -> JointState:
        self.clock.now += self.dt
        return super().read()


@contextmanager
def bus(arm: ArmSpec = VIPERX, physics: Any = None, **options: Any) -> Iterator[tuple[Bus, Clock]]:
    """A bus that answers as soon as it can."""
    clock = Clock()
    made = Bus(arm, physics or Plant(arm), BusOptions(**{"wire": False, **options}), clock)
    serving = threading.Thread(target=made.serve)
    serving.start()
    try:
        yield made, clock
    finally:
        made.close()
        serving.join()


@contextmanager
def patient(ms: float = 2000.0) -> Iterator[None]:
    """No answer is given up before that long, however busy the machine is."""
    before, dynamixel.PATIENCE = dynamixel.PATIENCE, ms
    try:
        yield
    finally:
        dynamixel.PATIENCE = before


@contextmanager
def driven(**options: Any) -> Iterator[tuple[Paced, Bus]]:
    """A driver that is not yet connected, and its bus; no goal beyond the limits may ever have reached it."""
    with patient(), bus(**options) as (made, clock):
        driver = Paced(
            VIPERX, None, dynamixel.DynamixelOptions(made.port, options.get("calibration", ""))
        )
        driver.clock = clock
        yield driver, made
        assert made.outside == 0
