"""Signal handling of the control process and the recorder: no signal ends them immediately."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from types import FrameType

# ``kill``, a closed terminal, and Ctrl-\
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
STOP = signal.SIGUSR1
IGNORED = (signal.SIGINT, signal.SIGUSR2)
ALL = {STOP, *ENDING, *IGNORED}
END_TIMEOUT = 1.0  # s, for a process to end that was terminated, or killed


class Signaled:
    """The requests that a process has received as signals."""

    def __init__(self) -> None:
        """No request was received yet."""
        self.end = threading.Event()
        self.stop = threading.Event()  # by the operator, see ``operator_keys``


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Block these signals in processes that are started in this context.

    The processes inherit the blocked signals, so that Ctrl-C cannot end them before they call
    ``enter_own_session``, which delivers the signals that came in the meantime.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def enter_own_session(signaled: Signaled) -> None:
    """Leave the terminal's session, and note signals instead of ending at once.

    The policy's process handles keys in the terminal and the closing of the terminal, and then ends
    this process in order. SIGINT is ignored.
    """

    def note(number: int, frame: FrameType | None) -> None:
        asked = signaled.stop if number == STOP else signaled.end
        asked.set()

    with contextlib.suppress(PermissionError):  # it already leads its own session or group
        os.setsid()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in (STOP, *ENDING):
        signal.signal(number, note)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ALL)


def end_process(process: SpawnProcess, patience: float) -> None:
    """Wait ``patience`` s for a process to end; otherwise terminate it, and at last kill it."""
    try:
        process.join(patience)
    finally:
        if process.is_alive():
            process.terminate()
            process.join(END_TIMEOUT)
        if process.is_alive():
            process.kill()
            process.join(END_TIMEOUT)
