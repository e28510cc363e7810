"""The emulated servos speak Protocol 2.0, as published and as the vendor's own client takes it."""

from collections.abc import Iterator

import dynamixel_sdk as sdk
import numpy as np
import pytest
from emulated import emulated_bus, patient_driver
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_interface.drivers.dynamixel_bus import SerialPort
from hw_interface.drivers.dynamixel_models import ALERT
from hw_interface.emulators.dynamixel import Bus
from hw_interface.emulators.packets import InstructionPacket
from hw_interface.emulators.protocol2 import (
    HEADER,
    Error,
    Instruction,
    Parser,
    crc16,
    make_packet,
    make_status,
    stuff,
    unstuff,
)

VENDOR = sdk.PacketHandler(2.0)
law = settings(deadline=None, max_examples=100, derandomize=True)
header_like = st.lists(
    st.sampled_from([0xFF, 0xFD, 0x00, 0x55, 0x01]) | st.integers(0, 255), max_size=60
).map(bytes)


@pytest.mark.parametrize(
    ("packet", "published"),  # the examples of the e-manual
    [
        (make_packet(1, Instruction.PING), "FF FF FD 00 01 03 00 01 19 4E"),
        (make_status(1, 0, b"\x06\x04\x26"), "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"),
        (
            make_packet(1, Instruction.READ, b"\x84\x00\x04\x00"),
            "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15",
        ),
        (make_status(1, 0, b"\xa6\x00\x00\x00"), "FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0"),
        (
            make_packet(1, Instruction.WRITE, b"\x74\x00\x00\x02\x00\x00"),
            "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89",
        ),
        (make_packet(1, Instruction.REBOOT), "FF FF FD 00 01 03 00 08 2F 4E"),
    ],
)
def test_packets_are_the_published_ones(packet: bytes, published: str) -> None:
    assert packet == bytes.fromhex(published)


@law
@given(header_like, st.integers(0, 60))
def test_checksums_are_the_vendors_and_can_be_continued(data: bytes, cut: int) -> None:
    checksum = crc16(data)
    assert checksum == VENDOR.updateCRC(0, list(data), len(data))
    assert checksum == crc16(data[cut:], crc16(data[:cut]))


@law
@given(header_like)
def test_a_stuffed_body_has_no_header_and_can_be_unstuffed(body: bytes) -> None:
    assert HEADER not in stuff(body)
    assert unstuff(stuff(body)) == body


@law
@given(st.lists(header_like, min_size=1, max_size=4), header_like, st.integers(1, 7))
def test_packets_are_found_in_noise_whatever_the_pieces_they_arrive_in(
    bodies: list[bytes], noise: bytes, piece: int
) -> None:
    noise = noise.replace(b"\xfd", b"\xfe")  # so that it contains no header
    packets = [make_packet(3, Instruction.WRITE, body) for body in bodies]
    stream = noise.join([b"", *packets])
    parser = Parser()
    found: list[InstructionPacket] = []
    for start in range(0, len(stream), piece):
        found += parser.feed(stream[start : start + piece])
    assert [(packet.servo_id, packet.parameters) for packet in found] == [
        (3, body) for body in bodies
    ]


@law
@given(st.integers(0, 200), st.integers(1, 255))
def test_a_disturbed_packet_is_dropped_and_the_next_one_found(place: int, by: int) -> None:
    disturbed = bytearray(make_packet(3, Instruction.WRITE, bytes(range(40))))
    place %= len(disturbed)
    if place in (5, 6):
        return  # a wrong length may swallow what follows, until the line is quiet
    disturbed[place] ^= by
    following = make_packet(4, Instruction.PING)
    found = Parser().feed(bytes(disturbed) + following)
    assert [packet.servo_id for packet in found] == [4]


def open_port(bus: Bus) -> SerialPort:
    port = SerialPort(bus.port)
    assert port.setBaudRate(bus.baud)
    return port


@pytest.fixture
def bus() -> Iterator[Bus]:
    with patient_driver(), emulated_bus() as (emulated, _):
        yield emulated


@pytest.fixture
def port(bus: Bus) -> Iterator[SerialPort]:
    opened = open_port(bus)
    yield opened
    opened.closePort()


def test_the_vendors_client_finds_every_servo(bus: Bus, port: SerialPort) -> None:
    assert VENDOR.ping(port, 1) == (1120, sdk.COMM_SUCCESS, 0)
    assert VENDOR.ping(port, 8) == (1020, sdk.COMM_SUCCESS, 0)
    found, result = VENDOR.broadcastPing(port)
    assert result == sdk.COMM_SUCCESS
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_registers_are_written_where_allowed_and_refused_elsewhere(port: SerialPort) -> None:
    assert VENDOR.write1ByteTxRx(port, 1, 10, 4) == (sdk.COMM_SUCCESS, 0)
    assert VENDOR.write1ByteTxRx(port, 1, 64, 1) == (sdk.COMM_SUCCESS, 0)
    for address, value, error in (
        (10, 0, Error.ACCESS),  # EEPROM, under torque
        (70, 1, Error.ACCESS),  # read only
        (98, 200, Error.LIMIT),
        (64, 2, Error.LIMIT),
        (140, 0, Error.ACCESS),
    ):
        assert VENDOR.write1ByteTxRx(port, 1, address, value) == (sdk.COMM_SUCCESS, error)
    assert VENDOR.write4ByteTxRx(port, 1, 116, 4096) == (sdk.COMM_SUCCESS, Error.LIMIT)
    assert VENDOR.read1ByteTxRx(port, 1, 10) == (4, sdk.COMM_SUCCESS, 0)
    assert VENDOR.readTxRx(port, 1, 146, 4)[1:] == (sdk.COMM_SUCCESS, Error.LENGTH)


def test_data_that_looks_like_a_header_comes_through(port: SerialPort) -> None:
    assert VENDOR.write4ByteTxRx(port, 1, 104, -1)[1] == 0
    assert VENDOR.write4ByteTxRx(port, 1, 108, 0xFD)[1] == 0
    data, result, _ = VENDOR.readTxRx(port, 1, 104, 8)
    assert (bytes(data), result) == (b"\xff\xff\xff\xff\xfd\0\0\0", sdk.COMM_SUCCESS)


@pytest.mark.parametrize("fast", [False, True])
def test_the_vendors_groups_read_and_write_several_servos(
    bus: Bus, port: SerialPort, fast: bool
) -> None:
    ids = (1, 2, 4, 6, 7, 8)
    group = sdk.GroupSyncWrite(port, VENDOR, 112, 4)
    for number in ids:
        group.addParam(number, list((100 + number).to_bytes(4, "little")))
    assert group.txPacket() == sdk.COMM_SUCCESS
    read = sdk.GroupSyncRead(port, VENDOR, 112, 4)
    for number in (*ids, 3):
        read.addParam(number)
    assert (read.fastSyncRead() if fast else read.txRxPacket()) == sdk.COMM_SUCCESS
    assert [read.getData(number, 112, 4) for number in ids] == [100 + number for number in ids]
    assert read.getData(3, 112, 4) == 102, "a shadow obeys what is sent to its leader"


def test_a_servo_in_error_reports_it_with_every_answer_until_rebooted(
    bus: Bus, port: SerialPort
) -> None:
    assert VENDOR.write1ByteTxRx(port, 4, 64, 1) == (sdk.COMM_SUCCESS, 0)
    bus.servos[4].overload()
    assert VENDOR.read1ByteTxRx(port, 4, 70) == (0x20, sdk.COMM_SUCCESS, ALERT)
    assert VENDOR.read1ByteTxRx(port, 4, 64) == (0, sdk.COMM_SUCCESS, ALERT)
    assert VENDOR.write1ByteTxRx(port, 4, 64, 1)[1] == ALERT | Error.ACCESS
    assert VENDOR.reboot(port, 4) == (sdk.COMM_SUCCESS, 0)
    assert VENDOR.write1ByteTxRx(port, 4, 64, 1) == (sdk.COMM_SUCCESS, 0)


def test_the_vendors_fast_read_accepts_disturbed_data(bus: Bus, port: SerialPort) -> None:
    """The reason why our driver checks each servo's checksum: the client checks only the last."""
    read = sdk.GroupSyncRead(port, VENDOR, 132, 4)
    for number in (1, 2, 4):
        read.addParam(number)
    assert read.fastSyncRead() == sdk.COMM_SUCCESS
    good = read.getData(2, 132, 4)
    bus.faults.corrupt = {2}
    assert read.fastSyncRead() == sdk.COMM_SUCCESS
    assert read.getData(2, 132, 4) != good


def test_a_bus_that_falls_silent_stops_its_servos_until_the_watchdog_is_cleared() -> None:
    with patient_driver(), emulated_bus() as (bus, clock):
        port = open_port(bus)
        assert VENDOR.write1ByteTxRx(port, 1, 64, 1)[1] == 0
        assert VENDOR.write1ByteTxRx(port, 1, 98, 5)[1] == 0
        assert VENDOR.write4ByteTxRx(port, 1, 116, 2500)[1] == 0
        clock.now += 0.09
        assert VENDOR.read1ByteTxRx(port, 1, 98)[0] == 5
        clock.now += 0.11
        assert VENDOR.read1ByteTxRx(port, 1, 98)[0] == 0xFF
        assert VENDOR.write4ByteTxRx(port, 1, 116, 2600)[1] == Error.RANGE
        assert VENDOR.read4ByteTxRx(port, 1, 116)[0] < 2500, "it stays where it was"
        assert VENDOR.write1ByteTxRx(port, 1, 98, 0)[1] == 0
        assert VENDOR.write4ByteTxRx(port, 1, 116, 2600)[1] == 0
        port.closePort()


def test_a_servo_goes_to_its_goal_no_faster_than_its_profile() -> None:
    with patient_driver(), emulated_bus() as (bus, clock):
        port = open_port(bus)
        VENDOR.write1ByteTxRx(port, 1, 64, 1)
        VENDOR.write4ByteTxRx(port, 1, 112, 20)
        VENDOR.write4ByteTxRx(port, 1, 116, 2248)
        positions = []
        for _ in range(100):
            clock.now += 0.01
            positions.append(VENDOR.read4ByteTxRx(port, 1, 132)[0])
        speed = 20 * 0.229 / 60 * 4096  # ticks/s
        measured = np.diff(positions)[20:55].mean() * 100
        assert 0.8 * speed < measured < 1.1 * speed
        port.closePort()
