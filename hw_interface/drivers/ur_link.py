"""Connections to one Universal Robots controller by the client library ``ur_rtde``.

What to know about the client (1.6):

- Its constructors hold Python's interpreter lock until the controller answers, so the ports are
  checked first (``ur_ports``).
- A call may wait for seconds if the program is not ready, and for minutes or forever once the link
  is broken. Calls are therefore made in threads with a bounded wait (``bounded``).
- If its command link breaks, it reconnects by itself within the current call, and sends the command
  of that call again. It is therefore configured never to upload its program by itself: after a
  reconnection either the old program runs, under its watchdog, or none.
- While it reconnects it may crash this process with a segmentation fault; the watchdog then stops
  the arm.
"""

import contextlib
import ctypes
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import dashboard_client
import numpy as np
import rtde_control
import rtde_receive

from hw_interface.control.pacing import realtime
from hw_interface.drivers.bounded import PRIORITY, Bounded, Streamer
from hw_interface.drivers.payload import Payload
from hw_interface.drivers.ur_modes import RuntimeState
from hw_interface.drivers.ur_ports import check_ports
from robots.errors import BadArgumentError
from robots.signals import Array

T = TypeVar("T")

FREQUENCY = 500.0  # Hz, of the e-series
ANSWER_PATIENCE = 5.0  # s, for a call that moves nothing
CALL_PATIENCE = 0.05  # s, for a streamed target: longer than the latest tick measured (8 ms)
CLOSE_PATIENCE = 3.0  # s, for all connections to close
PROGRAM_PATIENCE = 5.0  # s, for a program to start or to end; the client's own value
POLL = 2e-3  # s
MEASUREMENT_POLL = 1e-4  # s
STALE = 0.1  # s without a new measurement, after which the link counts as broken
# With only this flag, the client neither uploads its program nor waits for one, both when it
# connects and when it reconnects by itself.
NO_UPLOAD = int(rtde_control.RTDEControlInterface.FLAG_NO_WAIT)
# m/s² of the tool: ``servoStop`` brakes along a line by URScript's ``stopl``; the client's default
BRAKE = 10.0
VARIABLES = [  # RTDE outputs that the controller sends
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


class UrLink:
    """The client's connections: the dashboard, the measurements, and the program for commands."""

    def __init__(self, address: str, also: Sequence[str] = ()) -> None:
        """Connect to the dashboard and the measurements; nothing moves and no program runs.

        Args:
            address: of the controller.
            also: further RTDE outputs that it shall send.

        Raises:
            OSError: the controller does not answer.
            RuntimeError: it does not send what it is asked for.
        """
        check_ports(address)
        self.address = address
        self.dashboard = dashboard_client.DashboardClient(address)
        Bounded(self.dashboard.connect, "open its dashboard").wait(ANSWER_PATIENCE)
        with realtime(PRIORITY):
            measured = rtde_receive.RTDEReceiveInterface(address, FREQUENCY, [*VARIABLES, *also])
            self._streamer = Streamer()
        self.measured = _keep(measured)
        self.is_lost = False  # never reset: a client that may be reconnecting is not used again
        self._is_closed = False
        self._control: rtde_control.RTDEControlInterface | None = None

    @property
    def keeps_client(self) -> bool:
        """Whether a client for commands exists; after ``close``, whether one was left open."""
        return self._control is not None

    @property
    def program_runs(self) -> bool:
        """Whether a program runs on the controller."""
        return bool(self.measured.getRuntimeState() == RuntimeState.PLAYING)

    def check_usable(self) -> None:
        """Check that commands may be sent; called before every command.

        Raises:
            OSError: the link was lost, or is closed.
        """
        if self._control is not None and not self._control.isConnected():
            self.is_lost = True
        if self.is_lost:
            raise OSError(f"the link to {self.address} was lost: start the command again")
        if self._is_closed:
            raise OSError(f"the link to {self.address} is closed")

    def start_program(self, watchdog: float, payload: Payload | None = None) -> None:
        """Upload the client's program, tell it the payload, and arm the controller's watchdog.

        Args:
            watchdog: Hz; if commands arrive less often, the controller ends the program.
            payload: at the flange; None: it stays as it is set.

        Raises:
            RuntimeError: no program runs, or it does not take the payload or the watchdog.
            OSError: the controller does not answer, or the link was lost.
        """
        self.check_usable()
        if self.await_measurement(self.measured.getTimestamp(), ANSWER_PATIENCE) is None:
            self.is_lost = True
            raise OSError("the controller's measurements stand still")
        if self._control is None:
            with realtime(PRIORITY):
                control = rtde_control.RTDEControlInterface(self.address, FREQUENCY, NO_UPLOAD)
            self._control = _keep(control)
        control = self._control

        def upload() -> None:
            # clears the command register while no program runs: otherwise the new program would
            # follow the last target that is left in it
            control.kickWatchdog()
            control.reuploadScript()

        self._await_call(upload, "take a program")
        self._await_program(control)
        if payload is not None:
            self._set_payload(control, payload)
        armed: list[bool] = []

        def arm() -> None:
            armed.append(control.setWatchdog(watchdog))
            control.kickWatchdog()  # returns once the program is ready for targets

        self._await_call(arm, "arm its watchdog")
        if armed != [True]:
            raise RuntimeError("the controller did not arm its watchdog")

    def _set_payload(self, control: rtde_control.RTDEControlInterface, payload: Payload) -> None:
        def tell() -> None:
            control.setPayload(payload.mass, list(payload.center))

        def read() -> list[float]:
            return [self.measured.getPayload(), *self.measured.getPayloadCog()]

        self._await_call(tell, "take a payload")
        payload.await_set(read)

    def _await_call(self, call: Callable[[], None], what: str) -> None:
        """Make a call into the client for commands; if it does not return, the link is lost.

        Raises:
            TimeoutError: it has not returned in time.
        """
        try:
            Bounded(call, what).wait(ANSWER_PATIENCE)
        except TimeoutError:
            self.is_lost = True
            raise

    def _await_program(self, control: rtde_control.RTDEControlInterface) -> None:
        """Wait until both of the client's connections report that the program runs.

        Raises:
            RuntimeError: they do not within ``PROGRAM_PATIENCE``.
        """
        deadline = time.monotonic() + PROGRAM_PATIENCE
        while not (self.program_runs and control.isProgramRunning()):
            if time.monotonic() > deadline:
                raise RuntimeError("the control program on the controller does not run")
            time.sleep(POLL)

    def servo(self, goal: Array, lookahead: float, gain: float) -> bool:
        """Stream a position target to the program.

        Args:
            goal: (j,) rad.
            lookahead: s, of ``servoj``.
            gain: of ``servoj``.

        Returns:
            Whether the program took it; False if no program runs.

        Raises:
            BadArgumentError: the target is not finite; the client would pass it on.
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

        def send() -> bool:
            return bool(control.servoJ(target, unused, unused, 1 / FREQUENCY, lookahead, gain))

        try:
            return bool(self._streamer.call(send, CALL_PATIENCE))
        except TimeoutError:
            self.is_lost = True  # the client may be reconnecting
            raise

    def await_measurement(self, after: float, patience: float) -> float | None:
        """The stamp of a measurement later than ``after``, both s; None after ``patience`` s."""
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
        """End the program on the controller, and its watchdog with it; blocks.

        Raises:
            OSError: the link is closed: the program may be another session's.
            RuntimeError: the program does not end.
        """
        deadline = time.monotonic() + PROGRAM_PATIENCE
        if self.measured.getRuntimeState() != RuntimeState.STOPPED and not self._is_closed:
            with contextlib.suppress(RuntimeError):  # the program has ended meanwhile
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
            keep_commands: leave the client for commands open, because a call into it is still under
                way: closed now, it would reconnect and send that command again.

        Raises:
            OSError: the client does not return; it is left open.
        """
        self._is_closed = True
        self._streamer.close()
        closing = [
            Bounded(self.dashboard.disconnect, "close its dashboard"),
            Bounded(self.measured.disconnect, "close its measurements"),
        ]
        # a broken command link is left to the client, which may be reconnecting
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
    """Never destroy a client: on a broken link that would hold the interpreter lock forever."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))
    return client
