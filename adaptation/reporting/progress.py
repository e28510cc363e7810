"""Progress on standard error: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

INTERVAL = 5.0  # s between two plain lines
TITLE_WIDTH = 24  # characters, at most: 80 columns then have room for the times and for a few words
BAR_WIDTH = 10  # characters


class ProgressReporter:
    """Shows how much of a job is done. Standard output belongs to results, so this never uses it.

    Used as a context manager; call it with the share that is done and a short text.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._last_line = ""  # the plain line that was printed last
        self._last_time = 0.0  # s, when it was printed
        self._begun: tuple[float, float] | None = None  # time (s) and share of the first call
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            # A narrow terminal cuts the end of the text, and a long title, but never the time left.
            self._bar = Progress(
                TextColumn(
                    "{task.description}", table_column=Column(no_wrap=True, max_width=TITLE_WIDTH)
                ),
                BarColumn(bar_width=BAR_WIDTH),
                TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
                TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True, ratio=1)),
                console=console,
                expand=True,
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=1.0, text="", left="")
        return self

    def __call__(self, share: float, text: str) -> None:
        """Show that this share in [0, 1] is done."""
        now = time.monotonic()
        left = self._time_left(now, share)
        if self._bar is not None:
            self._bar.update(self._task, completed=share, text=text, left=left)
            return
        line = f"{self._title}: {share:4.0%} {_joined(left, text)}"
        is_due = now - self._last_time > INTERVAL or share >= 1
        if is_due and line != self._last_line:
            self._last_line = line
            self._last_time = now
            print(line, file=sys.stderr, flush=True)

    def _time_left(self, now: float, share: float) -> str:
        """How long the rest takes at the pace since the first call; empty while that is unknown.

        The first call is where a resumed job begins.
        """
        if self._begun is None:
            self._begun = (now, share)
        began, first_share = self._begun
        done = share - first_share
        if done <= 0 or share >= 1:
            return ""
        seconds = round((now - began) * (1 - share) / done)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02} left"

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _joined(*words: str) -> str:
    """The words that are not empty."""
    return ", ".join(word for word in words if word)
