"""Checks by plain sockets that a Universal Robots controller answers, before the client connects.

While the client library connects it holds the interpreter lock, and if no measurement arrives it
holds it forever.
"""

import socket
import struct
import time

DASHBOARD = 29999
SCRIPT = 30003  # programs are uploaded here
RTDE = 30004
PATIENCE = 2.0  # s, for a port to answer
HEADER = struct.Struct(">HB")  # of an RTDE packet: size in bytes, type
# RTDE requests: protocol version 2; the output ``timestamp`` at 1 Hz; start
REQUESTS = [
    (b"V", struct.pack(">H", 2)),
    (b"O", struct.pack(">d", 1.0) + b"timestamp"),
    (b"S", b""),
]
DATA = ord("U")  # type of a packet of measurements


def check_ports(address: str) -> None:
    """Check that a controller answers on each port, and that RTDE sends a measurement.

    Args:
        address: of the controller.

    Raises:
        OSError: a port does not answer in time; the message names it and what to check.
    """
    for port in (DASHBOARD, SCRIPT, RTDE):
        try:
            with socket.create_connection((address, port), PATIENCE) as connection:
                if port == DASHBOARD:
                    deadline = time.monotonic() + PATIENCE
                    _receive(connection, 1, deadline)  # the first byte of its greeting
                elif port == RTDE:
                    _await_data(connection)
        except OSError as error:
            problem = f"no Universal Robots controller answers at {address}, port {port}: {error}"
            remedy = "look at its power, the cable, its address and its services (RTDE, Dashboard)"
            raise OSError(f"{problem}; {remedy}") from error


def _await_data(connection: socket.socket) -> None:
    """Wait for one packet of measurements."""
    for kind, payload in REQUESTS:
        size = HEADER.size + len(payload)
        connection.sendall(HEADER.pack(size, ord(kind)) + payload)
    deadline = time.monotonic() + PATIENCE
    found = 0
    while found != DATA:
        size, found = HEADER.unpack(_receive(connection, HEADER.size, deadline))
        _receive(connection, size - HEADER.size, deadline)


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    """Exactly ``size`` bytes; OSError if they have not arrived by ``deadline`` s, monotonic."""
    data = b""
    while len(data) < size:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("its answer does not come in time")
        connection.settimeout(remaining)
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionError("it closed the connection")
        data += more
    return data
