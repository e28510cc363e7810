"""The control of one arm, tick by tick: it alone holds the driver and the gate.

Every tick: read the arm, judge, turn the newest action into joint velocities, pass them through the gate, write.
It knows no clock but the time it is told, and no process: ``hw_interface.control.process`` paces it.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from hw_interface.control.watchdog import Event, Mode, Watchdog, WatchdogConfig
from robots.actions import standstill
from robots.driver import Driver
from robots.kinematics import Kinematics
from robots.motion import Move
from robots.safety import SafetyGate
from robots.signals import Array, Command, Condition, Verdict
from robots.world import Family, Start, Task

STILL = 1e-6  # rad/s, slower is a standstill


class ArmController:
    """One arm's control, tick by tick; knows no clock but the time it is told."""

    def __init__(
        self,
        family: Family,
        driver: Driver,
        report: Callable[[Event, float], None],
        config: WatchdogConfig,
    ):
        self.family, self.driver = family, driver
        limits = family.limits
        self.gate = SafetyGate(limits, driver.dt, 1, Kinematics(driver.arm))
        self.watchdog = Watchdog(limits, config, report)
        self.verdict = 0  # flags since the newest action
        self.state: Any = None  # the last reading
        self.object = np.full(13, np.nan)
        self.applied = np.zeros(
            len(family.action.spec)
        )  # (a,) the sum of what was followed, and of how many ticks
        self.acted = 0  # since the episode's first action
        self._action: Array | None = None  # (1, a) in [-1, 1]
        self._still_action = standstill(family.action.spec)
        self._move: tuple[Move, float] | None = None
        self._stopped = False  # the driver has been told to stop

    def start(self) -> None:
        """Connect and enable, at rest where the arm is."""
        self.driver.connect()
        self.driver.enable()
        self.state = self.driver.read()
        self.gate.reset(self.state.q[None])
        self.watchdog.mode = Mode.IDLE

    def begin(self, q: Array, now: float) -> None:
        """Start going to joint positions ``q`` (j,); refused while a fault is latched or an operator holds the arm."""
        if self.watchdog.mode in (Mode.FAULT, Mode.EXTERNAL_STOP):
            raise ValueError(f"the arm is in {self.watchdog.mode.name}: it must be cleared first")
        if self.watchdog.held:
            raise ValueError("an operator holds the arm: it must be released first")
        if self._stopped:
            self._guard(self._recover)
        if self.watchdog.mode is Mode.FAULT:
            raise ValueError("the arm cannot be enabled where it is")
        self._move = (Move(self.family.limits, self.gate.setpoint.q[0], q), now)
        self.watchdog.mode, self._action = Mode.IDLE, None
        self.applied, self.acted = np.zeros_like(self.applied), 0

    def _recover(self) -> None:
        """Enable again; the first command starts from what the arm does now, not from what it was told before."""
        self.driver.enable()
        self.state = self.driver.read()
        first, tries = self.state.stamp, self.watchdog.config.frozen
        while not self.state.stamp > first:  # what does not move may be of long ago
            if not tries:
                raise RuntimeError(
                    f"the arm is enabled, and yet its stamp stands still at {first} s"
                )
            self.state, tries = self.driver.read(), tries - 1
        if self.state.condition is not Condition.READY:
            raise RuntimeError(f"the arm is enabled, and yet {self.state.condition.name}")
        self.gate.reset(self.state.q[None])
        self._stopped = False

    @property
    def going(self) -> bool:
        """Whether a move to an episode's start is under way."""
        return self._move is not None

    @property
    def resting(self) -> bool:
        """Whether the arm is told to stand still and, after a fault, the driver has been told to stop."""
        faulty = self.watchdog.mode in (Mode.FAULT, Mode.EXTERNAL_STOP)
        return self._stopped or (not faulty and self._still)

    @property
    def _still(self) -> bool:
        return bool(np.abs(self.gate.setpoint.dq).max() < STILL)

    def hold(self) -> None:
        """Brake, until an operator releases the arm; the next action resumes then, a move to a start does not."""
        self.watchdog.hold()
        self._move = None

    def rest(self) -> None:
        """Brake, and follow nobody until begun again."""
        self.watchdog.rest()
        self._move = None

    def follow(self, number: int, stamp: float, action: Array) -> None:
        """A newly posted action (a,)."""
        self.verdict = 0
        if self.watchdog.accept(number, stamp, action):
            self._action = np.clip(action[None], -1, 1)
        else:
            self.verdict |= int(Verdict.DROPPED)

    def tick(self, now: float) -> None:
        """One period of the driver, at monotonic time ``now`` s."""
        dog = self.watchdog
        self._guard(self._read)
        dog.check_age(now)
        stood = self._still
        setpoint, flags = self.gate(self._wish(now))
        self.verdict |= int(flags[0]) | self._flags()
        if self._stopped:
            return
        if dog.mode is Mode.EXTERNAL_STOP or (dog.mode is Mode.FAULT and (stood or dog.cut_off)):
            self.stop()
        else:
            self._guard(lambda: self.driver.write(Command(setpoint.q[0], setpoint.dq[0])))

    def stop(self) -> None:
        """Tell the driver to stop; nothing is written after it."""
        if not self._stopped:
            self._stopped = True
            with contextlib.suppress(Exception):
                self.driver.stop()

    def _read(self) -> None:
        self.state = self.driver.read()
        self.watchdog.check_state(self.state, None if self._stopped else self.gate.setpoint.q[0])

    def _guard(self, call: Callable[[], None]) -> None:
        """Call what the driver does; one that fails is stopped at once, for its next word may not come through."""
        try:
            call()
        except Exception:
            self.watchdog.fault(Event.DRIVER_FAILED)
            self.stop()

    def _wish(self, now: float) -> Array:
        """Joint velocities (1, j) before the gate."""
        setpoint, still = self.gate.setpoint, np.zeros((1, len(self.driver.arm.joints)))
        if self._move is not None:
            move, since = self._move
            if self.watchdog.mode is not Mode.IDLE or move.arrived(now - since, setpoint):
                self._move = None
                return still
            return move(now - since, setpoint)
        if self._action is None:
            return still
        followed = self.watchdog.mode is Mode.RUNNING
        self.applied = self.applied + (self._action[0] if followed else self._still_action)
        self.acted += 1
        return self.family.action(self._action, setpoint) if followed else still

    def _flags(self) -> int:
        mode = self.watchdog.mode
        if mode in (Mode.FAULT, Mode.EXTERNAL_STOP):
            return int(Verdict.FAULT | Verdict.STOPPED)
        return int(Verdict.HELD) if mode is Mode.HOLD else 0

    def look(self, now: float) -> None:
        """Ask the tracker, where there is one and something to track; an object nobody sees is NaN."""
        if self.family.scene.loose_object and hasattr(self.driver, "track"):
            nothing = np.full(13, np.nan)
            pose, stamp = nothing, np.nan
            with contextlib.suppress(Exception):
                seen = self.driver.track()
                pose, stamp = np.concatenate([seen.pos, seen.quat, seen.vel]), seen.stamp
            self.object = pose if self.watchdog.check_object(pose, stamp, now) else nothing

    def place(self, task: Task, start: Start) -> None:
        """Have the object placed, where the driver can do so; elsewhere a person does."""
        place = getattr(self.driver, "place", None)
        if place is not None:
            self._guard(lambda: place(task, start))
