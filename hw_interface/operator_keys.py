"""Single keys of a terminal, and a signal that an operator may send, read by one thread."""

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

STOP_SIGNAL = signal.SIGUSR1
ENDING = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)  # treated as Ctrl-C
END_PATIENCE = 3.0  # s for the program to begin its end, before it is interrupted again
CHUNK = 64  # bytes read at once

Handler = Callable[[int, FrameType | None], None]


class OperatorKeys:
    """Keys and signals while it is entered; on every exit the terminal is as it was.

    SIGHUP (the terminal is closed), SIGQUIT (Ctrl-backslash) and SIGTERM become KeyboardInterrupt
    as SIGINT (Ctrl-C) does, so that the arm is stopped and the terminal restored. STOP_SIGNAL is
    read like a key. Where standard input is no terminal, or belongs to another job in the
    foreground, there are no keys.
    """

    def __init__(self) -> None:
        self._attributes: list[Any] | None = None  # of the terminal, as it was
        self._keyboard: int | None = None  # file descriptor
        self._handlers: dict[signal.Signals, Any] = {}  # as they were
        self._old_wakeup: int | None = None  # file descriptor
        self._end_signal: int | None = None  # the signal that requested the end
        self._insisted_at = 0.0  # s, monotonic: when it was seen, or last sent again
        self._may_interrupt = True  # whether a signal raises; after one, only Ctrl-C does

    def __enter__(self) -> Self:
        self._signals, self._signals_end = os.pipe()
        os.set_blocking(self._signals, False)
        os.set_blocking(self._signals_end, False)
        if threading.current_thread() is threading.main_thread():
            # the number of a signal is written at once, also while the main thread computes
            self._old_wakeup = signal.set_wakeup_fd(self._signals_end, warn_on_full_buffer=False)
            self._handle(STOP_SIGNAL, _ignore)
            for number in ENDING:
                self._handle(number, self._interrupt)
        if _is_our_terminal():
            self._keyboard = sys.stdin.fileno()
            self._attributes = termios.tcgetattr(self._keyboard)
            tty.setcbreak(self._keyboard, termios.TCSADRAIN)
        return self

    def _handle(self, number: signal.Signals, handler: Handler) -> None:
        earlier = signal.getsignal(number)
        if earlier is not signal.SIG_IGN:  # as nohup asks
            self._handlers[number] = earlier
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """End in order, once: a shell that ends sends SIGHUP more than once. Ctrl-C may repeat."""
        if number == signal.SIGINT or self._may_interrupt:
            self._may_interrupt = False
            raise KeyboardInterrupt

    def insist_on_end(self) -> None:
        """Interrupt the main thread again if it did not end. May be called from any thread.

        Python drops an exception that a signal raises within a finalizer or a callback. And a
        signal that the system gives to another thread does not wake the main thread.
        """
        now = time.monotonic()
        main = threading.main_thread().ident
        if self._end_signal is None or main is None or now - self._insisted_at < END_PATIENCE:
            return
        self._insisted_at = now
        self._may_interrupt = True
        signal.pthread_kill(main, self._end_signal)

    def _note_end(self, numbers: bytes) -> None:
        """Remember the first signal that requests the end."""
        for number in numbers:
            if self._end_signal is None and number in ENDING and number in self._handlers:
                self._end_signal = number
                self._insisted_at = time.monotonic()

    @property
    def has_keyboard(self) -> bool:
        """Whether there is a terminal to read keys from."""
        return self._keyboard is not None

    def read(self, timeout: float) -> tuple[str, bool]:
        """Wait at most ``timeout`` s; returns the keys pressed and whether to stop the arm."""
        watched = [self._signals]
        if self._keyboard is not None and _is_our_terminal():
            watched.append(self._keyboard)
        ready, _, _ = select.select(watched, [], [], timeout)
        numbers = os.read(self._signals, CHUNK) if self._signals in ready else b""
        self._note_end(numbers)
        stop = STOP_SIGNAL in numbers
        if self._keyboard not in ready:
            return "", stop
        pressed = b""
        with contextlib.suppress(OSError):  # the terminal was closed
            pressed = os.read(sys.stdin.fileno(), CHUNK)
        if not pressed:
            self._keyboard = None
        return pressed.decode(errors="ignore"), stop

    def __exit__(self, *_: object) -> None:
        if self._attributes is not None:
            # a job in the background may set the terminal only while SIGTTOU is blocked
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
            with contextlib.suppress(OSError, ValueError, termios.error):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._attributes)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._old_wakeup is not None:
            signal.set_wakeup_fd(self._old_wakeup)
        os.close(self._signals)
        os.close(self._signals_end)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Its number has been written to the wake-up pipe already."""


def _is_our_terminal() -> bool:
    """Whether standard input is a terminal with this process in its foreground."""
    try:
        number = sys.stdin.fileno()
        return os.isatty(number) and os.tcgetpgrp(number) == os.getpgrp()
    except (OSError, ValueError, AttributeError):  # closed, replaced, or None
        return False
