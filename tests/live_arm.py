"""An arm that is only published, for the live page; and a browser in a few lines."""

import struct
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import viser
import zstandard
from push import Push
from websockets.sync.client import ClientConnection, connect

from hw_interface.control.events import Event, Mode
from hw_interface.control.layout import Sizes
from hw_interface.control.shared_state import SharedState
from robots.world import Family

FAMILY = Push()
PATIENCE = 120.0  # s, of a machine that does much else
PROTOCOL = f"viser-v{viser.__version__}"
CAMERA = {
    "type": "ViewerCameraMessage",
    "wxyz": [1.0, 0.0, 0.0, 0.0],
    "position": [1.0, 1.0, 1.0],
    "fov": 1.0,
    "near": 0.01,
    "far": 100.0,
    "image_height": 100,
    "image_width": 100,
    "look_at": [0.0, 0.0, 0.0],
    "up_direction": [0.0, 0.0, 1.0],
}


class PublishedArm:
    """The shared memory of an arm, written by the test in place of a control process."""

    clock = "realtime"

    def __init__(self, family: Family = FAMILY) -> None:
        self.shared = SharedState(Sizes.of(family))
        self.control = SimpleNamespace(shared=self.shared)
        self.events = 0
        self.publish(Mode.RUNNING)

    def publish(self, mode: Mode, event: Event | None = None, **values: Any) -> None:
        """Publish a state with the arm at home, and an event."""
        now = time.monotonic()
        if event is not None:
            self.shared.events[self.events] = (int(event), now, 0.0)
            self.events += 1
        home = FAMILY.body.home
        above = np.array([0.5, 0.1, 0.02, 1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        fields = {"q": home, "q_set": home + 0.15, "object": above, "tick": 1000, "missed_ticks": 7}
        self.shared.state.write(mode=int(mode), stamp=now, events=self.events, **(fields | values))
        self.shared.action.write(stamp=now - 0.02)
        self.shared.promise(1e6)  # s: longer than any test


class Browser:
    """One connection to the page, as viser's own script opens it."""

    def __init__(self, address: str, **options: Any) -> None:
        url = address.replace("http", "ws")
        self.socket: ClientConnection = connect(
            url,
            subprotocols=[PROTOCOL],
            max_size=None,
            open_timeout=PATIENCE,
            ping_interval=None,
            **options,
        )
        self._send(CAMERA)  # before that viser does not listen to it
        self.buttons: dict[str, str] = {}  # id by label
        self.texts: dict[str, str] = {}  # HTML by id

    def messages(self) -> Iterator[dict[str, Any]]:
        """Messages as they arrive, without what they say of shapes."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            data = self.socket.recv(timeout=PATIENCE)
            assert isinstance(data, bytes)
            _, size = struct.unpack("<QQ", data[:16])
            inner = zstandard.ZstdDecompressor().decompress(data[16 : 16 + size])
            yield from msgspec.msgpack.decode(inner)["messages"]

    def read_until(self, *words: str) -> str:
        """The whole panel, as soon as it holds all of these words."""
        for message in self.messages():
            self._take(message)
            shown = "\n".join(self.texts.values())
            if all(word in shown for word in words):
                return shown
        raise AssertionError(f"{words} did not come: {self.texts.values()}")

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "GuiButtonMessage":
            self.buttons[message["props"]["label"]] = message["uuid"]
        elif message["type"] == "GuiHtmlMessage":
            self.texts[message["uuid"]] = message["props"]["content"]
        elif message["type"] == "GuiUpdateMessage" and "content" in message["updates"]:
            self.texts[message["uuid"]] = message["updates"]["content"]

    def press(self, label: str) -> None:
        """Press the button whose label begins so."""
        (uuid,) = (uuid for text, uuid in self.buttons.items() if text.startswith(label))
        pressed = {"type": "GuiUpdateMessage", "uuid": uuid, "updates": {"value": True}}
        self._send(pressed)

    def _send(self, message: dict[str, Any]) -> None:
        self.socket.send(msgspec.msgpack.encode(message))

    def close(self) -> None:
        self.socket.close()
