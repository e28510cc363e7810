"""The tracker of datagrams: what is believed, what is refused, and how old a pose is."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake import FakeTracker, Rig

from hw_interface.control.events import Event, Mode
from hw_interface.trackers import TRACKERS
from hw_interface.trackers.mocap import BUFFER, MOST_READ, Mocap, MocapOptions
from hw_interface.trackers.mocap_message import LONGEST
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.rotations import angle_between, rotation_about

RATE = 100.0  # Hz
UPRIGHT = (1.0, 0.0, 0.0, 0.0)
SENDER_AHEAD = 5000.0  # s, the sender's clock minus ours


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def write_config(folder: Path, text: str = "", frame: str = "") -> Path:
    file = folder / "mocap.toml"
    file.write_text(f'body = "cube"\n{text}\n[frame]\n{frame}\n')
    return file


class Stage:
    """A tracker, the sender of its poses, and the time of both."""

    def __init__(self, folder: Path, text: str = "", frame: str = "") -> None:
        self.now = 100.0
        self.port = free_port()
        file = write_config(folder, f"port = {self.port}\n{text}", frame)
        self.tracker = Mocap(PANDA, MocapOptions(str(file)), lambda: self.now)
        self.sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, message: bytes | dict[str, Any]) -> None:
        data = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.sender.sendto(data, ("127.0.0.1", self.port))

    def pose(self, x: float = 0.5, **fields: Any) -> dict[str, Any]:
        """A datagram that is measured now."""
        message = {
            "name": "cube",
            "time": self.now + SENDER_AHEAD,
            "position": [x, 0.1, 0.2],
            "quaternion": UPRIGHT,
        }
        return {**message, **fields}

    def see(self, count: int = 3, x: float = 0.5, **fields: Any) -> None:
        """Send one pose in every frame, and read it."""
        for _ in range(count):
            self.now += 1 / RATE
            self.send(self.pose(x, **fields))
            self.read()

    def read(self) -> float | None:
        """The object's x, m; None before the first pose."""
        try:
            return float(self.tracker.read().pos[0])
        except OSError:
            return None

    @property
    def age(self) -> float:
        return self.tracker.read().age

    def close(self) -> None:
        self.tracker.close()
        self.sender.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def test_a_pose_is_in_the_base_frame_with_its_velocity(tmp_path: Path) -> None:
    """The base sees the system's x axis along its y axis; the object is above the rigid body."""
    frame = "position = [1.0, 2.0, 3.0]\nquaternion = [0.7071, 0.0, 0.0, 0.7071]"
    frame += "\n[object]\nposition = [0.0, 0.0, -0.05]"
    stage = Stage(tmp_path, frame=frame)
    turn_rate = 2.0  # rad/s about the system's x axis
    for k in range(10):
        stage.now += 1 / RATE
        half = turn_rate * k / RATE / 2
        quat = [np.cos(half), np.sin(half), 0, 0]
        stage.send(stage.pose(0.5 + 0.3 * k / RATE, quaternion=quat))
        if k > 0:
            state = stage.tracker.read()
    turned = rotation_about(np.array([1.0, 0, 0]), 2 * half)
    at = np.array([0.5 + 0.3 * 9 / RATE, 0.1, 0.2]) + turned @ [0, 0, -0.05]
    np.testing.assert_allclose(state.pos, [1 - at[1], 2 + at[0], 3 + at[2]], atol=1e-9)
    np.testing.assert_allclose(state.vel[3:], [0, turn_rate, 0], atol=1e-9)
    np.testing.assert_allclose(state.vel[1], 0.3, atol=1e-9)
    about_z = np.array([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    assert np.isclose(angle_between(state.quat, about_z), 2 * half)
    assert state.stamp == stage.now + SENDER_AHEAD
    stage.close()


def test_a_first_pose_alone_has_no_velocity_and_is_not_published(stage: Stage) -> None:
    stage.see(1)
    assert stage.read() is None
    stage.see(1)
    assert stage.read() == 0.5


GOOD = {"name": "cube", "time": 1.0, "position": [0, 0, 0], "quaternion": UPRIGHT}
WRONG: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"\xff\xfe\x00",
    "no text": b'{"name":"cube\xff"}',
    "a list": b"[" * LONGEST,
    "NaN": json.dumps(GOOD | {"position": [float("nan"), 0, 0]}).encode(),
    "infinite": b'{"name":"cube","time":1e999,"position":[0,0,0],"quaternion":[1,0,0,0]}',
    "missing": b'{"name":"cube","time":1.0,"position":[0,0,0]}',
    "unknown": json.dumps(GOOD | {"pos": 1}).encode(),
    "two numbers": json.dumps(GOOD | {"position": [0, 0]}).encode(),
    "a truth": json.dumps(GOOD | {"time": True}).encode(),
    "negative latency": json.dumps(GOOD | {"latency": -1}).encode(),
    "huge": json.dumps(GOOD).encode() + b" " * 60_000,
    "another body": json.dumps(GOOD | {"name": "wand"}).encode(),
    "half a quaternion": json.dumps(GOOD | {"quaternion": [0.5, 0, 0, 0]}).encode(),
    "no quaternion": json.dumps(GOOD | {"quaternion": [0, 0, 0, 0]}).encode(),
    "a huge quaternion": json.dumps(GOOD | {"quaternion": [1e300] * 4}).encode(),
    "millimeters": json.dumps(GOOD | {"position": [500.0, 0, 20.0]}).encode(),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_datagram_that_is_no_pose_is_left_out_and_the_next_one_counts(
    stage: Stage, kind: str
) -> None:
    stage.see(3)
    before = stage.tracker.refused.total()
    stage.send(WRONG[kind])
    assert stage.read() == 0.5
    assert stage.tracker.refused.total() == before + 1
    stage.see(1, x=0.501)
    assert stage.read() == 0.501


def test_a_length_of_the_quaternion_that_is_rounded_is_allowed(stage: Stage) -> None:
    stage.see(3, quaternion=[0.7071, 0.0, 0.0, -0.7071])
    quat = stage.tracker.read().quat
    assert np.isclose(np.linalg.norm(quat), 1.0, atol=1e-12)


def test_the_message_says_what_came_instead_of_the_object(stage: Stage) -> None:
    with pytest.raises(
        OSError, match=f"no pose of 'cube' has come to 127.0.0.1, port {stage.port}$"
    ):
        stage.tracker.read()
    stage.send(stage.pose(name="wand"))
    stage.send(b"?")
    with pytest.raises(OSError, match="1 of another body, 1 not in the format, the last of 'wand'"):
        stage.tracker.read()


def test_a_jump_is_believed_once_three_poses_agree(stage: Stage) -> None:
    stage.see(3)
    stage.see(1, x=0.9)
    assert stage.read() == 0.5
    stage.see(1)
    stage.see(2, x=0.9)
    assert stage.read() == 0.5
    stage.see(2, x=0.9)
    assert stage.read() == 0.9
    assert stage.tracker.refused["jumps"] == 4
    np.testing.assert_allclose(stage.tracker.read().vel, 0, atol=1e-9)


def test_while_nothing_comes_the_last_pose_grows_old(stage: Stage) -> None:
    stage.see(3)
    stamp = stage.tracker.read().stamp
    assert stage.age == 0.0
    stage.now += 0.4
    assert np.isclose(stage.age, 0.4)
    assert stage.tracker.read().stamp == stamp


def test_a_sender_that_falls_behind_has_old_poses_although_new_ones_come(stage: Stage) -> None:
    """Its stamps go on at the rate of its frames; each one comes later than the last."""
    stage.see(10)
    for k in range(50):
        stage.now += 2 / RATE
        late = k / RATE
        stage.send(stage.pose(time=stage.now + SENDER_AHEAD - late))
        np.testing.assert_allclose(stage.age, late, atol=1e-3)


def test_a_clock_that_drifts_makes_no_pose_old(stage: Stage) -> None:
    """By 100 ppm, of a crystal, for ten minutes: 0.06 s."""
    for _ in range(600):
        stage.now += 1.0
        stage.send(stage.pose(time=SENDER_AHEAD + stage.now * (1 - 1e-4)))
        stage.send(stage.pose(time=SENDER_AHEAD + (stage.now + 1e-3) * (1 - 1e-4)))
        stage.read()
    assert stage.age < 1e-3


def test_what_the_sender_and_the_file_say_about_the_delay_is_added(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "delay = 0.02")
    stage.see(3, latency=0.03)
    assert np.isclose(stage.age, 0.05)
    stage.close()


def test_a_datagram_that_was_overtaken_is_left_out(stage: Stage) -> None:
    stage.see(3)
    stage.send(stage.pose(0.499, time=stage.now + SENDER_AHEAD - 0.5 / RATE))
    stage.send(stage.pose(0.498))  # the same stamp again
    assert stage.read() == 0.5
    assert stage.tracker.refused["late, or of another clock"] == 2


@pytest.mark.parametrize("clock", [0.0, SENDER_AHEAD - 30.0, SENDER_AHEAD + 30.0])
def test_a_sender_whose_clock_is_set_is_heard_after_three_datagrams(
    stage: Stage, clock: float
) -> None:
    stage.see(3)
    for k in range(4):
        stage.now += 1 / RATE
        stage.send(stage.pose(0.6, time=stage.now + clock))
        assert stage.read() == (0.5 if k < 3 else 0.6)
    assert stage.age < 1e-6


@pytest.mark.parametrize("stamp", [-1e300, 0.0, SENDER_AHEAD + 101.0, 1e300])
def test_a_single_stamp_of_another_clock_changes_nothing(stage: Stage, stamp: float) -> None:
    stage.see(3)
    stage.send(stage.pose(0.9, time=stamp))
    assert stage.read() == 0.5
    stage.see(1, x=0.501)
    assert stage.read() == 0.501
    assert stage.age < 1e-6


def test_stamps_of_other_clocks_that_do_not_go_on_confirm_nothing(stage: Stage) -> None:
    stage.see(3)
    for stamp in (3.0, 2.0, 1.0, 5.0, 4.0):
        stage.send(stage.pose(0.9, time=stamp))
    stage.send(stage.pose(0.9, time=900.0))
    assert stage.read() == 0.5
    stage.see(1, x=0.501)
    assert stage.read() == 0.501


def test_a_flood_is_read_in_pieces_and_the_newest_pose_is_found(stage: Stage) -> None:
    """The system keeps some of it only; no call reads more than a part."""
    stage.see(3)
    for _ in range(3000):
        stage.send(stage.pose(name="wand"))
    before = stage.tracker.refused["of another body"]
    reads = 0
    while stage.tracker.refused["of another body"] == before or reads == 0:
        stage.read()
        reads += 1
    came = stage.tracker.refused["of another body"] - before
    assert 0 < came <= MOST_READ
    stage.see(2, x=0.501)
    assert stage.read() == 0.501
    assert stage.age < 1e-6


def test_one_call_reads_no_more_than_its_share(stage: Stage) -> None:
    stage.tracker._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100 * BUFFER)
    for _ in range(MOST_READ + 20):
        stage.send(b"?")
    stage.read()
    assert stage.tracker.refused.total() == MOST_READ
    stage.read()
    assert stage.tracker.refused.total() == MOST_READ + 20


def test_a_sender_at_another_address_than_the_given_one_is_not_heard(tmp_path: Path) -> None:
    stage = Stage(tmp_path, 'sender = "127.0.0.1"')
    stage.see(3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", 0))
        stage.now += 1 / RATE
        message = json.dumps(stage.pose(0.501)).encode()
        other.sendto(message, ("127.0.0.1", stage.port))
    assert stage.read() == 0.5
    assert stage.tracker.refused["from another sender"] == 1
    stage.close()


REFUSED_FILES = {
    'port = 0\nbody = "cube"\n[frame]': "port",
    'body = ""\n[frame]': "body",
    'body = "cube"': "frame",
    'body = "cube"\n[frame]\nquaternion = [1, 1, 0, 0]': "frame: the length of its quaternion",
    'body = "cube"\n[frame]\n[object]\nposition = [nan, 0, 0]': "object: .* must be finite",
    'body = "cube"\nlisten = "0.0.0.0"\n[frame]': "0.0.0.0 needs the address of the sender",
    'body = "cube"\nlisten = "localhost"\n[frame]': "must be IPv4 addresses",
    'body = "cube"\nsender = "camera"\n[frame]': "must be IPv4 addresses",
    'body = "cube"\nspeed = 2.0\n[frame]': "speed",
}


@pytest.mark.parametrize("text", REFUSED_FILES)
def test_a_file_that_makes_no_sense_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mocap.toml"
    file.write_text(text)
    with pytest.raises(BadArgumentError, match=REFUSED_FILES[text]) as refusal:
        Mocap(PANDA, MocapOptions(str(file)))
    assert str(file) in str(refusal.value)


def test_a_port_that_is_in_use_or_an_address_of_another_computer_is_refused(
    stage: Stage, tmp_path: Path
) -> None:
    file = write_config(tmp_path, f"port = {stage.port}")
    with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1, port {stage.port}"):
        Mocap(PANDA, MocapOptions(str(file)))
    file = write_config(tmp_path, 'listen = "192.0.2.1"\nsender = "192.0.2.2"')
    with pytest.raises(OSError, match=r"cannot listen at 192\.0\.2\.1"):
        Mocap(PANDA, MocapOptions(str(file)))


def test_an_arm_holds_while_its_sender_is_behind_and_goes_on_after_it(tmp_path: Path) -> None:
    """The whole way: datagrams, tracker, watchdog."""
    kind = TRACKERS["mocap"]
    assert kind is Mocap
    stage = Stage(tmp_path)
    rig = Rig(FakeTracker())
    rig.move()
    rig.controller.tracker = stage.tracker
    dt = rig.driver.capabilities.dt

    def track(late: float) -> None:
        for _ in range(5):
            rig.act(-0.1, ticks=1)
            stage.now += dt
            stage.send(stage.pose(time=stage.now + SENDER_AHEAD - late))
            rig.controller.track_object(rig.now)

    stage.see(3)
    track(late=0.0)
    assert rig.event_kinds == []
    stage.now += 0.5
    track(late=0.45)
    assert set(rig.event_kinds) == {Event.OBJECT_STALE}
    assert np.isnan(rig.controller.object_state).all()
    stage.now += 0.5
    track(late=0.0)
    rig.act(-0.1)
    assert rig.mode is Mode.RUNNING
    assert np.isfinite(rig.controller.object_state).all()
    stage.close()
