"""Connections to one Universal Robots controller by the client library ``ur_rtde``.

What to know about the client (1.6):

- Its constructors hold Python's interpreter lock until the controller answers, so the ports are
  asked first.
- Its calls may wait for seconds where the program is not ready, for minutes, or for ever once the
  link is broken, so they are made in threads that may be left behind.
- When its link for commands breaks, it opens the link anew by itself, inside of whatever call it
  is in, and sends the command of that call again. So it is told never to upload its program by
  itself: what runs on the controller then is the old program, under its watchdog, or nothing.
- Meanwhile it may end this process with a segmentation fault: then the watchdog stops the arm.
"""

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import dashboard_client
import numpy as np
import rtde_control
import rtde_receive

from hw_interface.drivers.bounded import PRIORITY, Bounded, Streamer
from hw_interface.drivers.ur_modes import RuntimeState
from hw_interface.drivers.ur_ports import check_ports
from robots.errors import BadArgumentError
from robots.signals import Array

T = TypeVar("T")

FREQUENCY = 500.0  # Hz, of the e-series
ANSWER_PATIENCE = 5.0  # s, for a call that moves nothing
CALL_PATIENCE = 0.05  # s, for a streamed call: longer than any late tick that was measured (8 ms)
CLOSE_PATIENCE = 3.0  # s
PROGRAM_PATIENCE = 5.0  # s, until a program runs; the client's own
POLL = 2e-3  # s
MEASUREMENT_POLL = 1e-4  # s
STALE = 0.1  # s without a new measurement, where the link counts as broken
# With this flag alone, the client neither uploads its program nor waits for one, neither when it
# connects nor when it connects again by itself.
NO_UPLOAD = int(rtde_control.RTDEControlInterface.FLAG_NO_WAIT)
# m/s² of the tool: ``servoStop`` brakes by URScript's ``stopl``, along a line; the client's choice
BRAKE = 10.0
VARIABLES = [  # what the controller measures for us, by the names of the RTDE guide
    "timestamp",
    "actual_q",
    "actual_qd",
    "target_q",
    "actual_TCP_force",
    "robot_mode",
    "safety_mode",
    "runtime_state",
    "target_speed_fraction",
]


@contextmanager
def realtime_threads() -> Iterator[None]:
    """Threads that are started meanwhile run under a real-time scheduler, where it is allowed."""
    policy = os.sched_getscheduler(0)
    parameters = os.sched_getparam(0)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, parameters)


class UrLink:
    """The client's connections: the dashboard, the measurements, and the program for commands."""

    def __init__(self, address: str) -> None:
        """Connect to the dashboard and the measurements; nothing moves and no program runs.

        Raises:
            OSError: the controller does not answer.
            RuntimeError: it does not send what it is asked for.
        """
        check_ports(address)
        self.address = address
        self.dashboard = dashboard_client.DashboardClient(address)
        Bounded(self.dashboard.connect, "open its dashboard").wait(ANSWER_PATIENCE)
        with realtime_threads():
            measured = rtde_receive.RTDEReceiveInterface(address, FREQUENCY, VARIABLES)
        self.measured = _keep(measured)
        self.is_lost = False  # for good: nothing is sent over a client that may be connecting anew
        self._is_closed = False
        self._control: rtde_control.RTDEControlInterface | None = None
        with realtime_threads():
            self._streamer = Streamer()

    @property
    def keeps_client(self) -> bool:
        """Whether there is a client for commands; after ``close``, one that was left behind."""
        return self._control is not None

    @property
    def program_runs(self) -> bool:
        """Whether a program runs on the controller."""
        return bool(self.measured.getRuntimeState() == RuntimeState.PLAYING)

    def check_usable(self) -> None:
        """Called before anything is sent.

        Raises:
            OSError: the link was lost, or is closed.
        """
        if self._control is not None and not self._control.isConnected():
            self.is_lost = True
        if self.is_lost:
            raise OSError(f"the link to {self.address} was lost: start the command again")
        if self._is_closed:
            raise OSError(f"the link to {self.address} is closed")

    def start_program(self, watchdog: float) -> None:
        """Upload the client's program, and arm the controller's watchdog.

        Args:
            watchdog: Hz, below which frequency of commands the controller ends the program.

        Raises:
            RuntimeError: the program does not run, or the watchdog is not armed.
            OSError: the controller does not answer, or the link was lost.
        """
        self.check_usable()
        if self.await_measurement(self.measured.getTimestamp(), ANSWER_PATIENCE) is None:
            self.is_lost = True
            raise OSError("the controller's measurements stand still")
        if self._control is None:
            with realtime_threads():
                control = rtde_control.RTDEControlInterface(self.address, FREQUENCY, NO_UPLOAD)
            self._control = _keep(control)
        control = self._control

        def upload() -> None:
            # while no program runs, this clears the command register: the new program would
            # follow the last target in it
            control.kickWatchdog()
            control.reuploadScript()

        self._await_call(upload, "take a program")
        self._await_program(control)
        armed: list[bool] = []

        def arm() -> None:
            armed.append(control.setWatchdog(watchdog))
            control.kickWatchdog()  # returns once the program is ready for targets

        self._await_call(arm, "arm its watchdog")
        if armed != [True]:
            raise RuntimeError("the controller did not arm its watchdog")

    def _await_call(self, call: Callable[[], None], what: str) -> None:
        """Make a call into the client for commands; one that is left behind loses the link.

        Raises:
            OSError: it has not returned in time.
        """
        try:
            Bounded(call, what).wait(ANSWER_PATIENCE)
        except TimeoutError:
            self.is_lost = True
            raise

    def _await_program(self, control: rtde_control.RTDEControlInterface) -> None:
        """Wait until the program runs, as seen by both of the client's connections.

        Raises:
            RuntimeError: it does not come to that.
        """
        deadline = time.monotonic() + PROGRAM_PATIENCE
        while not (self.program_runs and control.isProgramRunning()):
            if time.monotonic() > deadline:
                raise RuntimeError("the control program on the controller does not run")
            time.sleep(POLL)

    def servo(self, goal: Array, lookahead: float, gain: float) -> bool:
        """Stream a position target (j,) rad; returns whether the program was there to take it.

        Raises:
            BadArgumentError: it is not finite; the client would pass it on.
            OSError: the link is lost.
        """
        if not np.isfinite(goal).all():
            raise BadArgumentError(f"a target must be finite, got {goal}")
        self.check_usable()
        control = self._control
        if control is None or not self.program_runs:
            return False
        unused = 0.0  # servoj's speed and acceleration
        target = goal.tolist()
        period = 1 / FREQUENCY

        def send() -> bool:
            return bool(control.servoJ(target, unused, unused, period, lookahead, gain))

        try:
            return bool(self._streamer.call(send, CALL_PATIENCE))
        except TimeoutError:
            self.is_lost = True  # the client may be opening its link anew
            raise

    def await_measurement(self, after: float, patience: float) -> float | None:
        """The stamp of a measurement later than ``after`` s; None where none comes in time."""
        deadline = time.monotonic() + patience
        while True:
            stamp = float(self.measured.getTimestamp())
            if stamp > after:
                return stamp
            if time.monotonic() > deadline:
                return None
            time.sleep(MEASUREMENT_POLL)

    def await_next(self) -> None:
        """Wait for a new measurement.

        Raises:
            OSError: none comes; the link is lost.
        """
        if self.await_measurement(self.measured.getTimestamp(), STALE) is None:
            self.is_lost = True
            raise OSError(f"the link to {self.address} is broken")

    def brake(self) -> bool:
        """Bring the targets to rest; blocks. Returns whether the program has done so.

        Raises:
            OSError: the link is lost or closed.
        """
        self.check_usable()
        control = self._control
        return control is not None and self.program_runs and bool(control.servoStop(BRAKE))

    def end_program(self) -> None:
        """End whatever program there is, and its watchdog with it; blocks.

        Raises:
            OSError: the link is closed: it may be another session's program.
            RuntimeError: it goes on.
        """
        deadline = time.monotonic() + PROGRAM_PATIENCE
        if self.measured.getRuntimeState() != RuntimeState.STOPPED and not self._is_closed:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self.dashboard.stop()
        while self.program_runs:
            if self._is_closed:
                raise OSError(f"the link to {self.address} is closed")
            if time.monotonic() > deadline:
                raise RuntimeError("the control program on the controller does not end")
            time.sleep(POLL)

    def close(self, keep_commands: bool) -> None:
        """Close the connections; blocks for half a second. Nothing more is sent over them.

        Args:
            keep_commands: leave the client for commands alone, as a call into it is still under
                way: it would open its link anew and send that command again.

        Raises:
            OSError: the client does not return; it is left behind.
        """
        self._is_closed = True
        self._streamer.close()
        closing = [
            Bounded(self.dashboard.disconnect, "close its dashboard"),
            Bounded(self.measured.disconnect, "close its measurements"),
        ]
        # a broken link for commands is left to the client, which may be opening it anew
        is_whole = not self.is_lost and self.measured.isConnected()
        may_close = is_whole and not keep_commands
        if self._control is not None and may_close:
            closing.append(Bounded(self._control.disconnect, "close its commands"))
        deadline = time.monotonic() + CLOSE_PATIENCE
        for each in closing:
            each.wait(max(0.0, deadline - time.monotonic()))
        if may_close:
            self._control = None


def _keep(client: T) -> T:
    """Never destroy a client: it would hold the interpreter lock, on a broken link for ever."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
    return client
