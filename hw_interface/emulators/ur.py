"""An emulated Universal Robots controller on an address of this machine, with a simulated arm.

It serves what the client library ``ur_rtde`` needs: the dashboard, the ports for program upload,
and RTDE at 500 Hz or as fast as this machine can; for an arm with a gripper also the port of
Robotiq's URCap. The port numbers are the makers' and cannot be changed in the client, so several
emulators need different addresses of the loopback network.
"""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hw_interface.emulators import Physics
from hw_interface.emulators.robotiq import ACKNOWLEDGED
from hw_interface.emulators.rtde import InputOwners, RtdeSession, Value
from hw_interface.emulators.ur_controller import UrController
from hw_interface.emulators.ur_dashboard import GREETING, VERSION, answer
from robots.arm import ArmSpec
from robots.errors import BadArgumentError

CYCLE = 0.002  # s, of the controllers of the e-series
LATEST = 0.01  # s that a cycle may be late and is still caught up
DASHBOARD = 29999
SCRIPT_PORTS = (30001, 30002, 30003)
RTDE = 30004
URCAP = 63352
READ_SIZE = 65_536  # bytes
END_OF_SCRIPT = "\nend"


@dataclass(frozen=True)
class UrEmulatorOptions:
    """The address that is served."""

    port: str = "127.0.0.1"  # an address of this machine


@dataclass
class Faults:
    """Faults of the link, which a test may change while it runs."""

    mute: bool = False  # no measurement is sent
    frozen: bool = False  # the same measurement is sent repeatedly
    deaf: bool = False  # no incoming data is read
    lag: int = 0  # cycles by which measurements to a client that sends commands are delayed
    gripper_answer: bytes | None = None  # what the URCap answers to everything; b"" is nothing
    gripper_delay: float = 0.0  # s by which the URCap's answers come later


@dataclass
class _Client:
    """One open connection."""

    socket: socket.socket
    port: int
    session: RtdeSession
    text: str = ""  # received part of an incomplete line or script


class UrEmulator:
    """An Emulator: one controller and its ports."""

    Options = UrEmulatorOptions
    holds_weight = True  # its controller compensates gravity: the joints do not sag

    def __init__(
        self,
        arm: ArmSpec,
        physics: Physics,
        options: UrEmulatorOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the ports.

        Args:
            arm: the arm, of six joints.
            physics: its joints.
            options: where it is served.
            clock: returns monotonic time, s.

        Raises:
            BadArgumentError: the arm is none of this maker's.
            OSError: a port of this address is in use.
        """
        if not arm.name.startswith("ur"):
            raise BadArgumentError(f"{arm.name} has no controller of Universal Robots; ur5e has")
        self.port = (options or UrEmulatorOptions()).port
        self.controller = UrController(arm, physics)
        self.faults = Faults()
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._clients: list[_Client] = []
        self._owners = InputOwners()
        # oldest first; clients that send commands get the first, the others the last
        self._measurements: deque[dict[str, Value]] = deque([self.controller.variables()])
        # answers of the gripper, and when they are due, s, monotonic
        self._late: deque[tuple[float, _Client, bytes]] = deque()
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._listeners: list[socket.socket] = []
        ports = (DASHBOARD, *SCRIPT_PORTS, RTDE)
        for number in ports if arm.gripper is None else (*ports, URCAP):
            self._listen(number)

    def _listen(self, number: int) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listeners.append(listener)
        try:
            listener.bind((self.port, number))
            listener.listen()
        except OSError as error:
            self._close_all()
            raise OSError(f"cannot serve on {self.port}, port {number}: {error}") from error
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)

    @property
    def goals(self) -> int:
        """How many position targets have arrived, counted for each joint."""
        gripper = self.controller.gripper
        return self.controller.goals + (0 if gripper is None else gripper.goals)

    @property
    def outside(self) -> int:
        """How many of these were outside the arm's limits."""
        gripper = self.controller.gripper
        return self.controller.outside + (0 if gripper is None else gripper.outside)

    def serve(self) -> None:
        """Run the controller until closed; cycles later than ``LATEST`` are not caught up."""
        self._idle.clear()
        try:
            due = time.monotonic()
            before = self._clock()
            while not self._closed.is_set():
                due = max(due + CYCLE, time.monotonic() - LATEST)
                self._answer_until(due)
                now = self._clock()
                self.controller.advance(now - before)
                before = now
                self._send_measurements()
                self._send_late()
        finally:
            self._close_all()
            self._idle.set()

    def close(self) -> None:
        """Stop answering and close the ports; may be called twice."""
        self._closed.set()
        self._idle.wait()
        self._close_all()

    def cut(self, port: int = RTDE) -> None:
        """Close the connections of a port, as if the link broke."""
        for client in list(self._clients):
            if client.port == port:
                with contextlib.suppress(OSError):
                    client.socket.shutdown(socket.SHUT_RDWR)

    def _answer_until(self, due: float) -> None:
        """Accept and answer clients until ``due`` s, monotonic, and at least once."""
        remaining = due - time.monotonic()
        while True:
            for key, _ in self._selector.select(max(0.0, remaining)):
                if key.data is None:
                    self._accept(key.fileobj)
                elif not self.faults.deaf:
                    self._receive(key.data)
            remaining = due - time.monotonic()
            if remaining <= 0:
                return

    def _accept(self, listener: object) -> None:
        assert isinstance(listener, socket.socket)
        connection, _ = listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _, number = connection.getsockname()
        client = _Client(connection, number, RtdeSession(VERSION, self._owners))
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)
        if number == DASHBOARD:
            self._send(client, f"{GREETING}\n".encode())

    def _receive(self, client: _Client) -> None:
        try:
            data = client.socket.recv(READ_SIZE)
            if not data:
                raise ConnectionError("the client has disconnected")
            self._handle(client, data)
        except (OSError, ValueError):  # it has disconnected, or does not speak the protocol
            self._drop(client)

    def _handle(self, client: _Client, data: bytes) -> None:
        if client.port == RTDE:
            for reply, inputs in client.session.feed(data):
                self._send(client, reply)
                self.controller.take_inputs(inputs)
            return
        client.text += data.decode("utf-8", errors="replace")
        if client.port in SCRIPT_PORTS:
            if client.text.rstrip().endswith(END_OF_SCRIPT):
                self.controller.upload(client.text)
                client.text = ""
            return
        *lines, client.text = client.text.split("\n")
        for line in lines:
            if client.port == URCAP:
                self._answer_gripper(client, line)
            else:
                self._send(client, f"{answer(line, self.controller)}\n".encode())

    def _answer_gripper(self, client: _Client, line: str) -> None:
        gripper = self.controller.gripper
        assert gripper is not None, "the port is open only with a gripper"
        text = gripper.answer(line)
        end = "" if text == ACKNOWLEDGED else "\n"
        reply = f"{text}{end}".encode()
        if self.faults.gripper_answer is not None:
            reply = self.faults.gripper_answer
        due = time.monotonic() + self.faults.gripper_delay
        self._late.append((due, client, reply))

    def _send_late(self) -> None:
        """Send the gripper's answers that are due."""
        while self._late and self._late[0][0] <= time.monotonic():
            _, client, reply = self._late.popleft()
            self._send(client, reply)

    def _send_measurements(self) -> None:
        if self.faults.mute:
            return
        measurements = self._measurements
        if not self.faults.frozen:
            measurements.append(self.controller.variables())
        while len(measurements) > 1 + self.faults.lag:
            measurements.popleft()
        for client in list(self._clients):
            if client.port == RTDE:
                variables = measurements[0] if client.session.inputs else measurements[-1]
                self._send(client, client.session.make_data(variables))

    def _send(self, client: _Client, data: bytes) -> None:
        """Send without blocking; drop a client whose buffer is full because it does not read."""
        if not data:
            return
        try:
            sent = client.socket.send(data)
            if sent < len(data):
                raise BlockingIOError("the client does not read")
        except OSError:
            self._drop(client)

    def _drop(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._owners.release(client.session)
            self._selector.unregister(client.socket)
            client.socket.close()

    def _close_all(self) -> None:
        for client in list(self._clients):
            self._drop(client)
        for listener in self._listeners:
            listener.close()
        self._listeners = []
        self._selector.close()
