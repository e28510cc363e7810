"""The Franka Hand of an arm: its connection and its thread, from ``connect`` to ``disconnect``."""

from hw_interface.drivers.franka_hand import FrankaHand
from hw_interface.drivers.gripper_thread import GripperThread, ThreadedGripper
from robots.gripper import Gripper


class FrankaFingers(ThreadedGripper):
    """One hand in a thread of its own. Only ``command`` and homing ever open it."""

    def __init__(self, address: str, gripper: Gripper, force: float, may_home: bool) -> None:
        """Connect; nothing moves.

        Args:
            address: of the arm's controller.
            gripper: the hand's numbers.
            force: N, of each finger in a grasp.
            may_home: whether ``enable`` may home a hand that is not homed.

        Raises:
            OSError: no hand answers.
            RuntimeError: it is not homed and may not be, or does not open as far as it should.
        """
        self._address = address
        self._gripper = gripper
        self._force = force
        self._may_home = may_home
        self._connect()
        if not may_home:
            self._check_width()

    def _connect(self) -> None:
        self._device = FrankaHand(self._address, self._gripper, self._force)
        self._start()

    def _start(self) -> None:
        self._thread = GripperThread(self._device, f"the hand at {self._address}")

    def _check_width(self) -> None:
        try:
            self._device.check_width()
        except RuntimeError:
            self.close()
            raise

    def enable(self) -> None:
        """Make the hand ready: connect again if it was lost, and home it if that is needed.

        Blocks for seconds.

        Raises:
            OSError: it does not answer.
            RuntimeError: it could not be homed, or does not open as far as it should.
        """
        if self.thread.is_lost or not self._device.is_homed:
            self.close()
            self._connect()
        elif self.thread.problem:
            self.thread.close()
            self._device.forget_fault()
            self._start()
        if not self._device.is_homed and self._may_home:
            self.thread.close()
            self._device.home()
            self._start()
        self._check_width()

    def close(self) -> None:
        """Close the connection; the hand keeps its grip. May block for seconds."""
        self.thread.close()
        self._device.close()
