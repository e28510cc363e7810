"""Calls of a vendor's client that may never return."""

import contextlib
import os
import queue
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

    @property
    def is_running(self) -> bool:
        """Whether the call has not returned yet."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait until it has returned.

        Raises:
            TimeoutError: it has not; the thread is left behind.
            Exception: what the call has raised.
        """
        self._thread.join(seconds)
        if self.is_running:
            raise TimeoutError(f"the arm's controller did not {self._what} within {seconds} s")
        if self._error is not None:
            raise self._error


class Streamer:
    """Makes one call after another in a thread of its own; none is waited for without a bound.

    After one that did not return in time it takes no more.
    """

    def __init__(self) -> None:
        """Begin the thread, under the scheduler of the calling one."""
        self._calls: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._hangs = False
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()

    def _run(self) -> None:
        while True:
            call = self._calls.get()
            if call is None:
                return
            try:
                self._results.put(call())
            except Exception as error:
                self._results.put(error)

    def call(self, call: Callable[[], object], seconds: float) -> object:
        """What the call returns.

        Raises:
            TimeoutError: it has not returned within ``seconds``, or an earlier one has not.
            Exception: what it has raised.
        """
        if self._hangs:
            raise TimeoutError("an earlier call to the arm's controller has not returned in time")
        self._calls.put(call)
        try:
            result = self._results.get(timeout=seconds)
        except queue.Empty as error:
            self._hangs = True
            raise TimeoutError(f"the arm's controller took more than {seconds} s") from error
        if isinstance(result, Exception):
            raise result
        return result

    def close(self) -> None:
        """End the thread once it is idle."""
        self._calls.put(None)
