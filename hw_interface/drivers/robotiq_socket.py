"""The socket of Robotiq's URCap, on a controller of Universal Robots: variables of a gripper.

Lines of text are answered on port 63352: ``GET NAME`` by ``NAME 123``, and ``SET NAME 123 ...`` by
``ack``, which has no end of line. Sources: GitHub's cambel/robotiq, robotiq_urscript_set.ur, and
sequenceplanner/robotiq_2f; PyPI's pyRobotiqUR.
"""

import re
import socket
import time

PORT = 63352
HIGHEST = 255  # of every variable
CONNECT_PATIENCE = 2.0  # s
ANSWER_PATIENCE = 0.5  # s; ours
LONGEST_ANSWER = 64  # bytes; ours


class RobotiqSocket:
    """Reads and writes the variables of the gripper; every call waits for the answer."""

    def __init__(self, address: str, port: int = PORT) -> None:
        """Connect; nothing is sent.

        Raises:
            OSError: nothing listens there.
        """
        try:
            self._socket = socket.create_connection((address, port), CONNECT_PATIENCE)
        except OSError as error:
            problem = f"no Robotiq gripper answers at {address}, port {port}: {error}"
            remedy = "install the Robotiq URCap, and let it find the gripper at the pendant"
            raise OSError(f"{problem}; {remedy}") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection; the gripper goes on with what it was told."""
        self._socket.close()

    def get(self, name: str) -> int:
        """The value of a variable, 0 to 255.

        Raises:
            OSError: there is no answer, or another one.
        """
        answer = self._ask(f"GET {name}", rf"{name} (-?\d+)")
        value = int(answer[1])
        if not 0 <= value <= HIGHEST:
            raise OSError(f"it reports {name} {value}, which is not in 0 to {HIGHEST}")
        return value

    def set(self, **values: int) -> None:
        """Set variables, all by one line.

        Raises:
            OSError: it is not acknowledged.
        """
        pairs = [f"{name} {value}" for name, value in values.items()]
        self._ask(f"SET {' '.join(pairs)}", "ack")

    def _ask(self, request: str, expected: str) -> re.Match[str]:
        """The answer to a request.

        Args:
            request: one line, without its end.
            expected: the pattern of its answer.

        Raises:
            OSError: the answer does not come in time, is another one, or the connection is closed.
        """
        deadline = time.monotonic() + ANSWER_PATIENCE
        self._socket.settimeout(ANSWER_PATIENCE)
        self._socket.sendall(f"{request}\n".encode("ascii"))

        data = b""
        while len(data) < LONGEST_ANSWER and time.monotonic() < deadline:
            data += self._receive(deadline)
            text = data.decode("ascii", errors="replace").strip()
            answer = re.fullmatch(expected, text)
            if answer is not None:
                return answer
        if not data:
            raise TimeoutError(f"it does not answer {request!r} within {ANSWER_PATIENCE} s")
        raise OSError(f"it answers {data!r} to {request!r}")

    def _receive(self, deadline: float) -> bytes:
        """What arrives next; nothing if nothing does before ``deadline`` s, monotonic.

        Raises:
            OSError: the connection is closed.
        """
        remaining = deadline - time.monotonic()
        self._socket.settimeout(max(remaining, 1e-3))
        try:
            data = self._socket.recv(LONGEST_ANSWER)
        except TimeoutError:
            return b""
        if not data:
            raise ConnectionError("its connection was closed")
        return data
