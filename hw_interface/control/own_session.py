"""Signals of the processes beside the policy's: none of them ends one of these on the spot."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from types import FrameType

# a request to end, the end of the terminal, and Ctrl-backslash
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
STOP = signal.SIGUSR1
IGNORED = (signal.SIGINT, signal.SIGUSR2)
ALL = {STOP, *ENDING, *IGNORED}
END_TIMEOUT = 1.0  # s, for a process to end that was terminated, or killed


class Signaled:
    """What signals have asked a process for."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.end = threading.Event()
        self.stop = threading.Event()  # by the operator, see ``operator_keys``


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Processes that are started in this context are reached by none of these signals.

    They inherit that, so that Ctrl-C cannot end them before ``enter_own_session``, which lets the
    signals through that came meanwhile.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def enter_own_session(signaled: Signaled) -> None:
    """Leave the terminal's session, and note the signals that would end the process on the spot.

    What is pressed in the terminal, and its end, are for the policy's process to handle: it then
    ends this one in order. SIGINT is ignored.
    """

    def note(number: int, frame: FrameType | None) -> None:
        asked = signaled.stop if number == STOP else signaled.end
        asked.set()

    with contextlib.suppress(PermissionError):  # it leads a session or a group of its own already
        os.setsid()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in (STOP, *ENDING):
        signal.signal(number, note)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL)


def end_process(process: SpawnProcess, patience: float) -> None:
    """Wait ``patience`` s for a process to end by itself; then terminate it, then kill it."""
    try:
        process.join(patience)
    finally:
        if process.is_alive():
            process.terminate()
            process.join(END_TIMEOUT)
        if process.is_alive():
            process.kill()
            process.join(END_TIMEOUT)
