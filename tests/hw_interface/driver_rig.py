"""The controller over a driver of an emulated arm, tick by tick."""

from typing import Generic, TypeVar

import numpy as np

from hw_interface.control.controller import ArmController
from hw_interface.control.events import Event, Mode
from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.devices import Devices
from robots.driver import Driver
from sim.families.reach import Reach

D = TypeVar("D", bound=Driver)


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
        self.controller.begin_move(self.family.ready, self.now)
        for _ in range(longest):
            self.ticks(1)
            if not self.controller.moving_to_start:
                break
        assert self.mode is Mode.IDLE
        self.watchdog.arm(self.now)

    def act(self, ticks: int) -> None:
        """Post an action, and let so many ticks pass."""
        self.seq += 1
        self.controller.set_action(self.seq, self.now, np.array([0.5, -1.0, 0.5]))
        self.ticks(ticks)
