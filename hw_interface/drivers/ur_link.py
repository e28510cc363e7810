"""Connections to one Universal Robots controller by the client library ``ur_rtde``.

What to know about the client (1.6): its constructors hold Python's interpreter lock until the
controller answers, so the ports are asked first. Its calls may wait for minutes, or for ever once
the link is broken, so all but the streamed ones are made in a thread that may be left behind. When
its link for commands breaks, it may end this process with a segmentation fault: then the
controller's own watchdog stops the arm.
"""

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import dashboard_client
import numpy as np
import rtde_control
import rtde_receive

from hw_interface.drivers.bounded import PRIORITY, Bounded
from hw_interface.drivers.ur_modes import RuntimeState
from hw_interface.drivers.ur_ports import check_ports
from robots.driver import REACHED
from robots.signals import Array

T = TypeVar("T")

FREQUENCY = 500.0  # Hz, of the e-series
ANSWER_PATIENCE = 5.0  # s, for a call that moves nothing
CLOSE_PATIENCE = 3.0  # s
PROGRAM_PATIENCE = 5.0  # s, until a program runs; the client's own
POLL = 2e-3  # s
MEASUREMENT_POLL = 1e-4  # s
STALE = 0.1  # s without a new measurement, where the link counts as broken
BRAKE = 10.0  # deceleration of ``servoStop``: the client's own choice
LET_GO = 0.5  # s that it may take
LET_GO_LOOKAHEAD = 0.1  # s: a soft move of some hundredths of a radian
LET_GO_GAIN = 300.0  # the client's own choice
ARRIVED = 1e-3  # rad
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
        self._control: rtde_control.RTDEControlInterface | None = None

    @property
    def program_runs(self) -> bool:
        """Whether a program runs on the controller."""
        return bool(self.measured.getRuntimeState() == RuntimeState.PLAYING)

    def start_program(self, watchdog: float) -> None:
        """Upload the client's program, and arm the controller's watchdog.

        Args:
            watchdog: Hz, below which frequency of commands the controller ends the program.

        Raises:
            RuntimeError: the program does not run, or the watchdog is not armed.
            OSError: the controller does not answer.
        """
        if self.await_measurement(self.measured.getTimestamp(), ANSWER_PATIENCE) is None:
            raise OSError("the controller's measurements stand still")
        if self._control is None:
            with realtime_threads():
                control = rtde_control.RTDEControlInterface(self.address, FREQUENCY)
            self._control = _keep(control)
        else:
            Bounded(self._control.reuploadScript, "take a program").wait(ANSWER_PATIENCE)
        self._await_program(True)
        armed: list[bool] = []

        def arm(control: rtde_control.RTDEControlInterface = self._control) -> None:
            armed.append(control.setWatchdog(watchdog))

        Bounded(arm, "arm its watchdog").wait(ANSWER_PATIENCE)
        if armed != [True]:
            raise RuntimeError("the controller did not arm its watchdog")

    def _await_program(self, running: bool) -> None:
        """Wait until a program runs, or runs no longer.

        Raises:
            RuntimeError: it does not come to that.
        """
        deadline = time.monotonic() + PROGRAM_PATIENCE
        while self.program_runs is not running:
            if time.monotonic() > deadline:
                problem = "does not run" if running else "does not end"
                raise RuntimeError(f"the control program on the controller {problem}")
            time.sleep(POLL)

    def servo(self, goal: Array, lookahead: float, gain: float) -> bool:
        """Stream a position target (j,) rad; returns whether the program was there to take it."""
        if self._control is None:
            return False
        unused = 0.0  # servoj's speed and acceleration
        target = goal.tolist()
        period = 1 / FREQUENCY
        return bool(self._control.servoJ(target, unused, unused, period, lookahead, gain))

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

    def come_to_rest(self) -> None:
        """Brake, let go of what a joint presses against, end the program; blocks until then.

        Nothing is sent over a broken link, where the client would wait for minutes or end this
        process: the controller's watchdog ends the program.

        Raises:
            OSError: the link is broken.
            RuntimeError: the program goes on.
        """
        if self.await_measurement(self.measured.getTimestamp(), STALE) is None:
            raise OSError(f"the link to {self.address} is broken")
        control = self._control
        if control is not None:
            control.servoStop(BRAKE)
            self._let_go(control)
            control.stopScript()
        self.end_program()

    def _let_go(self, control: rtde_control.RTDEControlInterface) -> None:
        """Hold joints that stand far from their targets where they are."""
        target = np.array(self.measured.getTargetQ())
        q = np.array(self.measured.getActualQ())
        is_far = np.abs(target - q) > REACHED
        if not is_far.any() or not self.program_runs:
            return
        goal = np.where(is_far, q, target)
        deadline = time.monotonic() + LET_GO
        while np.abs(target - goal).max() > ARRIVED and time.monotonic() < deadline:
            self.servo(goal, LET_GO_LOOKAHEAD, LET_GO_GAIN)
            time.sleep(POLL)
            target = np.array(self.measured.getTargetQ())
        control.servoStop(BRAKE)

    def end_program(self) -> None:
        """End whatever program there is, and its watchdog with it; blocks.

        Raises:
            RuntimeError: it goes on.
        """
        if self.measured.getRuntimeState() != RuntimeState.STOPPED:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self.dashboard.stop()
        self._await_program(False)

    def close(self) -> None:
        """Close all connections; blocks for half a second.

        Raises:
            OSError: the client does not return; it is left behind.
        """
        # a broken link for commands is left to the client, which may be opening it anew
        may_close = self._control is not None and self.measured.isConnected()
        closing = [
            Bounded(self.dashboard.disconnect, "close its dashboard"),
            Bounded(self.measured.disconnect, "close its measurements"),
        ]
        if self._control is not None and may_close:
            closing.append(Bounded(self._control.disconnect, "close its commands"))
        for each in closing:
            each.wait(CLOSE_PATIENCE)


def _keep(client: T) -> T:
    """Never destroy a client: it would hold the interpreter lock, on a broken link for ever."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
    return client
