"""Whether a Universal Robots controller answers, asked by plain sockets.

The client library must not be the first to ask: while it connects it holds the interpreter lock,
and where no measurement comes it would do so for ever.
"""

import socket
import struct
import time

DASHBOARD = 29999
SCRIPT = 30003  # to which programs are uploaded
RTDE = 30004
PATIENCE = 2.0  # s, for a port to answer
HEADER = struct.Struct(">HB")  # of RTDE's packets: their size in bytes, and their type
REQUESTS = [  # in RTDE: version 2, to be sent the time once a second, and to begin
    (b"V", struct.pack(">H", 2)),
    (b"O", struct.pack(">d", 1.0) + b"timestamp"),
    (b"S", b""),
]
DATA = ord("U")  # type of a packet with measurements


def check_ports(address: str) -> None:
    """Ask each port whether a controller answers there, and the last one for a measurement.

    Raises:
        OSError: none does; the message says what to look at.
    """
    for port in (DASHBOARD, SCRIPT, RTDE):
        try:
            with socket.create_connection((address, port), PATIENCE) as connection:
                if port == DASHBOARD:
                    deadline = time.monotonic() + PATIENCE
                    _receive(connection, 1, deadline)  # of its greeting
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
    """Exactly ``size`` bytes; OSError where they have not come by ``deadline`` s."""
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
