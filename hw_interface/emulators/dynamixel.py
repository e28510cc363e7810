"""The servos' side of a Dynamixel bus on a pseudo-terminal, in front of a physics.

The bus takes its time: a byte ten bits, a servo its return delay. Bulk and registered instructions are unknown to it. A
servo without torque is held where it is by its gears. Of a fast sync read that a mute servo was to take part in, all
servos after it stay unheard.
"""

import contextlib
import os
import select
import threading
import time
import tty
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hw_interface.drivers.dynamixel_calibration import ServoWiring, read_calibration
from hw_interface.emulators import Physics
from hw_interface.emulators.protocol2 import (
    BROADCAST,
    Asked,
    Error,
    Instruction,
    Parser,
    crc16,
    fast_status,
    status,
)
from hw_interface.emulators.x_series import (
    CURRENT_UNIT,
    MODELS,
    MODES,
    RAD,
    REGISTERS,
    SPEED_UNIT,
    EmulatedServo,
)
from robots.arm import ArmSpec

IDLE = 0.004  # s, how long at most nothing is looked at


@dataclass(frozen=True)
class BusOptions:
    """How the bus is wired, and whether it takes the time that a wire does."""

    calibration: str = ""  # a file; without one, the wiring that the arm comes with
    wire: bool = True


@dataclass
class Faults:
    """What is wrong with the bus; a test may change it while it runs."""

    mute: set[int] = field(default_factory=set)  # ids that hear, but do not answer
    corrupt: set[int] = field(default_factory=set)  # ids whose data is disturbed on its way
    silent: bool = False  # nothing gets through, either way


class Bus:
    """All servos of one arm."""

    Options = BusOptions

    def __init__(
        self,
        arm: ArmSpec,
        physics: Physics,
        options: BusOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open a pseudo-terminal; ``port`` is its name. ValueError for a calibration that does not fit."""
        self.options = options or BusOptions()
        wiring = read_calibration(self.options.calibration, arm)
        mode = MODES[wiring.mode]
        self.arm, self.physics, self.faults, self._clock = arm, physics, Faults(), clock
        self.baud = wiring.baud
        self.servos = {w.id: EmulatedServo(w, w.id, mode) for w in wiring.servos}
        shadows = [
            EmulatedServo(w, w.shadow, mode, secondary=w.id)
            for w in wiring.servos
            if w.shadow is not None
        ]
        self.servos |= {servo.number: servo for servo in shadows}
        self._joints = [self.servos[w.id] for w in wiring.servos]
        self._leaders = {
            **{w.id: w.id for w in wiring.servos},
            **{s.number: s.secondary for s in shadows},
        }
        self.goals, self.outside = (
            0,
            0,
        )  # goal positions that arrived, and those of them beyond the arm's limits
        self.carried = 0  # bytes, both ways
        self.recent: deque[tuple[float, int, int]] = deque(maxlen=100_000)  # s, id, ticks
        self._parser, self._now, self._free = Parser(), clock(), 0.0
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)  # nobody may be listening any more
        self.port = os.ttyname(self._slave)
        self._closed, self._idle = threading.Event(), threading.Event()
        self._idle.set()
        self._measure()
        for servo in self.servos.values():
            servo.heard = self._now
            servo.halt()

    def serve(self) -> None:
        """Answer, until closed."""
        self._idle.clear()
        try:
            while not self._closed.is_set():
                ready, _, _ = select.select([self._master], [], [], IDLE)
                asked = list(self._parser.feed(os.read(self._master, 4096))) if ready else []
                self.pass_time()
                for each in asked:
                    self._wire(each.size)
                    if not self.faults.silent:
                        self._send(self.answer(each))
        finally:
            self._idle.set()

    def close(self) -> None:
        """Hang up: whoever has the port open finds that it is gone."""
        if not self._closed.is_set():
            self._closed.set()
            self._idle.wait()
            os.close(self._master)
            os.close(self._slave)

    def pass_time(self) -> None:
        """Let the servos and the joints go on until now."""
        now = self._clock()
        dt, self._now = now - self._now, now
        for servo in self.servos.values():
            servo.pass_time(now, dt)
        self.physics.write(
            np.array([_angle(servo.wiring, servo.reference) for servo in self._joints])
        )
        self.physics.advance(dt)
        self._measure()

    def answer(self, asked: Asked) -> bytes:
        """What the servos do and say; ``Instruction`` names what they understand."""
        for servo in self.servos.values():
            servo.heard = self._now
        number, parameters = asked.number, asked.parameters
        if asked.instruction in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
            return self._sync_read(parameters, asked.instruction == Instruction.FAST_SYNC_READ)
        if asked.instruction == Instruction.SYNC_WRITE:
            self._sync_write(parameters)
            return b""
        answers = [
            self._one(servo, asked.instruction, parameters)
            for servo in self.servos.values()
            if number in (servo.number, BROADCAST)
        ]
        if asked.instruction in (Instruction.WRITE, Instruction.REBOOT):
            for shadow in self.servos.values():
                if shadow.secondary == number:
                    self._one(shadow, asked.instruction, parameters)
            answers = [] if number == BROADCAST else answers
        return b"".join(answers)

    def _one(self, servo: EmulatedServo, instruction: int, parameters: bytes) -> bytes:
        error, data = Error.INSTRUCTION | servo.alert, b""
        if instruction == Instruction.PING:
            error, data = servo.alert, bytes(servo.table[0:2]) + bytes(servo.table[6:7])
        elif instruction == Instruction.READ:
            error, data = servo.read(_word(parameters), _word(parameters[2:]))
        elif instruction == Instruction.WRITE:
            error = self._write(servo, _word(parameters), parameters[2:])
        elif instruction == Instruction.REBOOT:
            servo.reboot()
            error = servo.alert
        if servo.number in self.faults.mute:
            return b""
        told = status(servo.number, error, data)
        return _disturbed(told, len(told) - 3) if servo.number in self.faults.corrupt else told

    def _sync_read(self, parameters: bytes, fast: bool) -> bytes:
        address, length, asked = _word(parameters), _word(parameters[2:]), parameters[4:]
        answers = []
        for number in asked:
            if number not in self.servos or number in self.faults.mute:
                if fast:
                    break
                continue
            answers.append((number, *self.servos[number].read(address, length)))
        if not fast:
            told = {number: status(number, error, data) for number, error, data in answers}
            disturbed = {
                n: _disturbed(told[n], len(told[n]) - 3) for n in self.faults.corrupt if n in told
            }
            return b"".join((told | disturbed).values())
        out = fast_status(answers, len(asked))
        for number in self.faults.corrupt & set(
            asked
        ):  # what comes after it has the right checksum again
            place = 8 + (4 + length) * asked.index(number) + 1 + length
            out = _disturbed(out, place) if place < len(out) else out
            out = _with_last_checksum(out) if asked[-1] != number else out
        return out

    def _sync_write(self, parameters: bytes) -> None:
        address, length, body = _word(parameters), _word(parameters[2:]), parameters[4:]
        for start in range(0, len(body) - length, 1 + length):
            number, data = body[start], body[start + 1 : start + 1 + length]
            for servo in self.servos.values():
                if number in (servo.number, servo.secondary):
                    self._write(servo, address, data)

    def _write(self, servo: EmulatedServo, address: int, data: bytes) -> int:
        if address == REGISTERS["goal_position"][0] and servo.secondary == 255:
            self._record(servo, int.from_bytes(data[:4], "little", signed=True))
        return servo.write(address, data)

    def _record(self, servo: EmulatedServo, goal: int) -> None:
        joint = self._joints.index(servo)
        q, limits = _angle(servo.wiring, goal), self.arm.limits
        self.goals += 1
        self.outside += not limits.q_low[joint] <= q <= limits.q_high[joint]
        self.recent.append((self._now, servo.number, goal))

    def _measure(self) -> None:
        q, dq, tau = self.physics.read()
        for servo in self.servos.values():
            wiring = servo.wiring
            joint = self._joints.index(self.servos[self._leaders[servo.number]])
            share = 0.5 if wiring.shadow is not None else 1.0
            current = wiring.sign * share * tau[joint] / MODELS[wiring.model][1] / CURRENT_UNIT
            servo.set("present_position", round(wiring.zero + wiring.sign * q[joint] / RAD))
            servo.set("present_velocity", round(wiring.sign * dq[joint] / SPEED_UNIT))
            servo.set("present_current", round(current))
            servo.set("realtime_tick", int(1e3 * self._now) % 32_768)

    def _wire(self, size: int) -> None:
        """The bus is taken for as long as so many bytes need."""
        self.carried += size
        self._free = max(self._free, self._now) + 10 * size / self.baud

    def _send(self, told: bytes) -> None:
        if not told:
            return
        delay = 2e-6 * max(servo.get("return_delay") for servo in self.servos.values())
        self._wire(len(told))
        if self.options.wire:
            time.sleep(max(0.0, self._free + delay - self._clock()))
        with contextlib.suppress(OSError):
            os.write(self._master, told)


def _angle(wiring: ServoWiring, ticks: float) -> float:
    return wiring.sign * (ticks - wiring.zero) * RAD


def _word(data: bytes) -> int:
    return int.from_bytes(data[:2], "little")


def _disturbed(told: bytes, place: int) -> bytes:
    """With one bit turned."""
    return told[:place] + bytes([told[place] ^ 0x10]) + told[place + 1 :]


def _with_last_checksum(told: bytes) -> bytes:
    return told[:-2] + crc16(told[:-2]).to_bytes(2, "little")
