"""The connection to a Franka Hand, by the client ``franky`` (``libfranka``): a GripperDevice.

The client's commands return when the motion has ended, so each runs in a thread of the client. The
hand measures its width only. Whether it holds something is what it reports itself, and the force
is then the one that it was asked for.
"""

import ctypes
import time

import franky

from hw_interface.drivers.bounded import Bounded
from hw_interface.drivers.franka_grip import STEP, HandCommand, HandState, next_command
from hw_interface.drivers.franka_link import ANSWER_PATIENCE, plain_errors
from hw_interface.drivers.gripper_thread import GripperReading
from robots.gripper import Gripper

# m of width that counts as an object, from this to ``FARTHEST``: closed fingers hold nothing
THINNEST = 0.001
FARTHEST = 0.1  # wider than the hand opens; with 1 m it refused (libfranka, issue 202)
HOMING_PATIENCE = 20.0  # s
# s, for a command; the fingers need less than 2 s. A move into something would take minutes to fail
COMMAND_PATIENCE = 5.0
CLOSE_PATIENCE = 2.5  # s, for commands to end before the connection is closed
BLOCKED = "take away what is in the fingers' way"


class FrankaHand:
    """One hand. Once a GripperThread has it, only this thread calls it, but for ``close``."""

    def __init__(self, address: str, gripper: Gripper, force: float) -> None:
        """Connect; nothing moves.

        Args:
            address: of the arm's controller.
            gripper: the hand's numbers.
            force: N, of each finger in a grasp.

        Raises:
            OSError: no hand answers.
        """
        opened: list[franky.Gripper] = []

        def connect() -> None:
            with plain_errors("hand"):
                opened.append(franky.Gripper(address))

        Bounded(connect, "answer for its hand").wait(ANSWER_PATIENCE)
        (self._client,) = opened
        self._gripper = gripper
        self._force = force
        self._state = self._measure()
        self._running = HandCommand.NONE
        self._calls: list[franky.BoolFuture] = []  # the client's calls that have not returned
        self._began = 0.0  # s, when the newest command was sent
        self._last = HandCommand.NONE  # see ``HandState``; so is ``_sent``
        self._sent = 0.0
        self._wanted = float(self._state.width)  # m, the newest width
        self._fault = ""

    def _measure(self) -> franky.GripperState:
        """The next state from the hand.

        Raises:
            OSError: none comes within a second.
        """
        with plain_errors("hand"):
            return self._client.state

    @property
    def is_homed(self) -> bool:
        """Whether the hand knows its largest width, which homing measures."""
        return bool(self._state.max_width > 0)

    def home(self) -> None:
        """Open fully, which measures the largest width; drops what the fingers hold. Blocks.

        Raises:
            OSError: the link is lost, or the homing does not end.
            RuntimeError: it failed.
        """

        def call() -> None:
            with plain_errors("hand"):
                if not self._client.homing():
                    raise RuntimeError("the hand could not be homed")

        Bounded(call, "home its hand").wait(HOMING_PATIENCE)
        self._state = self._measure()
        self._wanted = float(self._state.width)

    def check_width(self) -> None:
        """Check that the hand is homed and opens as far as the catalog says.

        Raises:
            RuntimeError: it does not; the message says what to do.
        """
        if not self.is_homed:
            raise RuntimeError(
                "the hand is not homed: home it in Desk, or take out what it holds and start with "
                "--driver-set home=true, which opens its fingers"
            )
        width = self._state.max_width
        widest = 2 * self._gripper.opened
        if width < widest - STEP:
            raise RuntimeError(
                f"the hand opens to {1e3 * width:.0f} mm, not to {1e3 * widest:.0f} mm: home it "
                "again, or give the arm's catalog entry the fingers that it has"
            )

    def read(self) -> GripperReading:
        """See ``GripperDevice``."""
        self._finish()
        self._state = self._measure()  # newer than the answers: a grasp that has ended is in it
        return GripperReading(
            width=float(self._state.width),
            target=self._wanted,
            grasped=bool(self._state.is_grasped),
            force=self._force if self._state.is_grasped else 0.0,
            fault=self._fault,
        )

    def move(self, width: float) -> None:
        """See ``GripperDevice``; the rule is ``next_command``."""
        self._wanted = width
        present = HandState(
            width=float(self._state.width),
            grasps=bool(self._state.is_grasped),
            running=self._running,
            last=self._last,
            sent=self._sent,
        )
        command = next_command(width, present)
        if command is HandCommand.NONE or self._fault:
            return
        self._running = self._last = command
        self._sent = width
        self._began = time.monotonic()
        with plain_errors("hand"):
            self._calls.append(self._start(command, width))

    def _start(self, command: HandCommand, width: float) -> franky.BoolFuture:
        """Begin a command; returns the client's future."""
        speed = self._gripper.speed
        if command is HandCommand.OPEN:
            return self._client.move_async(min(width, self._state.max_width), speed)
        if command is HandCommand.CLOSE:
            return self._client.grasp_async(THINNEST, speed, self._force, 0.0, FARTHEST)
        return self._client.stop_async()

    def _finish(self) -> None:
        """Take the answers of commands that have ended.

        Raises:
            OSError: the link is lost.
        """
        waiting: list[franky.BoolFuture] = []
        for call in self._calls:
            if not call.wait(0.0):
                waiting.append(call)
                continue
            problem = _problem_of(call, self._running)
            if self._running is not HandCommand.STOP:  # a command that was stopped may fail
                self._fault = self._fault or problem
        self._calls = waiting
        if not waiting:
            self._running = HandCommand.NONE
        elif time.monotonic() - self._began > COMMAND_PATIENCE:
            self._fault = self._fault or f"a command did not end: {BLOCKED}"

    def forget_fault(self) -> None:
        """Begin again at the present width: the operator has cleared the fault."""
        self._fault = ""
        self._last = HandCommand.NONE
        self._wanted = float(self._state.width)
        self._began = time.monotonic()

    def close(self) -> None:
        """Close the connection, once the fingers have come to rest; blocks for seconds.

        The client would wait for a command that does not end, and this process with it. Client and
        call are then kept until the process ends.
        """
        deadline = time.monotonic() + CLOSE_PATIENCE
        running: list[franky.BoolFuture] = []
        for call in self._calls:
            left = max(0.0, deadline - time.monotonic())
            if not call.wait(left):
                running.append(call)
        if running:
            for kept in (self._client, *running):
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
        self._calls = []
        self._client = None


def _problem_of(call: franky.BoolFuture, command: HandCommand) -> str:
    """What went wrong with a command that has ended; empty: nothing.

    A grasp that finds nothing is no problem: the fingers are closed, as was wanted.

    Raises:
        OSError: the link is lost.
    """
    try:
        with plain_errors("hand"):
            succeeded = call.get()
    except RuntimeError as error:
        return f"a command failed: {error}"
    if command is HandCommand.OPEN and not succeeded:
        return f"it did not open as far as it was told: {BLOCKED}"
    return ""
