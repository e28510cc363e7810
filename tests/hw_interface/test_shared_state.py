"""Memory between two processes: never half a record, never a wait, and losses are counted."""

import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from hw_interface.control import shared_state
from hw_interface.control.shared_state import RING, SharedState, ring_columns


@pytest.fixture
def shared() -> Iterator[SharedState]:
    state = SharedState(7, 2)
    yield state
    state.close()


def hammer(name: str) -> None:
    """Write records whose numbers all agree, in bursts as fast as possible, until told to end."""
    shared, k = SharedState(7, 2, name), 0
    while not shared.finished:
        k += 1
        if k % 100 == 0:
            time.sleep(0.0005)  # else nobody may ever find a record that is not being written
        shared.state.write(tick=k, q=k, dq=k, tau=k, q_set=k, dq_set=k, object=k, worst=k, rate=k)
    shared.close()


def rows(shared: SharedState, first: int, last: int) -> None:
    width = ring_columns(7)["servo"].stop
    for k in range(first, last):
        shared.push(np.full(width, float(k)))


def test_no_reader_sees_half_of_two_records(shared: SharedState) -> None:
    writer = multiprocessing.get_context("spawn").Process(
        target=hammer, args=(shared.name,), daemon=True
    )
    writer.start()
    seen: list[int] = []
    until = time.monotonic() + 30
    while len(set(seen)) < 50 and time.monotonic() < until:
        record = shared.state.read()
        tick = int(record["tick"])
        for name in ("q", "dq", "tau", "q_set", "dq_set", "object", "worst", "rate"):
            assert (record[name] == tick).all()
        seen.append(tick)
        if len(seen) % 50 == 0:
            time.sleep(0.0005)  # one core is enough for both
    shared.finish()
    writer.join(10)
    assert writer.exitcode == 0
    assert seen == sorted(seen)
    assert len(set(seen)) >= 50


def test_a_writer_that_died_writing_blocks_nobody(shared: SharedState) -> None:
    shared.action.write(number=1, stamp=2.0, action=np.ones(2))
    assert shared.action.read()["number"] == 1
    shared.action._sequence[...] += 1
    shared.action._fields["number"][...] = 99
    assert shared.action.read()["number"] == 1
    assert shared.action.fresh()["number"] == 1


def test_who_reads_seldom_gets_the_record_that_is_being_written(
    shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the one that it read last, however long ago that was."""
    shared.action.write(number=1)
    assert shared.action.fresh()["number"] == 1
    shared.action._sequence[...] += (
        1  # as in the middle of a write, which goes on while the reader sleeps
    )
    monkeypatch.setattr(shared_state.time, "sleep", lambda _: shared.action.write(number=2))
    assert shared.action.fresh()["number"] == 2


class Interrupted:
    """A number that is interrupted while it is written."""

    def __array__(self, *_: object) -> np.ndarray:
        raise KeyboardInterrupt


def test_a_writer_that_was_interrupted_is_heard_again_with_its_next_record(
    shared: SharedState,
) -> None:
    shared.action.write(number=1, stamp=2.0, action=np.ones(2))
    assert shared.action.read()["number"] == 1
    for k in (2, 3):  # twice, for both parities
        with pytest.raises(KeyboardInterrupt):
            shared.action.write(number=k, stamp=Interrupted())
        assert shared.action.read()["number"] == k - 1
        shared.action.write(number=k, stamp=2.0)
        assert shared.action.read()["number"] == k


def test_what_was_read_does_not_change_under_its_reader(shared: SharedState) -> None:
    shared.action.write(number=1, action=np.ones(2))
    before = shared.action.read()
    shared.action.write(number=2, action=np.zeros(2))
    assert before["number"] == 1
    np.testing.assert_array_equal(before["action"], 1)


def test_a_ring_that_is_emptied_in_time_loses_nothing(shared: SharedState) -> None:
    tail, got = 0, []
    for k in range(5):
        rows(shared, k * 1000, (k + 1) * 1000)
        new, tail, lost = shared.drain(tail)
        assert lost == 0
        got += new[:, 0].tolist()
    assert got == list(range(5000))


@pytest.mark.parametrize("count", [RING - 1, RING, RING + 1, 3 * RING + 17])
def test_an_overfull_ring_keeps_the_newest_and_counts_the_rest(
    shared: SharedState, count: int
) -> None:
    rows(shared, 0, 10)
    _, tail, _ = shared.drain(0)
    rows(shared, 10, 10 + count)
    kept, tail, lost = shared.drain(tail)
    assert len(kept) + lost == count
    assert lost == max(0, count - (RING - 1))
    np.testing.assert_array_equal(kept[:, 0], np.arange(10 + lost, 10 + count))
    assert shared.drain(tail)[2] == 0


def test_the_owner_removes_the_memory() -> None:
    shared = SharedState(7, 2)
    other = SharedState(7, 2, shared.name)
    other.close()
    SharedState(7, 2, shared.name).close()  # it is still there
    shared.close()
    with pytest.raises(FileNotFoundError):
        SharedMemory(shared.name)
