"""Memory shared by two processes: never half a record, never a wait, and losses are counted."""

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from types import SimpleNamespace

import numpy as np
import pytest

from hw_interface.control import shared_state
from hw_interface.control.layout import RING, Sizes, ring_width
from hw_interface.control.shared_state import SharedState

SIZES = Sizes(joints=7, actions=2, task_parameters=10)
FIELDS = ("tick", "q", "dq", "tau", "q_set", "dq_set", "object", "max_lateness", "applied_sum")


@pytest.fixture
def shared() -> Iterator[SharedState]:
    state = SharedState(SIZES)
    yield state
    state.close()


def write_in_bursts(name: str) -> None:
    """Write records whose numbers all agree, as fast as possible, until the end is announced."""
    shared = SharedState(SIZES, name)
    k = 0
    while not shared.finished:
        k += 1
        if k % 100 == 0:
            time.sleep(0.0005)  # otherwise a record might be in the middle of a write all the time
        shared.state.write(**dict.fromkeys(FIELDS, k))
    shared.close()


def push_rows(shared: SharedState, first: int, last: int) -> None:
    for k in range(first, last):
        shared.push(np.full(ring_width(SIZES.joints), float(k)))


def start_a_write(shared: SharedState) -> None:
    """Leave the action as it is in the middle of a write."""
    shared.action._sequence[...] += 1


def test_no_reader_sees_half_of_two_records(shared: SharedState) -> None:
    spawn = multiprocessing.get_context("spawn")
    writer = spawn.Process(target=write_in_bursts, args=(shared.name,), daemon=True)
    writer.start()
    ticks: list[int] = []
    give_up = time.monotonic() + 30
    while len(set(ticks)) < 50 and time.monotonic() < give_up:
        record = shared.state.read_nonblocking()
        tick = int(record["tick"])
        for name in FIELDS:
            assert (record[name] == tick).all()
        ticks.append(tick)
        if len(ticks) % 50 == 0:
            time.sleep(0.0005)  # so that one core is enough for both
    shared.finish()
    writer.join(10)
    assert writer.exitcode == 0
    assert ticks == sorted(ticks)
    assert len(set(ticks)) >= 50


def test_a_writer_that_died_mid_write_blocks_no_reader(shared: SharedState) -> None:
    shared.action.write(seq=1, stamp=2.0, action=np.ones(2))
    assert shared.action.read_nonblocking()["seq"] == 1
    start_a_write(shared)
    shared.action._record["seq"][...] = 99
    assert shared.action.read_nonblocking()["seq"] == 1
    assert shared.action.read_latest()["seq"] == 1


def test_read_latest_waits_for_a_write_in_progress(
    shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not return the previous record, however long ago that was read."""
    shared.action.write(seq=1)
    assert shared.action.read_latest()["seq"] == 1
    start_a_write(shared)

    def complete_the_write(seconds: float) -> None:
        shared.action.write(seq=2)

    monkeypatch.setattr(shared_state.time, "sleep", complete_the_write)
    assert shared.action.read_latest()["seq"] == 2


class Interrupting:
    """A number whose writing is interrupted."""

    def __array__(self, *_: object) -> np.ndarray:
        raise KeyboardInterrupt


def test_a_writer_that_was_interrupted_is_read_again_after_its_next_record(
    shared: SharedState,
) -> None:
    shared.action.write(seq=1, stamp=2.0, action=np.ones(2))
    assert shared.action.read_nonblocking()["seq"] == 1
    for k in (2, 3):  # twice, for both parities
        with pytest.raises(KeyboardInterrupt):
            shared.action.write(seq=k, stamp=Interrupting())
        assert shared.action.read_nonblocking()["seq"] == k - 1
        shared.action.write(seq=k, stamp=2.0)
        assert shared.action.read_nonblocking()["seq"] == k


def test_a_record_that_was_read_does_not_change(shared: SharedState) -> None:
    shared.action.write(seq=1, action=np.ones(2))
    before = shared.action.read_nonblocking()
    shared.action.write(seq=2, action=np.zeros(2))
    assert before["seq"] == 1
    np.testing.assert_array_equal(before["action"], 1)


def test_a_ring_that_is_emptied_in_time_loses_nothing(shared: SharedState) -> None:
    tail = 0
    numbers = []
    for k in range(5):
        push_rows(shared, k * 1000, (k + 1) * 1000)
        rows, tail, lost = shared.drain(tail)
        assert lost == 0
        numbers += rows[:, 0].tolist()
    assert numbers == list(range(5000))


@pytest.mark.parametrize("count", [RING - 1, RING, RING + 1, 3 * RING + 17])
def test_an_overfull_ring_keeps_the_newest_and_counts_the_rest(
    shared: SharedState, count: int
) -> None:
    push_rows(shared, 0, 10)
    _, tail, _ = shared.drain(0)
    push_rows(shared, 10, 10 + count)
    rows, tail, lost = shared.drain(tail)
    assert len(rows) + lost == count
    assert lost == max(0, count - (RING - 1))
    np.testing.assert_array_equal(rows[:, 0], np.arange(10 + lost, 10 + count))
    _, _, lost = shared.drain(tail)
    assert lost == 0


def test_the_owner_removes_the_memory() -> None:
    shared = SharedState(SIZES)
    other = SharedState(SIZES, shared.name)
    other.close()
    SharedState(SIZES, shared.name).close()  # it is still there
    shared.close()
    with pytest.raises(FileNotFoundError):
        SharedMemory(shared.name)


def test_a_task_without_parameters_and_one_with_many_have_room() -> None:
    for count in (0, 500):
        shared = SharedState(Sizes(joints=6, actions=3, task_parameters=count))
        try:
            shared.request.write(seq=1, task=np.arange(float(count)))
            request = shared.request.read_nonblocking()
            np.testing.assert_array_equal(request["task"], np.arange(count))
        finally:
            shared.close()


def test_shared_memory_without_room_is_an_error_and_no_bus_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel gives the memory, and kills who writes to it."""
    monkeypatch.setattr(shared_state.shutil, "disk_usage", full_disk)
    with pytest.raises(OSError, match="No space left on device") as error:
        SharedState(SIZES)
    assert error.value.filename == "/dev/shm"


def full_disk(folder: object) -> SimpleNamespace:
    return SimpleNamespace(free=1000)
