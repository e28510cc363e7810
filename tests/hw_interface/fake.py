"""An arm that does exactly what it is commanded until a test disturbs it, and a rig to drive it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from push import Push

from hw_interface.control.controller import ArmController
from hw_interface.control.events import Event, Mode
from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.devices import Devices
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.driver import Capabilities, Tracker
from robots.kinematics import Kinematics
from robots.signals import Array, Command, JointState, ObjectState
from robots.world import Family

FAMILY: Family = Push()
READY = np.array([0.0, 0.05, 0.0, -2.93, 0.0, 2.98, 0.0])  # rad, where slide begins
ASIDE = np.array([0.2, 0.2, 0.2, 0.2, 0.2, -0.2, 0.2])  # rad, a displacement inside the limits
TICKS_PER_ACTION = 10

Disturbance = Callable[[JointState], JointState]


@dataclass(frozen=True)
class FakeOptions:
    pass


def undisturbed(state: JointState) -> JointState:
    return state


def replaced(**fields: Any) -> Disturbance:
    """A disturbance that replaces some fields of a reading."""

    def disturb(state: JointState) -> JointState:
        return replace(state, **fields)

    return disturb


class FakeDriver:
    """A real arm's driver, to all appearances; ``commands`` is everything that reached it."""

    Options = FakeOptions
    capabilities: ClassVar[Capabilities] = Capabilities(dt=0.01, realtime=True)

    def __init__(
        self, arm: ArmSpec = PANDA, scene: Any = None, options: FakeOptions | None = None
    ) -> None:
        self.arm = arm
        self.q = READY.copy()
        self.dq = np.zeros(7)
        self.clock = 0.0
        self.commands: list[Command] = []
        self.calls: list[str] = []
        self.disturb: Disturbance = undisturbed
        self.failing: set[str] = set()  # verbs that raise
        self.wall = np.full(7, np.inf)  # rad, beyond which no joint can go
        self.goal = READY.copy()  # rad, what the servos pull towards
        self.stiffness = 600.0  # N·m/rad

    def _call(self, verb: str) -> None:
        self.calls.append(verb)
        if verb in self.failing:
            raise OSError(f"{verb}: the link is down")

    def connect(self) -> None:
        self._call("connect")

    def enable(self) -> None:
        self._call("enable")
        self.goal = self.q.copy()

    def read(self) -> JointState:
        if "read" in self.failing:
            raise OSError("read: the link is down")
        self.clock += self.capabilities.dt
        tau = self.stiffness * (self.goal - self.q)
        state = JointState(self.q.copy(), self.dq.copy(), tau, self.clock)
        return self.disturb(state)

    def write(self, command: Command) -> None:
        self._call("write")
        self.commands.append(command)
        self.goal = command.q.copy()
        self.q = np.minimum(self.goal, self.wall)
        self.dq = np.where(self.q < self.goal, 0.0, command.dq)

    def stop(self) -> None:
        self._call("stop")
        self.goal = self.q.copy()

    def torque_off(self) -> None:
        self._call("torque_off")

    def disconnect(self) -> None:
        self._call("disconnect")

    def recover(self) -> None:
        """End every disturbance."""
        self.failing = set()
        self.disturb = undisturbed


class FeelingDriver(FakeDriver):
    """One that measures the wrench of its tool: at first it touches nothing."""

    capabilities: ClassVar[Capabilities] = Capabilities(dt=0.01, realtime=True, wrench=True)

    def __init__(self) -> None:
        super().__init__()
        self.wrench = np.zeros(6)

    def read(self) -> JointState:
        return replace(super().read(), wrench=self.wrench)


class RefusingDriver(FakeDriver):
    """One that cannot be built, and says why."""

    def __init__(self, *given: Any) -> None:
        raise OSError("there is no such model")


class MistakenDriver(FakeDriver):
    """One whose author made a mistake."""

    def __init__(self, *given: Any) -> None:
        raise KeyError("model")


class MistakenTwin(FakeDriver):
    """A simulated arm that has no placer, as it should."""

    capabilities: ClassVar[Capabilities] = Capabilities(dt=0.01, realtime=False)
    tracker = None


class FakeTracker:
    """A tracker that repeats what it is given."""

    Options = FakeOptions

    def __init__(self, arm: ArmSpec = PANDA, options: FakeOptions | None = None) -> None:
        self.pos = np.zeros(3)
        self.stamp = 0.0
        self.age = 0.0
        self.failing = False

    def read(self) -> ObjectState:
        if self.failing:
            raise OSError("the camera is unplugged")
        quat = np.array([1.0, 0, 0, 0])
        return ObjectState(self.pos, quat, np.zeros(6), self.stamp, self.age)


class LiveTracker(FakeTracker):
    """A tracker that always has a new pose."""

    def read(self) -> ObjectState:
        self.stamp = time.monotonic()
        return super().read()


class RefusingTracker(FakeTracker):
    """A tracker that cannot be built."""

    def __init__(self, *given: Any) -> None:
        raise RuntimeError("there is no such camera")


class Rig:
    """A controller over the fake arm, tick by tick."""

    def __init__(
        self, tracker: Tracker | None = None, driver: FakeDriver | None = None, **config: Any
    ) -> None:
        self.events: list[tuple[Event, float]] = []
        self.driver = driver or FakeDriver()
        devices = Devices(self.driver, tracker or FakeTracker())
        self.controller = ArmController(FAMILY, devices, self._report, WatchdogConfig(**config))
        self.watchdog = self.controller.watchdog
        self.controller.start()
        self.now = 100.0
        self.seq = 0

    def _report(self, event: Event, detail: float) -> None:
        self.events.append((event, detail))

    @property
    def mode(self) -> Mode:
        return self.watchdog.mode

    @property
    def event_kinds(self) -> list[Event]:
        return [event for event, _ in self.events]

    def ticks(self, count: int) -> None:
        """Let time pass without an action from the policy."""
        for _ in range(count):
            self.now += self.driver.capabilities.dt
            self.controller.tick(self.now)

    def begin(self) -> None:
        """Move to the start and arm."""
        self.controller.begin_move(READY)
        for _ in range(1000):
            self.ticks(1)
            if not self.controller.mover.is_moving:
                break
        assert self.mode is Mode.IDLE
        self.watchdog.arm(self.now)

    def act(self, x: float = 0.3, y: float = 0.0, ticks: int = TICKS_PER_ACTION) -> None:
        """Post one action and let its ticks pass."""
        self.seq += 1
        self.controller.set_action(self.seq, self.now, np.array([x, y]))
        self.ticks(ticks)

    def move(self) -> None:
        """Begin an episode and bring the tool into motion, well short of its line."""
        self.begin()
        for _ in range(2):
            self.act(-0.4)
        assert self.mode is Mode.RUNNING
        assert self.speed > 0.01

    @property
    def speed(self) -> float:
        """The commanded speed of the fastest joint, rad/s."""
        return float(np.abs(self.controller.gate.setpoint.dq).max())


def assert_within_limits(driver: FakeDriver, tool: bool = True) -> None:
    """Every command was finite and inside the limits of position, velocity, acceleration, jerk.

    With ``tool``, the tool's box held too.
    """
    limits = FAMILY.limits
    dt = driver.capabilities.dt
    q = np.array([command.q for command in driver.commands])
    dq = np.array([command.dq for command in driver.commands])
    assert np.isfinite(q).all()
    assert np.isfinite(dq).all()
    tolerance = 1e-6
    assert (q >= limits.q_low - tolerance).all()
    assert (q <= limits.q_high + tolerance).all()
    for rate, limit in _rates(q, dt, limits.dq, limits.ddq, limits.jerk):
        assert (np.abs(rate) <= limit * (1 + tolerance) + tolerance).all()
    np.testing.assert_allclose(np.diff(q, axis=0), dq[1:] * dt, atol=1e-9)
    if tool:
        pos = Kinematics(driver.arm).position(q)
        assert (pos >= limits.tool_box[:, 0] - 1e-4).all()
        assert (pos <= limits.tool_box[:, 1] + 1e-4).all()


def _rates(q: Array, dt: float, *limits: Array) -> list[tuple[Array, Array]]:
    """The derivatives of a path (k, j) that began at rest, each with its limit."""
    rates = []
    x = np.concatenate([np.repeat(q[:1], 3, 0), q])
    for limit in limits:
        x = np.diff(x, axis=0) / dt
        rates.append((x, limit))
    return rates
