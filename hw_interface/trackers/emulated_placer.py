"""Places the object of an emulator, which a person would place before a real arm."""

import socket

import msgspec

from hw_interface.trackers.mocap_message import LONGEST, PlaceRequest
from robots.world import Start, Task

HOST = "127.0.0.1"  # no emulator is on another computer
PATIENCE = 5.0  # s, for an answer, which comes half a second after the object was put there


class EmulatedPlacer:
    """An ObjectPlacer that asks ``pliant emulate --family`` by datagrams."""

    def __init__(self, port: int, patience: float = PATIENCE) -> None:
        """``port`` is the emulator's on this computer; ``patience`` s, for its answer."""
        self._port = port
        self._attempt = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(patience)
        self._socket.connect((HOST, port))

    def place(self, task: Task, start: Start) -> None:
        """Have the object of ``task`` (one row) placed at ``start``; returns when it is there.

        Raises:
            OSError: no emulator answers.
        """
        if start.object_pos is None:
            return
        x, y, _ = start.object_pos[0].tolist()
        upright = (1.0, 0.0, 0.0, 0.0)
        quat = upright if start.object_quat is None else tuple(start.object_quat[0].tolist())
        self._attempt += 1
        message = msgspec.json.encode(
            PlaceRequest(int(task.ids[0]), (x, y), quat, self._attempt),
        )
        try:
            self._socket.send(message)
            while self._socket.recv(LONGEST) != message:
                pass  # a late answer to an earlier request
        except OSError as error:
            where = f"port {self._port} of this computer"
            raise OSError(f"no emulator with an object answers at {where}: {error}") from error
