"""Signals of the processes beside the policy's: none of them ends one of these on the spot."""

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType

# a request to end, the end of the terminal, and Ctrl-backslash
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def enter_own_session(end: Callable[[], None]) -> None:
    """Leave the terminal's session, and let the signals that would end the process call ``end``.

    What is pressed in the terminal, and its end, are for the policy's process to handle: it then
    ends this one in order. SIGINT is ignored.

    Args:
        end: called between two instructions of the main thread; it should do no more than note
            that the end was asked for.
    """

    def note(number: int, frame: FrameType | None) -> None:
        end()

    with contextlib.suppress(PermissionError):  # it leads a session or a group of its own already
        os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in ENDING:
        signal.signal(number, note)
