"""The emulated servos speak Feetech's protocol as published and as the vendor's client takes it."""

from collections.abc import Iterator

import numpy as np
import pytest
import scservo_sdk as sdk
from emulated import patient_driver
from emulated_feetech import emulated_so101
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_interface.drivers.feetech_bus import FeetechPort, split
from hw_interface.drivers.feetech_registers import describe_status, from_signed, to_signed
from hw_interface.emulators.feetech import FeetechEmulator
from hw_interface.emulators.feetech_protocol import Instruction, Parser, make_packet, make_status

VENDOR = sdk.PacketHandler(0)
law = settings(deadline=None, max_examples=100, derandomize=True)
header_like = st.lists(st.sampled_from([0xFF, 0xFE, 0x01]) | st.integers(0, 255), max_size=40).map(
    bytes
)


@pytest.mark.parametrize(
    ("packet", "published"),  # the examples of Feetech's protocol manual
    [
        (make_packet(1, Instruction.PING), "FF FF 01 02 01 FB"),
        (make_status(1, 0), "FF FF 01 02 00 FC"),
        (make_packet(1, Instruction.READ, b"\x38\x02"), "FF FF 01 04 02 38 02 BE"),
        (make_status(1, 0, b"\x18\x05"), "FF FF 01 04 00 18 05 DD"),
    ],
)
def test_packets_are_the_published_ones(packet: bytes, published: str) -> None:
    assert packet == bytes.fromhex(published)


@law
@given(st.lists(header_like, min_size=1, max_size=4), st.binary(max_size=20), st.integers(1, 7))
def test_packets_are_found_in_noise_whatever_the_pieces_they_arrive_in(
    bodies: list[bytes], noise: bytes, piece: int
) -> None:
    noise = noise.replace(b"\xff", b"\xfe")  # so that it contains no header
    stream = noise.join([b"", *[make_packet(3, Instruction.WRITE, body) for body in bodies]])
    parser = Parser()
    found = []
    for start in range(0, len(stream), piece):
        found += parser.feed(stream[start : start + piece])
    assert [(packet.servo_id, packet.parameters) for packet in found] == [
        (3, body) for body in bodies
    ]


@law
@given(st.integers(-32_767, 32_767))
def test_a_sign_in_a_bit_is_read_as_the_vendors_client_reads_it(value: int) -> None:
    raw = from_signed(value, 15)
    assert sdk.SCS_TOHOST(raw, 15) == value
    assert to_signed(np.array([raw], dtype=np.uint16), 15)[0] == value


def test_every_truncation_and_every_flipped_bit_of_an_answer_is_refused() -> None:
    ids = (1, 2, 5)
    answers = [make_status(servo_id, 0, bytes(range(servo_id, servo_id + 15))) for servo_id in ids]
    received = b"".join(answers)
    replies = split(received, ids, 15)
    assert replies is not None
    assert [reply.data for reply in replies] == [answer[5:-1] for answer in answers]
    for length in range(len(received)):
        assert split(received[:length], ids, 15) is None
    for place in range(len(received)):
        for bit in range(8):
            flipped = bytearray(received)
            flipped[place] ^= 1 << bit
            assert split(bytes(flipped), ids, 15) is None
    assert split(received, (2, 1, 5), 15) is None
    assert split(received, ids, 16) is None


def test_a_status_is_named_with_all_its_faults() -> None:
    assert describe_status(0b100101) == "input voltage, overheating, overload"
    assert describe_status(0b1000000) == "code 64"


@pytest.fixture
def bus() -> Iterator[FeetechEmulator]:
    with emulated_so101() as (_, emulated):
        yield emulated


@pytest.fixture
def port(bus: FeetechEmulator) -> Iterator[FeetechPort]:
    opened = FeetechPort(bus.port)
    assert opened.setBaudRate(bus.baud)
    with patient_driver():
        yield opened
    opened.closePort()


def test_the_vendors_client_reads_and_writes_the_servos(
    bus: FeetechEmulator, port: FeetechPort
) -> None:
    assert VENDOR.ping(port, 1) == (777, sdk.COMM_SUCCESS, 0)
    assert VENDOR.write2ByteTxRx(port, 2, 46, 500) == (sdk.COMM_SUCCESS, 0)
    assert bus.servos[2].get("goal_velocity") == 500
    assert VENDOR.write2ByteTxRx(port, 2, 48, 2000)[0] == sdk.COMM_SUCCESS
    assert bus.servos[2].get("torque_limit") == 1000, "beyond the range: ignored"
    bus.servos[4].fault(5)
    assert VENDOR.read1ByteTxRx(port, 4, 65) == (32, sdk.COMM_SUCCESS, 32)


def test_the_vendors_group_reader_takes_the_answers_of_all_servos(
    bus: FeetechEmulator, port: FeetechPort
) -> None:
    reader = sdk.GroupSyncRead(port, VENDOR, 56, 4)
    for servo_id in bus.servos:
        assert reader.addParam(servo_id)
    assert reader.txRxPacket() == sdk.COMM_SUCCESS
    for servo_id, servo in bus.servos.items():
        assert reader.getData(servo_id, 56, 2) == servo.get("present_position")
