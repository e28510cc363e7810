"""Dynamixel X servos on one serial bus, by the vendor's client, Protocol 2.0.

Addresses and units: ROBOTIS e-manual, XM540-W270 and XM430-W350. A tick costs one fast sync read and one sync write.
The vendor's group readers drop every servo's own error and check only the last of their checksums, so that the packet
is taken apart here. A reading that was lost is answered with the one before: its stamp does not move, and the
watchdog decides. Goals stay within one turn of the servo, where no packet needs byte stuffing, which the vendor's
client does not send.
"""

import contextlib
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import dynamixel_sdk as sdk
import numpy as np

from hw_interface.drivers.dynamixel_calibration import TURN, Calibration, read_calibration
from robots.arm import ArmSpec
from robots.signals import Array, Command, Condition, JointState

# of the control table: address, bytes
MODEL, DRIVE_MODE, OPERATING_MODE, HOMING_OFFSET = (0, 2), (10, 1), (11, 1), (20, 4)
TORQUE, BUS_WATCHDOG = (64, 1), (98, 1)
GOAL_CURRENT, PROFILE, GOAL_POSITION = (102, 2), (108, 8), (116, 4)
# Two things are read of all servos. They differ in length, so that a late answer to one is none to the other.
PRESENT = (126, 10)
PRESENT_FIELDS = np.dtype([("current", "<i2"), ("velocity", "<i4"), ("position", "<i4")])
HEALTH = (64, 35)
TORQUE_ON, HARDWARE_ERROR, WATCHING = 0, 6, 34  # bytes of it

MODES = {"position": 3, "current": 5}
ERRORS = {
    0: "input voltage",
    2: "overheating",
    3: "encoder",
    4: "electrical shock",
    5: "overload",
}  # bits
ALERT = 0x80  # of a status: the servo is in hardware error
TICK = 2 * np.pi / TURN  # rad
SPEED = 0.229 * 2 * np.pi / 60  # rad/s
AMPERE = 2.69e-3  # A
WATCH = 0.02  # s
KINDS = {  # model: its number, N·m/A (stall torque over stall current at 12 V)
    "xm430-w350": (1020, 4.1 / 2.3),
    "xm540-w270": (1120, 10.6 / 4.4),
}
PATIENCE = (
    8.0  # ms an answer may take besides its time on the wire; the vendor's client waits for 34 ms
)
TRIES = 3

T = TypeVar("T")


@dataclass(frozen=True)
class DynamixelOptions:
    """How the arm is reached."""

    port: str = ""  # the serial port
    calibration: str = ""  # a file; without one, the wiring that the arm comes with


class _Port(sdk.PortHandler):
    """The vendor's port, which sleeps until bytes come instead of turning round, and gives up in time."""

    def setPacketTimeout(self, packet_length: int) -> None:  # noqa: N802
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + PATIENCE)

    def getCurrentTime(self) -> float:  # noqa: N802
        return 1e3 * time.monotonic()

    def readPort(self, length: int) -> Any:  # noqa: N802
        left = self.packet_timeout - self.getTimeSinceStart()
        if length and left > 0:
            select.select([self.ser], [], [], left / 1e3)
        return super().readPort(length)


class Dynamixel:
    """A Driver. Torque stays on when it is told to stop or to disconnect: the arm would fall."""

    Options = DynamixelOptions
    dt = 1 / 320  # s

    def __init__(
        self, arm: ArmSpec, scene: Any = None, options: DynamixelOptions | None = None
    ) -> None:
        """ValueError where the options name no port, or no calibration that fits the arm."""
        self.arm, self.options = arm, options or DynamixelOptions()
        if not self.options.port:
            raise ValueError(
                "Dynamixel servos are reached by a serial port: give --port, such as /dev/ttyUSB0"
            )
        self.wiring: Calibration = read_calibration(self.options.calibration, arm)
        if unknown := {servo.model for servo in self.wiring.servos} - set(KINDS):
            raise ValueError(
                f"no servo model {min(unknown)!r} is known; there are: {', '.join(KINDS)}"
            )
        servos = self.wiring.servos
        self._sign, self._zero = (
            np.array([getattr(s, name) for s in servos]) for name in ("sign", "zero")
        )
        self._strength = np.array(
            [KINDS[s.model][1] * AMPERE for s in servos]
        )  # N·m of one unit of current
        ends = self._zero + self._sign * np.stack([arm.limits.q_low, arm.limits.q_high]) / TICK
        self._first, self._last = (
            np.ceil(ends.min(0)),
            np.floor(ends.max(0)),
        )  # ticks, never rounded past a limit
        self._ids = self.wiring.ids
        self._all = (*self._ids, *self.wiring.shadows)
        self._watch = int(
            arm.limits.deadline / WATCH
        )  # the bus may be silent for as long as a command may be old
        self._packet = sdk.PacketHandler(2.0)
        self._port: Any = None
        self._enabled, self._tripped = False, False
        self._spoke = -np.inf  # s, when the servos were last heard
        self._state: JointState | None = None

    def connect(self) -> None:
        """Open the port and find every servo there, set as it was when it was calibrated.

        Raises:
            OSError: there is no such port, or a servo does not answer.
            RuntimeError: a servo is another one, or set otherwise.
        """
        self._port = _Port(self.options.port)
        if not self._port.setBaudRate(self.wiring.baud):
            raise OSError(f"{self.wiring.baud} baud cannot be had on {self.options.port}")
        with contextlib.suppress(Exception):  # what is no USB adapter has no such mode
            self._port.ser.set_low_latency_mode(True)
        for servo in self.wiring.servos:
            for number in (servo.id, servo.shadow):
                if number is not None:
                    self._expect(number, servo.joint, "model", MODEL, KINDS[servo.model][0])
            self._expect(servo.id, servo.joint, "drive mode", DRIVE_MODE, servo.drive_mode)
            self._expect(servo.id, servo.joint, "homing offset", HOMING_OFFSET, servo.homing_offset)
            self._expect(
                servo.id, servo.joint, "operating mode", OPERATING_MODE, MODES[self.wiring.mode]
            )
        try:
            self._health()
        except OSError as silent:
            needs = (
                "the servos answer, but not to a fast sync read: their firmware must be 45 or newer"
            )
            raise OSError(needs) from silent

    def enable(self) -> None:
        """Torque on where the arm is, each servo's speed bounded, and the bus watchdog armed.

        Raises:
            RuntimeError: a servo is in hardware error, or would not be enabled or watch the bus.
            OSError: the servos do not answer.
        """
        self._enabled = False
        for number, data in zip(self._all, self._health(), strict=True):
            if error := data[HARDWARE_ERROR]:
                what = (
                    ", ".join(name for bit, name in ERRORS.items() if error >> bit & 1)
                    or f"code {error}"
                )
                raise RuntimeError(
                    f"servo {number} reports {what}: support the arm, mend the cause, reboot the servo"
                )
        self._write_all(BUS_WATCHDOG, [0] * len(self._ids))
        speed = np.ceil(self.arm.limits.dq / SPEED).astype(int)
        self._write_all(
            PROFILE, [int(v) << 32 for v in speed]
        )  # acceleration 0, that is unbounded, then velocity
        if self.wiring.mode == "current":
            most = np.minimum(self.arm.limits.tau / self._strength, 2047).astype(int)
            self._write_all(GOAL_CURRENT, most.tolist())
        state = self._tried(self._present)
        self._write_all(GOAL_POSITION, self._ticks(state.q))
        self._write_all(TORQUE, [1] * len(self._ids))
        self._write_all(BUS_WATCHDOG, [self._watch] * len(self._ids))
        for number, data in zip(self._all, self._health(), strict=True):
            if (data[TORQUE_ON], data[WATCHING]) != (1, self._watch):
                shown = f"torque {data[TORQUE_ON]}, bus watchdog {data[WATCHING]}"
                raise RuntimeError(
                    f"servo {number} is not enabled: it shows {shown}, not 1 and {self._watch}"
                )
        self._enabled, self._tripped = True, False

    def read(self) -> JointState:
        """What the servos say; of a reading that was lost, the one before."""
        if time.monotonic() - self._spoke > self._watch * WATCH / 2:
            with contextlib.suppress(OSError):
                self._tripped |= self._enabled and any(
                    data[WATCHING] != self._watch for data in self._health()
                )
        self._state = (
            self._tried(self._present) if self._state is None else self._present() or self._state
        )
        return self._state

    def write(self, command: Command) -> None:
        """Send a command; one that is not enabled takes none."""
        if not np.isfinite(command.q).all():
            raise ValueError(f"a command must be finite, got {command.q}")
        if self._enabled:
            self._write_all(GOAL_POSITION, self._ticks(command.q))

    def stop(self) -> None:
        """Take no more commands; the servos hold."""
        self._enabled = False

    def disconnect(self) -> None:
        """Let the servos hold without us, and close the port."""
        self._enabled = False
        if self._port is not None and self._port.is_open:
            with contextlib.suppress(Exception):
                self._write_all(BUS_WATCHDOG, [0] * len(self._ids))
            self._port.closePort()

    def _ticks(self, q: Array) -> list[int]:
        ticks = np.clip(np.rint(self._zero + self._sign * q / TICK), self._first, self._last)
        return [int(tick) for tick in ticks]

    def _present(self) -> JointState | None:
        """One fresh reading, None where any of it was lost."""
        answers = self._sync_read(PRESENT)
        if answers is None:
            return None
        seen = np.frombuffer(b"".join(data for _, data in answers), PRESENT_FIELDS)
        alert = any(error & ALERT for error, _ in answers)
        j = len(self._ids)
        current = seen["current"].astype(float)
        for k, joint in enumerate(self.wiring.shadows.values()):
            current[joint] += current[j + k]
        condition = Condition.READY if self._enabled else Condition.DISABLED
        return JointState(
            q=self._sign * (seen["position"][:j] - self._zero) * TICK,
            dq=self._sign * seen["velocity"][:j] * SPEED,
            tau=self._sign * current[:j] * self._strength,
            stamp=self._spoke,
            condition=Condition.ERROR if alert or self._tripped else condition,
        )

    def _sync_read(self, register: tuple[int, int]) -> list[tuple[int, bytes]] | None:
        """Error and data of every servo, by one packet; None where any of it was lost."""
        address, length = register
        port, packet, n = self._port, self._packet, len(self._all)
        if packet.syncReadTx(port, address, length, list(self._all), n, True) != sdk.COMM_SUCCESS:
            raise OSError(f"cannot send on {self.options.port}")
        raw, result = packet.rxPacket(port, True)
        size = 4 + length  # of what each servo adds: error, id, data, checksum of all so far
        if result != sdk.COMM_SUCCESS or len(raw) != 8 + n * size:
            return None
        answers, checksum, start = [], packet.updateCRC(0, raw, 8), 8
        for number in self._all:
            block = raw[start : start + size]
            checksum = packet.updateCRC(checksum, block, size - 2)
            if block[1] != number or block[0] & ~ALERT or checksum != block[-2] | block[-1] << 8:
                return None
            answers.append((block[0], bytes(block[2:-2])))
            checksum, start = packet.updateCRC(checksum, block[-2:], 2), start + size
        self._spoke = time.monotonic()
        return answers

    def _health(self) -> list[bytes]:
        """Torque, errors and watchdog of every servo; OSError where they do not answer."""
        return [data for _, data in self._tried(lambda: self._sync_read(HEALTH))]

    def _tried(self, read: Callable[[], T | None]) -> T:
        """What is not lost every time."""
        for _ in range(TRIES):
            if (answer := read()) is not None:
                return answer
        raise OSError("the servos do not answer")

    def _write_all(self, register: tuple[int, int], values: Sequence[int]) -> None:
        """A register of every joint's servo, which its shadow obeys too; no servo confirms."""
        address, length = register
        body: list[int] = []
        for number, value in zip(self._ids, values, strict=True):
            body += [number, *value.to_bytes(length, "little")]
        if (
            self._packet.syncWriteTxOnly(self._port, address, length, body, len(body))
            != sdk.COMM_SUCCESS
        ):
            raise OSError(f"cannot send on {self.options.port}")

    def _expect(
        self, number: int, joint: str, name: str, register: tuple[int, int], wanted: int
    ) -> None:
        for _ in range(TRIES):
            data, result, _ = self._packet.readTxRx(self._port, number, *register)
            if result == sdk.COMM_SUCCESS:
                break
        else:
            raise OSError(
                f"servo {number} ({joint}) does not answer on {self.options.port} at {self.wiring.baud} baud"
            )
        found = int.from_bytes(bytes(data), "little", signed=register is HOMING_OFFSET)
        if found != wanted:
            raise RuntimeError(
                f"servo {number} ({joint}) has the {name} {found}, its calibration {wanted}"
            )
