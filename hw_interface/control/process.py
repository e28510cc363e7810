"""The servo's process: it paces the servo, obeys requests, and publishes what is.

At the wall's pace it sleeps to absolute times, under SCHED_FIFO where that is allowed; in lockstep it runs one
control period as soon as an action is there. Nothing else differs between the two.
"""

import contextlib
import ctypes
import gc
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from hw_interface.control.controller import ArmController
from hw_interface.control.shared_state import EVENTS, LATENESS, SharedState
from hw_interface.control.watchdog import Event, Mode, WatchdogConfig
from robots.driver import Driver
from robots.world import Family, Start, Task

PRIORITY = 50  # of SCHED_FIFO, below the kernel's own threads


class Verb(IntEnum):
    """What the policy's process may ask of the servo."""

    BEGIN = 1  # go to the episode's start, have the object placed, arm
    HOLD = 2  # the operator's word: move for nobody until released
    STOP = 3  # controlled stop, latched
    CLEAR = 4  # the operator's word after a fault
    REST = 5  # the episode is over: brake, and follow nobody
    QUIT = 6  # come to rest, then end
    RELEASE = 7  # the operator's word after a hold


@dataclass(frozen=True)
class ControlConfig:
    """Everything the process needs; sent to it once."""

    family: Family
    make_driver: Callable[[], Driver]
    lockstep: bool
    shared: str  # the shared memory's name
    parent: int  # the policy's process, by its own word: it may be gone before anyone here can ask
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)


class NotUpError(Exception):
    """The arm could not be had."""


class ControlLoop:
    """The servo in its process: requests, pacing, publishing."""

    def __init__(self, config: ControlConfig) -> None:
        self.config = config
        family = config.family
        self.shared = SharedState(len(family.body.joints), len(family.action.spec), config.shared)
        self.driver = config.make_driver()
        self.servo = ArmController(family, self.driver, self.report, config.watchdog)
        self.dt = self.driver.dt
        self.period = round(family.dt / self.dt)  # ticks per action
        self.ticks, self.events, self.missed, self.worst = 0, 0, 0, 0.0
        self.heard = self.followed = self.done = self.answered = self.refused = 0
        self.realtime = False
        self.begun: tuple[Task, Start] | None = None
        self.clock = self.due = 0.0  # s, in lockstep and at the wall's pace
        self.ending = False
        if abs(family.dt / self.dt - self.period) > 1e-6:
            raise ValueError(
                f"{family.name} acts every {family.dt} s, which is no multiple of the arm's {self.dt} s"
            )

    def report(self, event: Event, detail: float) -> None:
        """Called by the watchdog, once an event."""
        self.shared.events[self.events % EVENTS] = (int(event), self.now(), detail)
        self.events += 1

    def now(self) -> float:
        """Monotonic time, s; in lockstep it is the number of ticks that counts."""
        return self.clock if self.config.lockstep else time.monotonic()

    def run(self) -> None:
        """Until told to quit, or until the policy's process is gone; and then until the arm stands still."""
        try:
            self.start()
            self.publish()
            gc.disable()
            self.realtime = not self.config.lockstep and _become_realtime()
            self.due = time.monotonic()
            while not (self.ending and self.servo.resting):
                self.requests()
                if not self.ending and os.getppid() != self.config.parent:
                    self.servo.watchdog.fault(Event.POLICY_DIED)
                    self.ending = True
                if self.config.lockstep and not self.busy():
                    time.sleep(2e-5)
                    continue
                if not self.config.lockstep:
                    self.sleep()
                self.tick()
        finally:
            self.servo.stop()
            with contextlib.suppress(Exception):
                self.driver.disconnect()
            self.shared.finish()
            self.shared.close()

    def start(self) -> None:
        """Connect and enable the arm; tells the policy's process what stands in the way."""
        try:
            self.servo.start()
        except (OSError, RuntimeError, ValueError) as error:
            self.shared.last_words = str(error)
            raise NotUpError(str(error)) from error

    def busy(self) -> bool:
        """In lockstep: whether there is something to pass the time for."""
        if int(self.shared.action.read()["number"]) != self.heard:
            return True
        if self.servo.going or self.done < self.followed * self.period:
            return True
        return not self.servo.resting and (self.ending or self.servo.watchdog.mode is Mode.FAULT)

    def end(self) -> None:
        """Come to rest, then end."""
        self.servo.rest()
        self.ending = True

    def tick(self) -> None:
        """One tick of the servo, and what it needs before and tells after."""
        self.clock += self.dt
        posted = self.shared.action.read()
        number, now = int(posted["number"]), self.now()
        # in lockstep every action has its ticks; at the wall's pace one that waited for them would be late, and so
        # would all that follow it
        if number != self.heard and not (
            self.config.lockstep and self.done < self.followed * self.period
        ):
            self.heard = number
            if number > self.followed:
                self.followed, self.done = number, (number - 1) * self.period
            stamp = now if self.config.lockstep else float(posted["stamp"])
            self.servo.follow(number, stamp, posted["action"].copy())
        going = self.servo.going
        self.servo.tick(now)
        self.ticks += 1
        self.done = min(self.done + 1, self.followed * self.period)
        if going and not self.servo.going:
            self.arrive(now)
        self.servo.look(now)
        self.publish()
        servo, setpoint = self.servo, self.servo.gate.setpoint
        numbers = (int(servo.watchdog.mode), servo.verdict, self.followed)
        state = servo.state
        self.shared.push(
            (now,),
            state.q,
            state.dq,
            state.tau,
            setpoint.q[0],
            setpoint.dq[0],
            servo.object,
            numbers,
        )

    def arrive(self, now: float) -> None:
        """At the start of an episode: place the object and be ready."""
        if self.begun is not None and self.servo.watchdog.mode is Mode.IDLE:
            self.servo.place(*self.begun)
            self.due = time.monotonic()  # building an object is no part of the loop
            if self.servo.watchdog.mode is Mode.IDLE:
                self.servo.watchdog.arm(now)
        self.begun = None

    def requests(self) -> None:
        """Obey what was asked since the last tick."""
        asked = self.shared.request.read()
        number = int(asked["number"])
        if number == self.answered:
            return
        self.answered, verb = number, Verb(int(asked["verb"]))
        if verb is Verb.QUIT:
            self.end()
        elif verb is Verb.REST:
            self.servo.rest()
        elif verb is Verb.BEGIN:
            self.begin(asked)
        elif verb is Verb.HOLD:
            self.servo.hold()
        elif verb is Verb.RELEASE:
            self.servo.watchdog.release(self.now())
        elif verb is Verb.STOP:
            self.servo.watchdog.fault(Event.OPERATOR_STOP)
        elif verb is Verb.CLEAR:
            self.servo.watchdog.clear()
        self.publish()

    def begin(self, asked: Any) -> None:
        """Start an episode, or say that it was refused."""
        names = self.config.family.task_names
        task = Task(names, asked["task"][None, : len(names)].copy(), np.zeros(1, dtype=np.int64))
        start = Start(
            asked["q"][None].copy(),
            None,
            asked["pose"][None, :3].copy(),
            asked["pose"][None, 3:].copy(),
        )
        try:
            self.servo.begin(start.q[0], self.now())
            self.begun = (task, start)
        except ValueError:
            self.refused = self.answered

    def sleep(self) -> None:
        """Sleep until the next tick is due; counts lateness, and never makes up for lost ticks in a burst."""
        self.due += self.dt
        while (left := self.due - time.monotonic()) > 0:
            time.sleep(left)
        late = time.monotonic() - self.due
        self.shared.lateness[self.ticks % LATENESS] = late
        self.worst = max(self.worst, late)
        if late > self.dt:
            self.missed += int(late / self.dt)
            self.due += int(late / self.dt) * self.dt
            if late > self.config.watchdog.overrun:
                self.servo.watchdog.fault(Event.OVERRUN, late)

    def publish(self) -> None:
        """Tell what is."""
        servo, setpoint = self.servo, self.servo.gate.setpoint
        state = servo.state
        self.shared.state.write(
            tick=self.ticks,
            stamp=self.now(),
            mode=int(servo.watchdog.mode),
            verdict=servo.verdict,
            condition=int(state.condition),
            q=state.q,
            dq=state.dq,
            tau=state.tau,
            q_set=setpoint.q[0],
            dq_set=setpoint.dq[0],
            object=servo.object,
            action=self.followed,
            done=self.done,
            request=self.answered,
            refused=self.refused,
            events=self.events,
            missed=self.missed,
            worst=self.worst,
            realtime=self.realtime,
            rate=1 / self.dt,
            applied=servo.applied,
            acted=servo.acted,
        )


def serve(config: ControlConfig) -> None:
    """The process's whole life; a key pressed in its terminal is for the policy's process to judge."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop = ControlLoop(config)
    signal.signal(signal.SIGTERM, lambda *_: loop.end())
    try:
        loop.run()
    except NotUpError:
        raise SystemExit(1) from None  # the policy's process says why


def _become_realtime() -> bool:
    """SCHED_FIFO and locked memory; False where that is not allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except (PermissionError, OSError):
        return False
    ctypes.CDLL(None, use_errno=True).mlockall(
        3
    )  # MCL_CURRENT | MCL_FUTURE; a page fault costs more than refusal
    return True
