"""Calls of a vendor's client that may never return."""

import contextlib
import os
import threading
from collections.abc import Callable

# of SCHED_FIFO, for a client's threads; below the control loop's 50: those of ur_rtde wake every
# 0.1 ms and sometimes wait without sleeping, and would keep the loop from its ticks
PRIORITY = 45


class Bounded:
    """A call in a thread of its own that is not waited for longer than is asked."""

    def __init__(self, call: Callable[[], object], what: str) -> None:
        """Begin the call; ``what`` the arm is to do is for messages."""
        self._call = call
        self._what = what
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if os.sched_getscheduler(0) == os.SCHED_FIFO:  # as the control loop that began this call
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        try:
            self._call()
        except Exception as error:
            self._error = error

    def wait(self, seconds: float) -> None:
        """Wait until it has returned.

        Raises:
            TimeoutError: it has not; the thread is left behind.
            Exception: what the call has raised.
        """
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise TimeoutError(f"the arm's controller did not {self._what} within {seconds} s")
        if self._error is not None:
            raise self._error
