"""The clock of a sender of datagrams: which of them are late, and how far behind the sender is."""

from dataclasses import dataclass

SET_BACK = 1.0  # s that a clock goes back, at least; a packet that was overtaken is less late
STEP = 0.1  # s by which a stamp is too early to be explained by a shorter way
CONFIRMATIONS = 3  # datagrams in a row that confirm that the clock was set
DRIFT = 5e-4  # s/s by which two clocks drift apart at most: NTP corrects a clock no faster


@dataclass(frozen=True)
class Arrival:
    """A datagram's stamp on the sender's clock, and when it was read on ours."""

    stamp: float  # s
    now: float  # s

    @property
    def offset(self) -> float:
        """Our clock minus the sender's, s, with the time that the datagram was on its way."""
        return self.now - self.stamp


class SenderClock:
    """Compares a sender's stamps with the times at which they arrive.

    The two clocks are not synchronized. The datagram with the smallest offset came on the shortest
    way; how much larger another one's offset is, is its delay. A delay that is the same from the
    first datagram on is not seen.
    """

    def __init__(self) -> None:
        """Begin without a datagram."""
        self._last: Arrival | None = None
        self._least_offset = 0.0  # s
        self._strange: list[Arrival] = []  # in a row, of a clock that was perhaps set

    def was_set(self, arrival: Arrival) -> bool:
        """Whether this datagram confirms that the sender's clock was set, as by a restart."""
        if not self._is_strange(arrival):
            self._strange.clear()
            return False
        if self._strange:
            before = self._strange[-1]
            goes_on = arrival.stamp > before.stamp
            if not goes_on or abs(arrival.offset - before.offset) > STEP:
                self._strange.clear()
        self._strange.append(arrival)
        return len(self._strange) >= CONFIRMATIONS

    def delay(self, arrival: Arrival) -> float | None:
        """The delay of a datagram, s; None if it was overtaken, or is of another clock."""
        if self._last is None:
            self._least_offset = arrival.offset
        elif self._is_strange(arrival) or arrival.stamp <= self._last.stamp:
            return None
        else:
            drift = DRIFT * (arrival.now - self._last.now)
            self._least_offset = min(self._least_offset + drift, arrival.offset)
        self._last = arrival
        return arrival.offset - self._least_offset

    def _is_strange(self, arrival: Arrival) -> bool:
        """Whether a stamp is far before the last one, or earlier than any that came so far."""
        if self._last is None:
            return False
        is_behind = arrival.stamp <= self._last.stamp - SET_BACK
        return is_behind or arrival.offset < self._least_offset - STEP
