"""The controller over the driver of an arm with a gripper, in the family lift.

The emulated arm has no bar: where the grasp is, an object is put between its fingers.
"""

from typing import Any

import numpy as np

from hw_interface.control.controller import ArmController
from hw_interface.control.events import Event, Mode
from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.devices import Devices
from robots.driver import Driver
from robots.signals import Array, ObjectState
from sim.families.lift import HALF_WIDTH, Lift
from sim.plant import Plant

FORCE = 8.0  # N, of each finger


class StillBar:
    """A Tracker of a bar that lies where it is picked."""

    def __init__(self, family: Lift) -> None:
        self.pos = np.array([*family.zone.pick, 0.025])
        self.stamp = 0.0

    def read(self) -> ObjectState:
        self.stamp += 1.0
        return ObjectState(self.pos, np.array([1.0, 0, 0, 0]), np.zeros(6), self.stamp)


class LiftRig:
    """One arm that lifts, its events, and the time of its controller."""

    def __init__(self, family: Lift, driver: Driver, bus: Any, plant: Plant) -> None:
        self.family = family
        self.driver = driver
        self.bus = bus
        self.plant = plant
        self.events: list[Event] = []
        devices = Devices(driver, StillBar(family))
        self.controller = ArmController(family, devices, self._report, WatchdogConfig())
        self.controller.start()
        self.now = 100.0
        self.seq = 0

    def _report(self, event: Event, detail: float) -> None:
        self.events.append(event)

    @property
    def mode(self) -> Mode:
        return self.controller.watchdog.mode

    @property
    def tool(self) -> Array:
        """Where the setpoint has the tool, (3,) m."""
        tool: Array = self.controller.mover.kinematics.position(self.controller.gate.setpoint.q)[0]
        return tool

    @property
    def holds(self) -> bool:
        """Whether the simulated fingers hold the object, whatever the driver says."""
        q, _, tau = self.plant.read()
        return abs(q[-1] - HALF_WIDTH) < 1e-3 and -tau[-1] / 2 > FORCE / 2

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.now += self.driver.capabilities.dt
            self.controller.tick(self.now)
            self.controller.track_object(self.now)

    def move(self, goal: Array, longest: int = 3000) -> None:
        """Move there, within so many ticks, and arm."""
        self.controller.begin_move(goal)
        for _ in range(longest):
            self.ticks(1)
            if not self.controller.mover.is_moving:
                break
        assert self.mode is Mode.IDLE
        assert self.controller.mover.failure == ""
        self.controller.watchdog.arm(self.now)

    def act(self, seconds: float) -> None:
        """Post the grasp of the middle again and again."""
        spec = self.family.action.spec
        values = np.array([0.0, FORCE])
        action = 2 * (values - spec.low) / (spec.high - spec.low) - 1
        for _ in range(round(seconds / 0.1)):
            self.seq += 1
            self.controller.set_action(self.seq, self.now, action)
            self.ticks(round(0.1 / self.driver.capabilities.dt))

    def grasp(self) -> None:
        """Go down, close the fingers on the object, and begin to lift it."""
        self.plant.put_between(HALF_WIDTH)
        for _ in range(40):
            self.act(0.1)
            if self.holds and self.tool[2] > 0.05:
                return
        raise AssertionError(f"nothing is lifted: tool at {self.tool}, {self.plant.read()}")

    def carry(self, longest: int) -> None:
        """Act until the object is let go, which must be over the other place.

        Args:
            longest: tenths of a second.
        """
        for _ in range(longest):
            held = self.holds
            self.act(0.1)
            if not self.holds:
                break
        assert held, "it is held until it is let go"
        assert abs(self.tool[1] - self.family.zone.place[1]) < 5e-3, "over the other place"

    def come_to_rest(self) -> None:
        for _ in range(2000):
            self.ticks(1)
            if self.controller.at_rest:
                return
        raise AssertionError("it does not come to rest")
