"""All emulated Feetech servos of one bus: they execute instructions singly and in groups."""

from collections.abc import Callable

from hw_interface.drivers.feetech_calibration import FeetechCalibration
from hw_interface.emulators.feetech_protocol import BROADCAST, Instruction, make_status
from hw_interface.emulators.packets import InstructionPacket
from hw_interface.emulators.serial_bus import Faults, flip_bit, uint16
from hw_interface.emulators.sts_series import REGISTERS, EmulatedSts


class StsGroup:
    """The servos of one bus."""

    def __init__(
        self, calibration: FeetechCalibration, on_goal: Callable[[EmulatedSts, int], None]
    ) -> None:
        """Create the servos; ``on_goal`` is called with every goal position, in ticks."""
        self.faults = Faults()
        self.leaders = [EmulatedSts(wiring) for wiring in calibration.servos]
        self.servos = {servo.servo_id: servo for servo in self.leaders}
        self.joint_of = {servo.servo_id: joint for joint, servo in enumerate(self.leaders)}
        self._on_goal = on_goal

    def answer(self, packet: InstructionPacket, now: float) -> bytes:
        """Execute an instruction; returns the bytes that the servos answer."""
        parameters = packet.parameters
        match packet.instruction:
            case Instruction.SYNC_READ:
                return self._sync_read(parameters)
            case Instruction.SYNC_WRITE:
                self._sync_write(parameters)
                return b""
            case Instruction.WRITE if packet.servo_id == BROADCAST:
                for servo in self.leaders:
                    self._write(servo, parameters[0], parameters[1:])
                return b""
        servo_or_none = self.servos.get(packet.servo_id)
        return self._execute(servo_or_none, packet) if servo_or_none is not None else b""

    def _execute(self, servo: EmulatedSts, packet: InstructionPacket) -> bytes:
        """Let one servo execute an instruction; returns its answer."""
        parameters = packet.parameters
        match packet.instruction:
            case Instruction.PING:
                return self._status(servo)
            case Instruction.READ:
                return self._status(servo, servo.read(parameters[0], parameters[1]))
            case Instruction.WRITE:
                self._write(servo, parameters[0], parameters[1:])
                return self._status(servo)
        return b""

    def _status(self, servo: EmulatedSts, data: bytes = b"") -> bytes:
        """A servo's answer as it arrives, with the faults of the bus."""
        if servo.servo_id in self.faults.mute:
            return b""
        status = make_status(servo.servo_id, servo.error, data)
        if servo.servo_id in self.faults.corrupt:
            status = flip_bit(status, len(status) - 2)  # before the checksum
        return status

    def _sync_read(self, parameters: bytes) -> bytes:
        """Every servo answers with a packet of its own, in the order of the request."""
        address = parameters[0]
        size = parameters[1]
        answers = []
        for servo_id in parameters[2:]:
            if servo_id in self.servos:
                servo = self.servos[servo_id]
                answers.append(self._status(servo, servo.read(address, size)))
        return b"".join(answers)

    def _sync_write(self, parameters: bytes) -> None:
        address = parameters[0]
        size = parameters[1]
        body = parameters[2:]
        for start in range(0, len(body) - size, 1 + size):
            servo = self.servos.get(body[start])
            if servo is not None:
                self._write(servo, address, body[start + 1 : start + 1 + size])

    def _write(self, servo: EmulatedSts, address: int, data: bytes) -> None:
        for servo_id, name in self.faults.lost_writes:
            is_covered = address <= REGISTERS[name].address < address + len(data)
            if servo_id == servo.servo_id and is_covered:
                return
        if address == REGISTERS["goal_position"].address:
            self._on_goal(servo, uint16(data))
        servo.write(address, data)
