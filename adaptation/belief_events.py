"""What went wrong with the belief of a policy that acts on an arm."""

import threading
import time

from adaptation.runs.records import Event, finite
from hw_interface.warn import warn


class BeliefEvents:
    """Collects events; one kind that comes again and again is reported once.

    Attributes:
        all: the events, the oldest first.
    """

    def __init__(self) -> None:
        """Begin without an event; their stamps are s since then."""
        self.all: list[Event] = []
        self._started = time.monotonic()
        self._last_problem = ""  # kind of the last event, while it lasts
        self._lock = threading.Lock()

    def report(self, kind: str, detail: float) -> bool:
        """Add an event, unless it is the problem that there is already; whether it was added."""
        with self._lock:  # updates run in a thread of their own
            if kind == self._last_problem:
                return False
            self._last_problem = kind
            number = len(self.all)
            stamp = time.monotonic() - self._started
            event = Event(number, kind, stamp, finite(detail))
            self.all.append(event)
        return True

    def report_failure(self, error: Exception) -> None:
        """An update has raised: the user is told why."""
        if self.report("UPDATE_FAILED", 0.0):
            reason = f"{type(error).__name__}: {error}"
            warn(f"an update of the belief failed, and the last belief is kept: {reason}")

    def end_problem(self) -> None:
        """All is well again: what comes next is reported, also where it is the same."""
        self._last_problem = ""
