"""An arm that does exactly as it is told, until it is told to misbehave; and a servo that is given its time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw_interface.control.controller import ArmController
from hw_interface.control.watchdog import Event, Mode, WatchdogConfig
from robots.arm import ArmSpec
from robots.kinematics import Kinematics
from robots.signals import Array, Command, JointState
from robots.world import Family
from sim.families import FAMILIES

FAMILY: Family = FAMILIES["slide"]()
READY = np.array([0.0, 0.05, 0.0, -2.93, 0.0, 2.98, 0.0])  # rad, where slide begins
PERIOD = 10  # ticks per action


@dataclass(frozen=True)
class FakeOptions:
    pass


class Fake:
    """A driver without a clock of its own, a tracker or a way to place objects; ``told`` is all that reached it."""

    Options = FakeOptions
    dt = 0.01

    def __init__(self, arm: ArmSpec, scene: Any = None, options: FakeOptions | None = None) -> None:
        self.arm, self.q, self.dq, self.clock = arm, READY.copy(), np.zeros(7), 0.0
        self.told: list[Command] = []
        self.calls: list[str] = []
        self.lie: Callable[[JointState], JointState] = lambda truth: truth
        self.broken: set[str] = set()  # verbs that raise

    def _called(self, verb: str) -> None:
        self.calls.append(verb)
        if verb in self.broken:
            raise OSError(f"{verb}: the link is down")

    def connect(self) -> None:
        self._called("connect")

    def enable(self) -> None:
        self._called("enable")

    def read(self) -> JointState:
        if "read" in self.broken:
            raise OSError("read: the link is down")
        self.clock += self.dt
        return self.lie(JointState(self.q.copy(), self.dq.copy(), np.zeros(7), self.clock))

    def write(self, command: Command) -> None:
        self._called("write")
        self.told.append(command)
        self.q, self.dq = command.q.copy(), command.dq.copy()

    def stop(self) -> None:
        self._called("stop")

    def disconnect(self) -> None:
        self._called("disconnect")


class Desk:
    """A servo over the fake arm, tick by tick."""

    def __init__(self, **config: Any) -> None:
        self.events: list[tuple[Event, float]] = []
        self.driver = Fake(FAMILY.body)  # type: ignore[arg-type]
        self.servo = ArmController(
            FAMILY, self.driver, lambda *e: self.events.append(e), WatchdogConfig(**config)
        )
        self.servo.start()
        self.now, self.number = 100.0, 0

    @property
    def mode(self) -> Mode:
        return self.servo.watchdog.mode

    @property
    def seen(self) -> list[Event]:
        return [event for event, _ in self.events]

    def ticks(self, count: int) -> None:
        """Time passes without news from the policy."""
        for _ in range(count):
            self.now += self.driver.dt
            self.servo.tick(self.now)

    def begin(self) -> None:
        """Go to the start and arm."""
        self.servo.begin(READY, self.now)
        for _ in range(1000):
            self.ticks(1)
            if not self.servo.going:
                break
        assert self.mode is Mode.IDLE
        self.servo.watchdog.arm(self.now)

    def act(self, x: float = 0.3, y: float = 0.0, ticks: int = PERIOD) -> None:
        """Post one action, and let its time pass."""
        self.number += 1
        self.servo.follow(self.number, self.now, np.array([x, y]))
        self.ticks(ticks)

    def move(self) -> None:
        """The tool is on its way, well short of its line."""
        self.begin()
        for _ in range(2):
            self.act(-0.4)
        assert self.mode is Mode.RUNNING
        assert self.speed > 0.01

    @property
    def speed(self) -> float:
        """The fastest joint, as it is told, rad/s."""
        return float(np.abs(self.servo.gate.setpoint.dq).max())


def assert_within_limits(driver: Fake, tool: bool = True) -> None:
    """All that reached the arm is finite and inside position, velocity, acceleration and jerk limits, and the box."""
    limits, dt = FAMILY.limits, driver.dt
    q, dq = np.array([c.q for c in driver.told]), np.array([c.dq for c in driver.told])
    assert np.isfinite(q).all()
    assert np.isfinite(dq).all()
    bit = 1e-6
    assert (q >= limits.q_low - bit).all()
    assert (q <= limits.q_high + bit).all()
    for rate, most in _rates(q, dt, limits.dq, limits.ddq, limits.jerk):
        assert (np.abs(rate) <= most * (1 + bit) + bit).all()
    np.testing.assert_allclose(np.diff(q, axis=0), dq[1:] * dt, atol=1e-9)
    if tool:
        pos = Kinematics(driver.arm).position(q)
        assert (pos >= limits.tool_box[:, 0] - 1e-4).all()
        assert (pos <= limits.tool_box[:, 1] + 1e-4).all()


def _rates(q: Array, dt: float, *limits: Array) -> list[tuple[Array, Array]]:
    """The differences of a path that begins and was at rest, each with its limit."""
    rates, x = [], np.concatenate([np.repeat(q[:1], 3, 0), q])
    for most in limits:
        x = np.diff(x, axis=0) / dt
        rates.append((x, most))
    return rates


def lying(**changes: Any) -> Callable[[JointState], JointState]:
    """A reading with some of its fields replaced."""
    return lambda truth: replace(truth, **changes)
