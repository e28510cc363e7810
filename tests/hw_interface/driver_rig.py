"""The controller over a driver of an emulated arm, tick by tick."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from hw_interface.control.controller import ArmController
from hw_interface.control.events import Event, Mode
from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.devices import Devices
from robots.driver import Driver
from sim.families.reach import Reach

D = TypeVar("D", bound=Driver)


class Clocked(Driver, Protocol):
    """A driver whose emulated arm has this clock."""

    clock: Any


C = TypeVar("C", bound=Clocked)


class DriverRig(Generic[D]):
    """One arm that reaches, its events, and the time of its controller."""

    def __init__(self, family: Reach, driver: D) -> None:
        self.family = family
        self.driver = driver
        self.events: list[Event] = []
        self.controller = ArmController(family, Devices(driver), self._report, WatchdogConfig())
        self.watchdog = self.controller.watchdog
        self.controller.start()
        self.now = 100.0
        self.seq = 0

    def _report(self, event: Event, detail: float) -> None:
        self.events.append(event)

    @property
    def mode(self) -> Mode:
        return self.watchdog.mode

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.now += self.driver.capabilities.dt
            self.controller.tick(self.now)

    def begin(self, longest: int = 2000) -> None:
        """Move to the start, within so many ticks, and arm."""
        self.controller.begin_move(self.family.ready)
        for _ in range(longest):
            self.ticks(1)
            if not self.controller.mover.is_moving:
                break
        assert self.mode is Mode.IDLE
        self.watchdog.arm(self.now)

    def act(self, ticks: int) -> None:
        """Post an action, and let so many ticks pass."""
        self.seq += 1
        self.controller.set_action(self.seq, self.now, np.array([0.5, -1.0, 0.5]))
        self.ticks(ticks)


class BusRig(DriverRig[C]):
    """The controller over a driver over an emulated bus of servos."""

    def __init__(self, family: Reach, driver: C, bus: Any) -> None:
        self.bus = bus
        super().__init__(family, driver)

    def come_to_rest(self) -> None:
        for _ in range(1000):
            self.ticks(1)
            if self.controller.at_rest:
                break
        self.ticks(20)
        heard = -1
        while heard != self.bus.goals:  # goals may still be on their way to the servos
            heard = self.bus.goals
            time.sleep(0.1)

    def act(self, ticks: int = 32) -> None:
        super().act(ticks)

    def pass_time(self, seconds: float) -> None:
        """Let time pass at the bus alone."""
        for _ in range(round(seconds / 0.01)):
            self.driver.clock.now += 0.01
            self.bus.pass_time()


Change = Callable[[dict[str, Any]], Any]  # of a calibration


def write_calibration(folder: Path, nominal: dict[str, Any], change: Change) -> str:
    """Write a calibration that differs from the catalog's; returns its path."""
    calibration = json.loads(json.dumps(nominal))
    change(calibration)
    path = folder / "calibration.json"
    path.write_text(json.dumps(calibration))
    return str(path)
