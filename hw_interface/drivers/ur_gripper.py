"""The gripper of an arm of Universal Robots, as the arm's driver uses it."""

from collections.abc import Sequence

from hw_interface.drivers.gripper_thread import GripperThread, ThreadedGripper
from hw_interface.drivers.robotiq import Robotiq, check_calibration
from robots.gripper import Gripper


class UrGripper(ThreadedGripper):
    """A Robotiq gripper behind the URCap; nothing but ``connect`` and ``enable`` blocks for long.

    Whatever happens, it is left at the last width that it was sent.
    """

    def __init__(self, gripper: Gripper, counts: Sequence[float], may_activate: bool) -> None:
        """Check the options; touches no hardware.

        Args:
            gripper: of the arm.
            counts: see ``check_calibration``.
            may_activate: whether a gripper that is not activated may be, which moves its fingers.

        Raises:
            BadArgumentError: the counts are impossible.
        """
        self._gripper = gripper
        self._calibration = check_calibration(counts)
        # the operator's word; it holds for the first time only: later it could end a grip
        self._may_activate = may_activate
        self._address = ""
        self._device: Robotiq | None = None

    def connect(self, address: str) -> None:
        """Open the connection to the URCap on this controller, and read; nothing moves.

        Raises:
            OSError: no gripper answers, or not as it should.
        """
        self.close()
        self._address = address
        try:
            self._device = Robotiq(address, self._gripper, self._calibration)
            self._thread = self._start(self._device)
        except OSError:
            self.close()
            raise

    def _start(self, device: Robotiq) -> GripperThread:
        return GripperThread(device, f"the gripper at {self._address}")

    def enable(self) -> None:
        """Make it follow commands; the fingers stay. A connection that was lost is opened again.

        A gripper that is not activated is activated by the operator's word alone: then the fingers
        open and close, which blocks for some seconds.

        Raises:
            RuntimeError: it is not activated, or reports a fault; the message says what to do.
            OSError: it does not answer, or not as it should.
        """
        if self._device is None or self.thread.is_lost:
            self.connect(self._address)
        assert self._device is not None, "it is connected"
        self.thread.close()
        try:
            self._device.engage(self._may_activate)
            self._may_activate = False
        finally:
            self._thread = self._start(self._device)

    def close(self) -> None:
        """Close the connection; the grip stays."""
        if self._thread is not None:
            self._thread.close()
            self._thread = None
        if self._device is not None:
            self._device.close()
            self._device = None
