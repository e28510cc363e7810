"""The control process: it paces the controller, handles requests and publishes the state.

In real time it sleeps until absolute times, under SCHED_FIFO if that is permitted. In lockstep it
runs the ticks of an action as soon as the action is posted. Nothing else differs between the two.
"""

import contextlib
import gc
import os
import time

from hw_interface.control.coming_up import build_devices, reason_published
from hw_interface.control.config import ControlConfig
from hw_interface.control.controller import ArmController
from hw_interface.control.events import Event, Mode
from hw_interface.control.last_reading import settle
from hw_interface.control.layout import EVENTS, Record, Sizes
from hw_interface.control.own_session import Signaled
from hw_interface.control.pacing import Pacer, become_realtime, count_ticks_per_action
from hw_interface.control.publishing import Progress, publish_state, record_tick
from hw_interface.control.requests import Request, read_path, read_start, read_task
from hw_interface.control.shared_state import SharedState
from hw_interface.control.words import Word
from hw_interface.warn import print_error
from robots.errors import ArmError
from robots.world import Start, Task

LOCKSTEP_POLL = 2e-5  # s between two polls for an action in lockstep
HEARTBEAT = 0.1  # s; in real time the loop must run again within it
BLOCKING = 20.0  # s that the driver may take to connect, enable or disconnect
MAX_SEQ = 2**40  # actions; more than an arm executes in a thousand years
MAX_FAILURES = 3  # errors in Pliant's own code; with one more the driver is stopped at once


class ControlLoop:
    """The loop of the control process: requests, pacing, control, publishing."""

    def __init__(self, config: ControlConfig) -> None:
        family = config.family
        self.config = config
        self.shared = SharedState(Sizes.of(family), config.shared)
        devices = build_devices(config, self.shared)
        self.driver = devices.driver
        self.dt = self.driver.capabilities.dt
        self.pacer = Pacer(self.dt, self.shared.lateness)
        self.patience = BLOCKING if config.lockstep else max(HEARTBEAT, 2 * self.dt)  # s
        self.controller = ArmController(family, devices, self.report, config.watchdog)
        self.progress = Progress(count_ticks_per_action(family, self.dt))
        self.last_action_seq = 0  # the newest action that was read
        self.pending_start: tuple[Task, Start] | None = None  # of the episode being begun
        self.lockstep_time = 0.0  # s
        self.ending = False
        self.signaled = Signaled()
        self.failures = 0  # errors in Pliant's own code

    def report(self, event: Event, detail: float) -> None:
        """Publish an event of the watchdog."""
        progress = self.progress
        self.shared.events[progress.events % EVENTS] = (int(event), self.now(), detail)
        progress.events += 1
        if event in (Event.ARM_ERROR, Event.ARM_STOPPED, Event.CLEARED):
            progress.arm_error = event is not Event.CLEARED

    def now(self) -> float:
        """Monotonic time, s; in lockstep ticks passed times dt."""
        return self.lockstep_time if self.config.lockstep else time.monotonic()

    def run(self) -> None:
        """Run until a request to quit, or the policy's process ends; then come to rest."""
        try:
            self.shared.promise(BLOCKING)
            self.start()
            self.publish()
            gc.disable()
            self.progress.realtime = not self.config.lockstep and become_realtime()
            self.pacer.restart()
            while not (self.ending and self.controller.at_rest):
                self.run_once()
        finally:
            self.shared.promise(BLOCKING)
            self.controller.stop()
            with contextlib.suppress(Exception):
                self.publish_rest()
            with contextlib.suppress(Exception):
                self.driver.disconnect()
            self.shared.finish()
            self.shared.close()

    def publish_rest(self) -> None:
        """After the stop: publish whether the arm was left at rest."""
        pause = 0.0 if self.config.lockstep else self.dt
        controller = self.controller
        if not controller.link_broken:
            controller.state = settle(self.driver, controller.state, pause)
        self.publish()

    def start(self) -> None:
        """Connect and enable the arm.

        Raises:
            SystemExit: the arm did not come up; the policy's process reports the reason.
        """
        with reason_published(self.shared):
            self.controller.start()

    def run_once(self) -> None:
        """Handle words and a request, then wait for the next tick and run it.

        An error in Pliant's own code brakes the arm and then ends the process. After
        ``MAX_FAILURES`` of them the error is raised, so that the driver is stopped at once.
        """
        self.shared.promise(self.patience)
        try:
            self.check_end()
            self.handle_words()
            self.handle_request()
            self.shared.promise(self.patience)  # the request may have waited for the driver
            for _ in range(self.shared.newly_unreadable):
                self.report(Event.BAD_RECORD, 0)
            if self.config.lockstep and not self.has_work():
                time.sleep(LOCKSTEP_POLL)
                return
            if not self.config.lockstep:
                self.wait_for_tick()
            self.tick()
        except Exception as error:
            self.failures += 1
            if self.failures > MAX_FAILURES:
                raise
            print_error()
            self.shared.exit_reason = f"{type(error).__name__}: {error}"
            self.controller.watchdog.fault(Event.CONTROL_FAILED)
            self.end()

    def check_end(self) -> None:
        """End if a signal requests it, or if the policy's process is gone."""
        if self.ending:
            return
        if self.signaled.end.is_set():
            self.end()
        if os.getppid() != self.config.parent:
            self.controller.watchdog.fault(Event.POLICY_DIED)
            self.ending = True

    def wait_for_tick(self) -> None:
        """In real time: sleep until the next tick; a tick that is very late is a fault."""
        late = self.pacer.wait(self.progress.ticks)
        if late > max(self.dt, self.config.watchdog.overrun):
            self.controller.watchdog.fault(Event.OVERRUN, late)

    def has_work(self) -> bool:
        """In lockstep: whether there is a reason to run a tick."""
        posted = self.shared.action.read_nonblocking()
        if int(posted["seq"]) != self.last_action_seq:
            return True
        if self.progress.move_unfinished or self.progress.action_unfinished:
            return True
        must_brake = self.ending or self.controller.watchdog.mode is Mode.FAULT
        return must_brake and not self.controller.at_rest

    def end(self) -> None:
        """Come to rest, then end."""
        self.controller.leave()
        self.ending = True

    def tick(self) -> None:
        """Take a new action, run one tick of the controller, and publish the result."""
        self.lockstep_time += self.dt
        posted = self.shared.action.read_nonblocking()
        now = self.now()
        self.take_action(posted, now)
        self.controller.tick(now)
        self.progress.count_tick()
        self.end_move()
        self.controller.track_object(now)
        self.publish()
        record_tick(self.shared, self.controller, self.progress, now)

    def take_action(self, posted: Record, now: float) -> None:
        """Hand a newly posted action to the controller.

        In lockstep an action is followed for all its ticks before the next one is taken. In real
        time a new action is taken at once: if it waited, it and all later actions would be late.
        """
        seq = int(posted["seq"])
        if seq == self.last_action_seq:
            return
        if self.config.lockstep and self.progress.action_unfinished:
            return
        self.last_action_seq = seq
        if seq > MAX_SEQ:
            self.report(Event.BAD_RECORD, seq)
            return
        self.progress.begin_action(seq)
        self.controller.set_action(
            seq,
            now if self.config.lockstep else float(posted["stamp"]),
            posted["action"].copy(),
            taken=now,
            continues=bool(posted["continues"]),
            distance=float(posted["distance"]),
        )

    def end_move(self) -> None:
        """Once a move has ended: begin the episode, or note why not."""
        mover = self.controller.mover
        if not self.progress.move_unfinished or mover.is_moving:
            return
        self.progress.ended_seq = self.progress.move_seq
        failure = mover.failure
        if mover.arrived and self.controller.watchdog.mode is Mode.IDLE:
            self.progress.arrived_seq = self.progress.move_seq
            failure = self.begin_episode()
        if failure:
            self.shared.reason = failure
            self.progress.failed_seq = self.progress.move_seq
        self.pending_start = None

    def begin_episode(self) -> str:
        """At the start: have the object placed and arm; returns why the arm is not ready."""
        if self.pending_start is None:
            return ""
        self.shared.promise(BLOCKING)
        self.controller.place_object(*self.pending_start)
        self.pacer.restart()  # the time it took to place the object is not lateness
        unready = self.controller.unready
        if unready:
            return unready
        if self.controller.watchdog.mode is Mode.IDLE:
            self.controller.watchdog.arm(self.now())
        return ""

    def handle_words(self) -> None:
        """Handle the words that were sent since the last tick, see ``Word``."""
        new_words = self.progress.take_words(self.shared.words.read_nonblocking()["counts"])
        if self.signaled.stop.is_set():
            self.signaled.stop.clear()
            new_words.append(Word.STOP)
        for word in new_words:
            self.obey(word)
        if new_words:
            self.publish()

    def obey(self, word: Word) -> None:
        """Carry out a word."""
        match word:
            case Word.CLEAR:
                self.controller.clear()
            case Word.RELEASE:
                self.controller.watchdog.release(self.now())
            case Word.HOLD:
                self.controller.hold()
            case Word.STOP:
                self.controller.watchdog.fault(Event.OPERATOR_STOP)
            case Word.QUIT:
                self.end()

    def handle_request(self) -> None:
        """Handle a request that was posted since the last tick; refuse one of unknown kind."""
        posted = self.shared.request.read_nonblocking()
        seq = int(posted["seq"])
        if seq == self.progress.last_request_seq:
            return
        self.progress.last_request_seq = seq
        kind = int(posted["kind"])
        if kind == Request.END_EPISODE:
            self.controller.end_episode()
        elif kind in (Request.BEGIN_EPISODE, Request.MOVE, Request.TORQUE_OFF):
            self.try_request(Request(kind), posted)
        else:
            self.refuse(f"there is no request {kind}")
            self.report(Event.BAD_RECORD, kind)
        self.publish()

    def try_request(self, kind: Request, posted: Record) -> None:
        """Begin a move or switch the motors off; publish the reason if that is refused."""
        self.pending_start = None
        self.shared.promise(BLOCKING)  # the driver may have to connect or to enable again
        try:
            start = None  # read before the arm moves
            if kind is Request.BEGIN_EPISODE:
                start = read_task(posted, self.config.family), read_start(posted)
            if kind is Request.TORQUE_OFF:
                self.controller.torque_off()
            else:
                self.controller.begin_move(read_path(posted))
                self.progress.move_seq = self.progress.last_request_seq
                self.pending_start = start
        except (ArmError, ValueError) as error:
            self.refuse(str(error))
        self.pacer.restart()  # the time that the driver took is not lateness

    def refuse(self, reason: str) -> None:
        """Note why the newest request was refused."""
        self.shared.reason = reason
        self.progress.rejected_seq = self.progress.last_request_seq

    def publish(self) -> None:
        """Publish the state to the policy's process."""
        publish_state(self.shared, self.controller, self.pacer, self.progress, self.now())
