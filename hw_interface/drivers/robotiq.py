"""A Robotiq gripper with two fingers on an arm of Universal Robots, through Robotiq's URCap.

The gripper has a controller of its own, which goes to a position with a speed and a force. Its
variables (``RobotiqSocket``), each 0 to 255:

- POS: the measured position, 0 open and 255 closed. PRE: the position that was requested.
- SPE, FOR: speed and force. GTO: whether the fingers go to the requested position.
- ACT: activation, which opens and closes the fingers. STA: 3 once it is complete.
- OBJ: 1 and 2, stopped by a contact while opening or closing; 0, moving; 3, at the request.
- FLT: a fault, see ``FAULTS``.

Source: Robotiq, "2F-85 and 2F-140 Instruction Manual", chapter 4. Nothing of this was tried with a
real gripper.
"""

import time
from collections.abc import Sequence

import numpy as np

from hw_interface.drivers.gripper_thread import GripperReading
from hw_interface.drivers.robotiq_socket import HIGHEST, PORT, RobotiqSocket
from hw_interface.drivers.servo_gripper import grip_force
from robots.errors import BadArgumentError
from robots.gripper import Gripper

ACTIVATION_PATIENCE = 8.0  # s, for the fingers to open and close; ours
POLL = 0.05  # s
ACTIVATED = 3  # of STA
OPENING_CONTACT = 1  # of OBJ
CLOSING_CONTACT = 2
FULL_SPEED = 255  # of SPE: the gate limits the speed of the setpoints
FORCES = (20.0, 235.0)  # N of each finger, at FOR 0 and 255: the 2F-85's
FORCE_STEP = 2  # of FOR, by which it must change before it is sent again: 1.7 N; ours
# POS of the open and of the closed fingers. Ours, a usual pair: it differs by some counts from
# gripper to gripper, and with other fingertips by many.
CALIBRATION = (3.0, 230.0)
CALIBRATION_ERROR = 5  # counts by which POS may lie beyond it: 2 mm; ours

FAULTS = {
    0x05: "the action waits for the activation",
    0x07: "it was not activated before the action",
    0x08: "it is too hot: let it cool down",
    0x09: "it had no communication for a second",
    0x0A: "its supply voltage is too low",
    0x0B: "its automatic release is in progress",
    0x0C: "it has an internal fault",
    0x0D: "its activation failed: look for something between the fingers",
    0x0E: "it had an overcurrent",
    0x0F: "its automatic release is complete",
}
NOT_YET_ACTIVE = (0x05, 0x07)  # faults that an activation ends
REMEDY = "look at the gripper, and reset it at the pendant"


def check_calibration(counts: Sequence[float]) -> tuple[float, float]:
    """POS of the open and of the closed fingers; of nothing: ``CALIBRATION``.

    Raises:
        BadArgumentError: they are not two numbers in 0 to 255, the first below the second.
    """
    given = tuple(counts) or CALIBRATION
    if len(given) != 2 or not 0 <= given[0] < given[1] <= HIGHEST:
        problem = "a gripper's counts are POS of its open and of its closed fingers, 0 to 255"
        raise BadArgumentError(f"{problem}; got {list(counts)}")
    opened, closed = given
    return opened, closed


class Robotiq:
    """A GripperDevice."""

    def __init__(
        self, address: str, gripper: Gripper, calibration: tuple[float, float], port: int = PORT
    ) -> None:
        """Connect, and read what the gripper was told last; nothing moves.

        Args:
            address: of the arm's controller.
            gripper: of the arm.
            calibration: see ``check_calibration``.
            port: of the URCap.

        Raises:
            OSError: it does not answer, or not as a gripper.
        """
        self._gripper = gripper
        self._counts = np.array(calibration[::-1])  # POS of the closed and of the open fingers
        self._widths = 2 * np.array([gripper.closed, gripper.opened])  # m, of the same
        self._engaged = False
        self._keeps = True  # whether the grip that was found is kept: no other width came yet
        self._socket = RobotiqSocket(address, port)
        try:
            self._force = self._socket.get("FOR")
            self._target = self._socket.get("PRE")
            self._position = self._socket.get("POS")
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the fingers keep their grip."""
        self._socket.close()

    def engage(self, may_activate: bool) -> None:
        """Make the gripper follow positions; its fingers stay and keep what they hold.

        Args:
            may_activate: whether a gripper that is not activated may be: its fingers then open and
                close, and drop what they hold. Blocks for seconds.

        Raises:
            RuntimeError: it reports a fault, or is not activated; the message says what to do.
            OSError: it does not answer, or not as it should.
        """
        self._engaged = False
        if self._socket.get("STA") != ACTIVATED:
            if not may_activate:
                remedy = "activate it at the pendant, or give --driver-set activate=true"
                raise RuntimeError(f"the gripper is not activated: {remedy}; its fingers will move")
            self._activate()
        fault = _describe(self._socket.get("FLT"))
        if fault:
            raise RuntimeError(f"the gripper reports a fault: {fault}")

        self._socket.set(SPE=FULL_SPEED)
        self._target = self._socket.get("PRE")
        if self._socket.get("GTO") == 0:
            self._target = self._socket.get("POS")
            self._socket.set(POS=self._target)
            self._socket.set(GTO=1)
        self._keeps = True
        self._engaged = True

    def _activate(self) -> None:
        """Activate the gripper: its fingers move.

        Raises:
            RuntimeError: it does not become active.
        """
        self._socket.set(ACT=0)
        self._socket.set(ACT=1)
        deadline = time.monotonic() + ACTIVATION_PATIENCE
        while self._socket.get("STA") != ACTIVATED:
            code = self._socket.get("FLT")
            if code and code not in NOT_YET_ACTIVE:
                raise RuntimeError(f"the gripper cannot be activated: {_describe(code)}")
            if time.monotonic() > deadline:
                problem = f"the gripper is not active after {ACTIVATION_PATIENCE:g} s"
                raise RuntimeError(f"{problem}: {REMEDY}")
            time.sleep(POLL)

    def read(self) -> GripperReading:
        """The width, and whether something is between the fingers, see GripperDevice.

        The gripper measures no force: where it reports a contact, the force is the one that it was
        told.

        Raises:
            OSError: it does not answer, not as it should, or its position is not a calibrated one.
        """
        self._position = self._socket.get("POS")
        contact = self._socket.get("OBJ")
        fault = _describe(self._socket.get("FLT"))
        if self._engaged and not fault and self._socket.get("STA") != ACTIVATED:
            fault = f"it is no longer activated: {REMEDY}"
        self._check_position()

        outward = contact == OPENING_CONTACT
        grasped = outward or contact == CLOSING_CONTACT
        force = float(np.interp(self._force, (0, HIGHEST), FORCES)) if grasped else 0.0
        return GripperReading(
            width=self._to_width(self._position),
            target=self._to_width(self._target),
            grasped=grasped,
            force=-force if outward else force,
            fault=fault,
        )

    def _check_position(self) -> None:
        """OSError if POS is farther than ``CALIBRATION_ERROR`` from what is calibrated."""
        closed, opened = self._counts
        if not opened - CALIBRATION_ERROR <= self._position <= closed + CALIBRATION_ERROR:
            problem = f"its POS is {self._position}, but {opened:g} is open and {closed:g} closed"
            remedy = "give the counts of this gripper by --driver-set gripper_counts=OPEN,CLOSED"
            raise OSError(f"{problem}: {remedy}")

    def move(self, width: float) -> None:
        """Go to a width, m, with the force of the simulated gripper, see GripperDevice.

        The force is within the gripper's own bounds (``FORCES``). It is left as it was found until
        another width comes.

        Raises:
            OSError: it does not answer, or not as it should.
        """
        if not self._engaged:
            return
        count = self._to_count(width)
        # a target beyond the calibration has the width of its end
        self._keeps = self._keeps and count == self._to_count(self._to_width(self._target))
        if self._keeps:
            return
        measured = self._to_width(self._position)
        of_each = grip_force(self._gripper, width / 2, measured / 2) / 2
        force = round(float(np.interp(of_each, FORCES, (0, HIGHEST))))
        if count == self._target and abs(force - self._force) < FORCE_STEP:
            return
        self._socket.set(FOR=force, POS=count)
        self._force = force
        self._target = count

    def _to_count(self, width: float) -> int:
        """The position at a width, m."""
        return round(float(np.interp(width, self._widths, self._counts)))

    def _to_width(self, count: int) -> float:
        """The width, m, at a position; beyond the calibration that of its end."""
        return float(np.interp(count, self._counts[::-1], self._widths[::-1]))


def _describe(code: int) -> str:
    """A fault with what to do; empty for none."""
    if code == 0:
        return ""
    return f"{FAULTS.get(code, f'it has the fault {code:#04x}')}: {REMEDY}"
