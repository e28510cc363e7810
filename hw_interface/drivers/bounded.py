"""Calls into a vendor's client that may never return, made in threads with a bounded wait."""

import contextlib
import os
import queue
import threading
from collections.abc import Callable

# SCHED_FIFO priority of a client's threads, below the control loop's 50: threads of ur_rtde wake
# every 0.1 ms and sometimes spin, so that at the loop's priority they would delay its ticks
PRIORITY = 45


class Bounded:
    """One call in a thread of its own; ``wait`` waits for it no longer than a given time."""

    def __init__(self, call: Callable[[], object], what: str) -> None:
        """Start the call.

        Args:
            call: what to run.
            what: what the controller is asked to do, as a verb for the message of a timeout.
        """
        self._call = call
        self._what = what
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if os.sched_getscheduler(0) == os.SCHED_FIFO:  # inherited from the control loop
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
        """Wait for the call to return, at most this long.

        Raises:
            TimeoutError: the call has not returned; its thread goes on running.
            Exception: the call itself has raised.
        """
        self._thread.join(seconds)
        if self.is_running:
            raise TimeoutError(f"the arm's controller did not {self._what} within {seconds} s")
        if self._error is not None:
            raise self._error


class BackgroundStop:
    """The stop of an arm in a thread of its own: ``begin`` returns at once, ``finish`` waits."""

    def __init__(self, patience: float) -> None:
        """``patience`` is for how long ``finish`` waits, s."""
        self._patience = patience
        self._call: Bounded | None = None  # the stop that is under way

    @property
    def is_running(self) -> bool:
        """Whether a stop has not ended yet."""
        return self._call is not None and self._call.is_running

    def begin(self, come_to_rest: Callable[[], object]) -> None:
        """Start to bring the arm to rest; ``come_to_rest`` returns when it stands."""
        self._call = Bounded(come_to_rest, "stop")

    def finish(self) -> None:
        """Wait for a stop that is under way.

        Raises:
            OSError: it does not end, or the link is lost.
            RuntimeError: it failed.
        """
        if self._call is None:
            return
        try:
            self._call.wait(self._patience)
        finally:
            if not self._call.is_running:
                self._call = None


class Streamer:
    """Makes calls one after another in a single thread, and waits for each with a time limit.

    After a call that did not return in time, every further call raises TimeoutError.
    """

    def __init__(self) -> None:
        """Start the thread; it inherits the scheduler of the calling thread."""
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
        """Make a call and return its result.

        Raises:
            TimeoutError: it has not returned within ``seconds``, or an earlier call has not.
            Exception: the call itself has raised.
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
