"""An arm's emulator in a thread of the test, whose clock stands still until the test moves it.

So no test waits, and none is too late on a busy machine.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from hw_interface.drivers import dynamixel_bus
from hw_interface.drivers.dynamixel import Dynamixel, DynamixelOptions
from hw_interface.emulators import Physics
from hw_interface.emulators.dynamixel import Bus, BusOptions
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.signals import Array, JointState
from sim.plant import Plant

VIPERX: ArmSpec = ARMS["viperx"]
LONG = 2000.0  # ms, which no answer needs however busy the machine is


class Clock:
    """Time, s, that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class PacedDynamixel(Dynamixel):
    """The driver; one of its ticks passes at the bus with each reading."""

    max_round_trip: ClassVar[float] = 1e-3 * LONG
    clock: Clock

    def read(self) -> JointState:
        self.clock.now += self.capabilities.dt
        return super().read()


class BlockablePlant(Plant):
    """An arm whose first joint, which gravity does not load, may meet a wall.

    The wall does not give way: at it the joint stands, and its servo presses.
    """

    def __init__(self, arm: ArmSpec, q: Array | None = None, gravity: bool = True) -> None:
        super().__init__(arm, q, gravity)
        self._goal, _, _ = super().read()
        self._wall = np.inf  # rad

    def block(self, blocked: bool = True) -> None:
        """Put the wall at the joint's present position, or take it away."""
        q, _, _ = super().read()
        self._wall = q[0] if blocked else np.inf
        self.write(self._goal)

    def write(self, q: Array) -> None:
        self._goal = q.copy()
        reached = q.copy()
        reached[0] = min(q[0], self._wall)
        super().write(reached)

    def read(self) -> tuple[Array, Array, Array]:
        q, dq, tau = super().read()
        pressed_in = max(0.0, self._goal[0] - self._wall)  # rad
        pressing = tau.copy()
        pressing[0] += self.arm.stiffness[0] * pressed_in
        return q, dq, pressing


class CeilingPlant(Plant):
    """An arm whose shoulder, which gravity loads, may meet something above it, and carry a load.

    The ceiling does not give way: the joint stands below it, and its servo presses upward.
    """

    shoulder = 1
    up = -1.0  # the direction in which the shoulder lifts the arm

    def __init__(self, arm: ArmSpec) -> None:
        super().__init__(arm)
        self._goal = arm.home.copy()
        self._ceiling = np.inf  # rad upward: the goal with which the joint arrives there

    def block(self) -> None:
        """Put the ceiling where the joint stands."""
        self._ceiling = self.up * self._goal[self.shoulder]

    def load(self, mass: float) -> None:
        """Put a load into the hand, kg."""
        self._model.body_mass[-1] += mass

    @property
    def pressing(self) -> float:
        """The servo's torque beyond what holds the arm, N·m."""
        above = self.up * self._goal[self.shoulder] - self._ceiling
        return float(self.arm.stiffness[self.shoulder] * max(0.0, above))

    def write(self, q: Array) -> None:
        self._goal = q.copy()
        reached = q.copy()
        reached[self.shoulder] = self.up * min(self.up * q[self.shoulder], self._ceiling)
        super().write(reached)

    def read(self) -> tuple[Array, Array, Array]:
        q, dq, tau = super().read()
        tau[self.shoulder] += self.up * self.pressing
        return q, dq, tau


def seconds_to_rest(bus: Bus, clock: Clock, longest: float = 5.0) -> float:
    """How long the joints behind a bus go on moving when nobody speaks to it any more, s."""
    step = 0.002
    standing = 5e-3  # rad/s
    needed = round(0.05 / step)  # steps at rest in a row
    steps_at_rest = 0
    elapsed = 0.0
    while steps_at_rest < needed and elapsed < longest:
        clock.now += step
        bus.pass_time()
        elapsed += step
        _, dq, _ = bus.physics.read()
        at_rest = np.abs(dq).max() < standing
        steps_at_rest = steps_at_rest + 1 if at_rest else 0
    return elapsed - needed * step


@contextmanager
def emulated_bus(
    arm: ArmSpec = VIPERX, physics: Physics | None = None, **options: Any
) -> Iterator[tuple[Bus, Clock]]:
    """A bus that answers as soon as it can."""
    clock = Clock()
    bus = Bus(arm, physics or Plant(arm), BusOptions(**{"wire": False, **options}), clock)
    serving = threading.Thread(target=bus.serve)
    serving.start()
    try:
        yield bus, clock
    finally:
        bus.close()
        serving.join()


@contextmanager
def patient_driver(margin: float = LONG) -> Iterator[None]:
    """The driver waits for every answer at least this long, ms."""
    before = dynamixel_bus.REPLY_MARGIN
    dynamixel_bus.REPLY_MARGIN = margin
    try:
        yield
    finally:
        dynamixel_bus.REPLY_MARGIN = before


@contextmanager
def emulated_arm(
    physics: Physics | None = None, calibration: str = ""
) -> Iterator[tuple[PacedDynamixel, Bus]]:
    """A driver that is not yet connected, and its bus; no goal outside the limits may reach it."""
    with patient_driver(), emulated_bus(VIPERX, physics, calibration=calibration) as (bus, clock):
        driver = PacedDynamixel(VIPERX, None, DynamixelOptions(bus.port, calibration))
        driver.clock = clock
        try:
            yield driver, bus
        finally:
            driver.disconnect()
        assert bus.outside == 0
