"""Answers of Dynamixel servos that are late, old or damaged are never taken for new ones."""

import numpy as np
import pytest
from emulated import PacedDynamixel, emulated_arm
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_interface.drivers import serial_bus
from hw_interface.drivers.dynamixel import Dynamixel
from hw_interface.drivers.dynamixel_bus import DynamixelBus
from hw_interface.drivers.dynamixel_clock import CLOCK_RANGE, ServoClocks
from hw_interface.emulators.protocol2 import make_fast_status

law = settings(deadline=None, max_examples=100, derandomize=True)


def test_a_link_slower_than_a_tick_is_refused_with_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with emulated_arm() as (driver, bus):
        monkeypatch.setattr(PacedDynamixel, "max_round_trip", Dynamixel.max_round_trip)
        bus.faults.delay = 0.012
        message = r"is too slow: one reading takes \d+\.\d ms, a tick 3\.1 ms; .*latency_timer"
        with pytest.raises(RuntimeError, match=message):
            driver.connect()
        assert bus.goals == 0


@pytest.mark.parametrize("delay", [0.012, 0.016, 0.024])
def test_a_late_answer_is_not_taken_for_another_register(
    monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    with emulated_arm() as (driver, bus):
        for margin in ("REPLY_MARGIN", "CONNECT_MARGIN"):
            monkeypatch.setattr(serial_bus, margin, 8.0)
        bus.faults.delay = delay
        with pytest.raises((OSError, RuntimeError)) as refusal:
            driver.connect()
        assert "calibration" not in str(refusal.value)


def test_the_stamp_is_the_servos_own_time_and_does_not_wrap() -> None:
    with emulated_arm() as (driver, _):
        driver.connect()
        driver.enable()
        first = driver.read().stamp
        begin = driver.clock.now
        for _ in range(40):
            driver.clock.now += 1.0
            stamp = driver.read().stamp
            assert stamp - first == pytest.approx(driver.clock.now - begin, abs=0.05)
        before = driver.read()
        driver.clock.now -= driver.capabilities.dt  # so that no time passes at the servos
        repeated = driver.read()
        assert repeated.stamp == before.stamp


@law
@given(
    st.lists(st.integers(0, CLOCK_RANGE - 1), min_size=1, max_size=8),
    st.lists(st.integers(1, 16_000), min_size=1, max_size=30),
    st.integers(-10, 10),
)
def test_clocks_that_wrap_add_up(starts: list[int], steps: list[int], jitter: int) -> None:
    """Whatever the servos' clocks show first, and however late an answer reaches us."""
    clocks = ServoClocks()
    ticks = np.array(starts)
    now = 5.0
    assert clocks.advance(ticks % CLOCK_RANGE, now)
    begin = clocks.time
    for step in steps:
        ticks = ticks + step
        now += 1e-3 * step
        assert clocks.advance(ticks % CLOCK_RANGE, now + 1e-3 * jitter)
    assert clocks.time - begin == pytest.approx(1e-3 * sum(steps))


@law
@given(st.integers(0, CLOCK_RANGE - 1), st.integers(0, 1000), st.integers(0, 2))
def test_an_old_reading_does_not_advance_the_time(start: int, age: int, which: int) -> None:
    """One servo that stands still, or shows what it was ``age`` ms ago, is enough."""
    clocks = ServoClocks()
    ticks = np.full(3, start)
    assert clocks.advance(ticks, 5.0)
    before = clocks.time
    later = ticks + 3
    later[which] = start - age
    assert not clocks.advance(later % CLOCK_RANGE, 5.003)
    assert clocks.time == before
    assert clocks.advance((ticks + 6) % CLOCK_RANGE, 5.006)
    assert clocks.time == pytest.approx(before + 0.006)


def test_every_truncation_and_every_flipped_bit_of_an_answer_is_refused() -> None:
    bus = DynamixelBus("nowhere", 1_000_000)
    ids = (1, 2, 7)
    answers = [(servo_id, 0, bytes(range(10 * servo_id, 10 * servo_id + 16))) for servo_id in ids]
    packet = list(make_fast_status(answers, len(ids)))
    replies = bus._split(packet, ids, 16)
    assert replies is not None
    assert [reply.data for reply in replies] == [data for _, _, data in answers]
    for length in range(len(packet)):
        assert bus._split(packet[:length], ids, 16) is None
    for place in range(len(packet)):
        for bit in range(8):
            flipped = packet.copy()
            flipped[place] ^= 1 << bit
            assert bus._split(flipped, ids, 16) is None


def test_another_length_or_another_order_of_servos_is_refused() -> None:
    bus = DynamixelBus("nowhere", 1_000_000)
    answers = [(1, 0, bytes(16)), (2, 0, bytes(16))]
    packet = list(make_fast_status(answers, 2))
    assert bus._split(packet, (1, 2), 16) is not None
    assert bus._split(packet, (2, 1), 16) is None
    assert bus._split(packet, (1, 2), 17) is None
