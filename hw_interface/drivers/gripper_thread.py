"""A gripper with a controller of its own, in a thread of its own: no control tick waits for it.

The thread passes on the newest width that was commanded and reads the gripper, again and again. It
sends nothing else. A gripper whose thread ends therefore keeps the last width that it was sent, and
so its grip: after a stop, after a fault of the arm, and when the connection is closed.
"""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from hw_interface.control.pacing import realtime
from hw_interface.drivers.bounded import PRIORITY
from hw_interface.warn import warn
from robots.errors import BadArgumentError
from robots.signals import Condition, JointState

PERIOD = 0.02  # s between two exchanges with the gripper; ours
PATIENCE = 1.0  # s without a new reading, after which the gripper counts as lost; ours
SPEED_WINDOW = 0.1  # s over which a speed is measured: widths are coarse, see ``speed``; ours
CLOSE_PATIENCE = 3.0  # s for the present exchange to end; longer than any of ours takes


@dataclass(frozen=True)
class GripperReading:
    """One reading of a gripper with two fingers."""

    width: float  # m, between the fingers
    target: float  # m, the width that the gripper's controller goes to
    grasped: bool = False  # whether it reports something between its fingers
    force: float = 0.0  # N, with which each finger presses inward; negative: outward
    fault: str = ""  # what is wrong with the gripper; empty: nothing


class GripperDevice(Protocol):
    """One gripper's connection. After it is given to a thread, only the thread calls it."""

    def read(self) -> GripperReading:
        """The gripper's present state; blocks for less than ``PATIENCE``.

        Raises:
            OSError: it does not answer, or not as it should.
        """
        ...

    def move(self, width: float) -> None:
        """Make a width, m, the gripper's target; returns before the fingers arrive.

        Called in every period, mostly with the same width. What need not be sent again is not.

        Raises:
            OSError: it does not answer, or not as it should.
        """
        ...


class GripperThread:
    """Moves and reads one gripper; none of its methods but ``close`` blocks."""

    def __init__(self, device: GripperDevice, name: str, period: float = PERIOD) -> None:
        """Read the gripper once, and start the thread; nothing moves.

        Args:
            device: the gripper's connection.
            name: what messages call the gripper, such as "the gripper at 192.168.1.10".
            period: s between two exchanges.

        Raises:
            OSError: the gripper does not answer, or not as it should.
        """
        self._device = device
        self._name = name
        self._period = period
        self._wanted: float | None = None  # m, the newest command; None: nothing is sent
        self._failure = ""  # why the thread has ended; empty while it runs
        self._told = ""  # the newest problem that the user was told
        self._closing = threading.Event()
        self._recent: deque[tuple[float, float]] = deque()  # stamps s and widths m, oldest first
        self._speed = 0.0
        self._reading = self._take(device.read())
        self._stamp = time.monotonic()  # s, of the newest reading

        self._thread = threading.Thread(target=self._run, daemon=True)
        with realtime(PRIORITY):
            self._thread.start()

    @property
    def reading(self) -> GripperReading:
        """The newest reading."""
        return self._reading

    @property
    def speed(self) -> float:
        """How fast the width grows, m/s: the mean over ``SPEED_WINDOW``."""
        return self._speed

    @property
    def problem(self) -> str:
        """What is wrong with the gripper or with its link; empty: nothing."""
        if self._failure:
            return f"{self._name} is lost: {self._failure}"
        silent = time.monotonic() - self._stamp
        if silent > PATIENCE:
            return f"{self._name} is lost: no answer for {silent:.1f} s"
        fault = self._reading.fault
        return f"{self._name} reports a fault: {fault}" if fault else ""

    @property
    def is_lost(self) -> bool:
        """Whether the gripper no longer answers, or not as it should."""
        return bool(self._failure) or time.monotonic() - self._stamp > PATIENCE

    def command(self, width: float) -> None:
        """Make a width, m, the newest command; it is sent with the next exchange.

        Raises:
            BadArgumentError: it is not finite; the command before it stays the newest.
        """
        if not math.isfinite(width):
            raise BadArgumentError(f"a gripper's width must be finite, got {width}")
        self._wanted = width

    def hold(self) -> None:
        """Send no more commands: the gripper keeps the width that it was sent last."""
        self._wanted = None

    def close(self) -> None:
        """End the thread; nothing is sent, so the gripper keeps its grip. Blocks for a while.

        The device is no longer called once this returns, unless a call of it does not return.
        """
        self._closing.set()
        self._thread.join(CLOSE_PATIENCE)

    def _run(self) -> None:
        while not self._closing.wait(self._period):
            try:
                wanted = self._wanted
                if wanted is not None:
                    self._device.move(wanted)
                self._reading = self._take(self._device.read())
                self._stamp = time.monotonic()
            except Exception as error:
                self._failure = str(error) or type(error).__name__
            self._tell()
            if self._failure:
                return

    def _tell(self) -> None:
        """Tell the user a new problem, once: the arm's own events have no words for it."""
        problem = self.problem
        if problem and problem != self._told:
            warn(problem)
        self._told = problem

    def _take(self, reading: GripperReading) -> GripperReading:
        """Check a reading, and update the speed.

        Raises:
            OSError: a number of it is not finite.
        """
        numbers = (reading.width, reading.target, reading.force)
        if not all(math.isfinite(number) for number in numbers):
            raise OSError(f"its reading is not finite: {reading}")

        now = time.monotonic()
        self._recent.append((now, reading.width))
        while now - self._recent[0][0] > SPEED_WINDOW and len(self._recent) > 2:
            self._recent.popleft()
        then, width = self._recent[0]
        elapsed = now - then
        self._speed = (reading.width - width) / elapsed if elapsed > 0 else 0.0
        return reading

    def extend(self, state: JointState) -> JointState:
        """A reading of an arm with that of its gripper, whose motor is the last joint.

        The motor's position is half of the width, see ``robots.gripper.Gripper``. Its target is
        the gripper's own, also where the arm's is not known: its grip is kept when the arm is
        enabled. If something is wrong with the gripper, the condition of an arm that is ready is
        ERROR.

        Args:
            state: of the joints that move the tool.
        """
        reading = self._reading
        target = state.q if state.target is None else state.target
        ready = state.condition is Condition.READY
        return replace(
            state,
            q=np.append(state.q, reading.width / 2),
            dq=np.append(state.dq, self._speed / 2),
            tau=np.append(state.tau, 0.0 - 2 * reading.force),  # no -0.0
            target=np.append(target, reading.target / 2),
            condition=Condition.ERROR if ready and self.problem else state.condition,
        )


class ThreadedGripper:
    """A gripper as an arm's driver uses it; a subclass connects it and starts its thread."""

    _thread: GripperThread | None = None

    @property
    def thread(self) -> GripperThread:
        """The thread of the open connection.

        Raises:
            OSError: there is none.
        """
        if self._thread is None:
            raise OSError("the gripper is not connected")
        return self._thread

    def command(self, position: float) -> None:
        """Move each finger to a position, m from the middle; returns at once.

        Raises:
            BadArgumentError: it is not finite.
        """
        self.thread.command(2 * position)

    def hold(self) -> None:
        """Send no more commands: the grip stays, and a motion that runs ends by itself."""
        if self._thread is not None:
            self._thread.hold()

    def extend(self, state: JointState) -> JointState:
        """A reading of the arm with that of the fingers, see ``GripperThread``."""
        return self.thread.extend(state)
