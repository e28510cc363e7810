"""The control process: it paces the controller, handles requests and publishes the state.

In real time it sleeps to absolute times, under SCHED_FIFO where that is allowed. In lockstep it
runs one control period as soon as an action is posted. Nothing else differs between the two.
"""

import contextlib
import gc
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType

import numpy as np

from hw_interface.control.controller import ArmController
from hw_interface.control.layout import EVENTS, Record, Sizes
from hw_interface.control.pacing import Pacer, become_realtime, count_ticks_per_action
from hw_interface.control.requests import Request, read_start
from hw_interface.control.shared_state import SharedState
from hw_interface.control.watchdog import Event, Mode, WatchdogConfig
from hw_interface.devices import Devices
from robots.errors import ArmError
from robots.world import Family, Start, Task

LOCKSTEP_POLL = 2e-5  # s between two polls for an action in lockstep


@dataclass(frozen=True)
class ControlConfig:
    """Everything the control process needs; sent to it once."""

    family: Family
    make_devices: Callable[[], Devices]
    lockstep: bool
    shared: str  # name of the shared memory
    parent: int  # process id of the policy; it may be gone before the child can ask for it
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)


class ControlLoop:
    """The loop of the control process: requests, pacing, control, publishing."""

    def __init__(self, config: ControlConfig) -> None:
        family = config.family
        devices = config.make_devices()
        self.config = config
        self.driver = devices.driver
        self.dt = self.driver.capabilities.dt
        self.ticks_per_action = count_ticks_per_action(family, self.dt)
        self.shared = SharedState(Sizes.of(family), config.shared)
        self.pacer = Pacer(self.dt, self.shared.lateness)
        self.controller = ArmController(family, devices, self.report, config.watchdog)
        self.ticks = 0
        self.events = 0
        self.last_action_seq = 0  # the newest action that was read
        self.active_action_seq = 0  # the newest action in order
        self.ticks_done = 0  # ticks_per_action for each earlier action, and those of the active one
        self.last_request_seq = 0
        self.rejected_seq = 0  # the newest request that was refused
        self.pending_start: tuple[Task, Start] | None = None  # of the episode being begun
        self.realtime = False  # whether SCHED_FIFO was granted
        self.lockstep_time = 0.0  # s
        self.ending = False

    def report(self, event: Event, detail: float) -> None:
        """Publish an event of the watchdog."""
        self.shared.events[self.events % EVENTS] = (int(event), self.now(), detail)
        self.events += 1

    def now(self) -> float:
        """Monotonic time, s; in lockstep ticks passed times dt."""
        return self.lockstep_time if self.config.lockstep else time.monotonic()

    def run(self) -> None:
        """Run until asked to quit or until the policy's process is gone, then until at rest."""
        try:
            self.start()
            self.publish()
            gc.disable()
            self.realtime = not self.config.lockstep and become_realtime()
            self.pacer.restart()
            while not (self.ending and self.controller.at_rest):
                self.run_once()
        finally:
            self.controller.stop()
            with contextlib.suppress(Exception):
                self.driver.disconnect()
            self.shared.finish()
            self.shared.close()

    def start(self) -> None:
        """Connect and enable the arm.

        Raises:
            SystemExit: the arm did not come up; the policy's process reports the reason.
        """
        try:
            self.controller.start()
        except (OSError, RuntimeError, ValueError) as error:
            self.shared.exit_reason = str(error)
            raise SystemExit(1) from error

    def run_once(self) -> None:
        """Handle a request, then wait for the next tick and run it."""
        self.handle_request()
        if not self.ending and os.getppid() != self.config.parent:
            self.controller.watchdog.fault(Event.POLICY_DIED)
            self.ending = True
        if self.config.lockstep:
            if not self.has_work():
                time.sleep(LOCKSTEP_POLL)
                return
        else:
            self.wait_for_tick()
        self.tick()

    def wait_for_tick(self) -> None:
        """In real time: sleep until the next tick; being very late is a fault."""
        late = self.pacer.wait(self.ticks)
        if late > max(self.dt, self.config.watchdog.overrun):
            self.controller.watchdog.fault(Event.OVERRUN, late)

    def has_work(self) -> bool:
        """In lockstep: whether there is a reason to run a tick."""
        posted = self.shared.action.read_nonblocking()
        if int(posted["seq"]) != self.last_action_seq:
            return True
        if self.controller.moving_to_start or self.action_unfinished:
            return True
        must_brake = self.ending or self.controller.watchdog.mode is Mode.FAULT
        return must_brake and not self.controller.at_rest

    @property
    def action_unfinished(self) -> bool:
        """Whether the active action has ticks left."""
        return self.ticks_done < self.active_action_seq * self.ticks_per_action

    def end(self) -> None:
        """Come to rest, then end."""
        self.controller.end_episode()
        self.ending = True

    def tick(self) -> None:
        """Take a new action, run one tick of the controller, and publish the result."""
        self.lockstep_time += self.dt
        posted = self.shared.action.read_nonblocking()
        now = self.now()
        self.take_action(posted, now)
        controller = self.controller
        was_moving = controller.moving_to_start
        controller.tick(now)
        self.ticks += 1
        last_tick = self.active_action_seq * self.ticks_per_action
        self.ticks_done = min(self.ticks_done + 1, last_tick)
        if was_moving and not controller.moving_to_start:
            self.arrive(now)
        controller.track_object(now)
        self.publish()
        self.record_tick(now)

    def take_action(self, posted: Record, now: float) -> None:
        """Hand a newly posted action to the controller.

        In lockstep each action gets all its ticks before the next one is taken. In real time a new
        action is taken at once: if it waited, it and all later ones would be late.
        """
        seq = int(posted["seq"])
        if seq == self.last_action_seq:
            return
        lockstep = self.config.lockstep
        if lockstep and self.action_unfinished:
            return
        self.last_action_seq = seq
        if seq > self.active_action_seq:
            self.active_action_seq = seq
            self.ticks_done = (seq - 1) * self.ticks_per_action
        stamp = now if lockstep else float(posted["stamp"])
        self.controller.set_action(seq, stamp, posted["action"].copy())

    def arrive(self, now: float) -> None:
        """On arrival at an episode's start: have the object placed, then arm."""
        watchdog = self.controller.watchdog
        if self.pending_start is not None and watchdog.mode is Mode.IDLE:
            task, start = self.pending_start
            self.controller.place_object(task, start)
            self.pacer.restart()  # the time it took to place the object is not lateness
            if watchdog.mode is Mode.IDLE:
                watchdog.arm(now)
        self.pending_start = None

    def handle_request(self) -> None:
        """Handle a request that was posted since the last tick."""
        posted = self.shared.request.read_nonblocking()
        seq = int(posted["seq"])
        if seq == self.last_request_seq:
            return
        self.last_request_seq = seq
        controller = self.controller
        match Request(int(posted["kind"])):
            case Request.QUIT:
                self.end()
            case Request.END_EPISODE:
                controller.end_episode()
            case Request.BEGIN_EPISODE:
                self.begin_episode(posted)
            case Request.HOLD:
                controller.hold()
            case Request.RELEASE:
                controller.watchdog.release(self.now())
            case Request.STOP:
                controller.watchdog.fault(Event.OPERATOR_STOP)
            case Request.CLEAR:
                controller.watchdog.clear()
        self.publish()

    def begin_episode(self, posted: Record) -> None:
        """Begin to move to an episode's start, or publish that it was refused."""
        names = self.config.family.task_names
        task = Task(names, posted["task"][None].copy(), np.zeros(1, dtype=np.int64))
        start = read_start(posted)
        try:
            self.controller.begin_move(start.q[0], self.now())
            self.pending_start = (task, start)
        except (ArmError, ValueError):
            self.rejected_seq = self.last_request_seq

    def publish(self) -> None:
        """Publish the state to the policy's process."""
        controller = self.controller
        state = controller.state
        setpoint = controller.gate.setpoint
        self.shared.state.write(
            tick=self.ticks,
            stamp=self.now(),
            mode=int(controller.watchdog.mode),
            verdict=controller.verdict,
            condition=int(state.condition),
            q=state.q,
            dq=state.dq,
            tau=state.tau,
            q_set=setpoint.q[0],
            dq_set=setpoint.dq[0],
            object=controller.object_state,
            active_action_seq=self.active_action_seq,
            ticks_done=self.ticks_done,
            last_request_seq=self.last_request_seq,
            rejected_seq=self.rejected_seq,
            events=self.events,
            missed_ticks=self.pacer.missed_ticks,
            max_lateness=self.pacer.max_lateness,
            realtime=self.realtime,
            applied_sum=controller.applied_sum,
            applied_ticks=controller.applied_ticks,
        )

    def record_tick(self, now: float) -> None:
        """Add the tick to the recorder's ring, in the order of ``ring_columns``."""
        controller = self.controller
        state = controller.state
        setpoint = controller.gate.setpoint
        mode = int(controller.watchdog.mode)
        self.shared.push(
            (now,),
            state.q,
            state.dq,
            state.tau,
            setpoint.q[0],
            setpoint.dq[0],
            controller.object_state,
            (mode, controller.verdict, self.active_action_seq),
        )


def serve(config: ControlConfig) -> None:
    """Run the control process from its start to its end.

    SIGINT is ignored: a key pressed in the terminal is for the policy's process to handle.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loop = ControlLoop(config)

    def terminate(number: int, frame: FrameType | None) -> None:
        loop.end()

    signal.signal(signal.SIGTERM, terminate)
    loop.run()
