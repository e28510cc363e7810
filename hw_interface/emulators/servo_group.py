"""All emulated servos of one bus: they execute instructions singly and in groups."""

from collections.abc import Callable

from hw_interface.drivers.dynamixel_calibration import Calibration
from hw_interface.drivers.dynamixel_models import OPERATING_MODES
from hw_interface.emulators.packets import InstructionPacket
from hw_interface.emulators.protocol2 import (
    BROADCAST,
    FAST_HEADER,
    FAST_OVERHEAD,
    Error,
    Instruction,
    append_crc,
    make_fast_status,
    make_status,
)
from hw_interface.emulators.serial_bus import Faults, flip_bit, uint16
from hw_interface.emulators.x_series import NO_SECONDARY_ID, REGISTERS, EmulatedServo

CHECKSUM_SIZE = 2  # bytes
CLOCK_STAGGER = 4.1  # s between the clocks of servos with successive ids; real clocks differ too


class ServoGroup:
    """The servos of one bus, and their shadows."""

    def __init__(
        self, calibration: Calibration, on_goal: Callable[[EmulatedServo, int], None]
    ) -> None:
        """Create the servos; ``on_goal`` is called with every goal position, in ticks."""
        self.faults = Faults()
        self.servos: dict[int, EmulatedServo] = {}  # by id
        self.leaders: list[EmulatedServo] = []  # one per joint
        self.joint_of: dict[int, int] = {}  # index of the joint by id
        self._on_goal = on_goal
        for joint, wiring in enumerate(calibration.servos):
            mode = OPERATING_MODES[calibration.mode_of(wiring)]
            leader = EmulatedServo(wiring, wiring.id, mode, started=-CLOCK_STAGGER * wiring.id)
            self.leaders.append(leader)
            self.servos[wiring.id] = leader
            self.joint_of[wiring.id] = joint
        for shadow_id, joint in calibration.shadows.items():
            wiring = calibration.servos[joint]
            mode = OPERATING_MODES[calibration.mode_of(wiring)]
            started = -CLOCK_STAGGER * shadow_id
            shadow = EmulatedServo(wiring, shadow_id, mode, wiring.id, started)
            self.servos[shadow_id] = shadow
            self.joint_of[shadow_id] = joint

    def answer(self, packet: InstructionPacket, now: float) -> bytes:
        """Execute an instruction at ``now`` s; returns the bytes that the servos answer."""
        for servo in self.servos.values():
            servo.last_instruction = now
        match packet.instruction:
            case Instruction.SYNC_READ:
                return self._sync_read(packet.parameters)
            case Instruction.FAST_SYNC_READ:
                return self._fast_sync_read(packet.parameters)
            case Instruction.SYNC_WRITE:
                self._sync_write(packet.parameters)
                return b""
            case _:
                return self._answer_one_by_one(packet)

    def _answer_one_by_one(self, packet: InstructionPacket) -> bytes:
        """Execute an instruction to one servo, or to all of them."""
        answers = []
        for servo in self.servos.values():
            if packet.servo_id in (servo.servo_id, BROADCAST):
                answers.append(self._execute(servo, packet))
        if packet.instruction in (Instruction.WRITE, Instruction.REBOOT):
            for servo in self.servos.values():
                if servo.secondary_id == packet.servo_id:
                    self._execute(servo, packet)  # a shadow executes it without an answer
            if packet.servo_id == BROADCAST:
                return b""
        return b"".join(answers)

    def _execute(self, servo: EmulatedServo, packet: InstructionPacket) -> bytes:
        """Let one servo execute an instruction; returns its answer."""
        data = b""
        parameters = packet.parameters
        match packet.instruction:
            case Instruction.PING:
                error = servo.alert
                data = bytes(servo.table[0:2]) + bytes(servo.table[6:7])  # model, firmware
            case Instruction.READ:
                error, data = servo.read(uint16(parameters), uint16(parameters[2:]))
            case Instruction.WRITE:
                error = self._write(servo, uint16(parameters), parameters[2:])
            case Instruction.REBOOT:
                servo.reboot()
                error = servo.alert
            case _:
                error = Error.INSTRUCTION | servo.alert
        return self._status(servo.servo_id, error, data)

    def _status(self, servo_id: int, error: int, data: bytes) -> bytes:
        """A servo's answer as it arrives, with the faults of the bus."""
        if servo_id in self.faults.mute:
            return b""
        status = make_status(servo_id, error, data)
        if servo_id in self.faults.corrupt:
            last_of_data = len(status) - CHECKSUM_SIZE - 1
            status = flip_bit(status, last_of_data)
        return status

    def _sync_read(self, parameters: bytes) -> bytes:
        """Every servo answers with a packet of its own."""
        address = uint16(parameters)
        size = uint16(parameters[2:])
        answers = []
        for servo_id in parameters[4:]:
            if servo_id in self.servos:
                error, data = self.servos[servo_id].read(address, size)
                answers.append(self._status(servo_id, error, data))
        return b"".join(answers)

    def _fast_sync_read(self, parameters: bytes) -> bytes:
        """All servos answer in one packet, which breaks off at the first that does not answer."""
        address = uint16(parameters)
        size = uint16(parameters[2:])
        ids = parameters[4:]
        answers = []
        for servo_id in ids:
            if servo_id not in self.servos or servo_id in self.faults.mute:
                break
            error, data = self.servos[servo_id].read(address, size)
            answers.append((servo_id, error, data))
        packet = make_fast_status(answers, len(ids))
        for servo_id in self.faults.corrupt & set(ids):
            start = FAST_HEADER + (FAST_OVERHEAD + size) * ids.index(servo_id)
            last_of_data = start + 1 + size  # after error and id
            if last_of_data < len(packet):
                packet = flip_bit(packet, last_of_data)
            if servo_id != ids[-1]:
                # the next servos compute their checksums from the corrupted bytes
                packet = append_crc(packet[:-CHECKSUM_SIZE])
        return packet

    def _sync_write(self, parameters: bytes) -> None:
        address = uint16(parameters)
        size = uint16(parameters[2:])
        body = parameters[4:]
        for start in range(0, len(body) - size, 1 + size):
            servo_id = body[start]
            data = body[start + 1 : start + 1 + size]
            for servo in self.servos.values():
                if servo_id in (servo.servo_id, servo.secondary_id):
                    self._write(servo, address, data)

    def _write(self, servo: EmulatedServo, address: int, data: bytes) -> int:
        for servo_id, name in self.faults.lost_writes:
            lost_address = REGISTERS[name].address
            is_covered = address <= lost_address < address + len(data)
            if servo_id == servo.servo_id and is_covered:
                return Error.NONE
        is_leader = servo.secondary_id == NO_SECONDARY_ID
        if address == REGISTERS["goal_position"].address and is_leader:
            self._on_goal(servo, int.from_bytes(data[:4], "little", signed=True))
        return servo.write(address, data)
