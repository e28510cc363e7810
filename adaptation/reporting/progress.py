"""Progress on standard error: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

INTERVAL = 5.0  # s between two plain lines


class ProgressReporter:
    """Shows how much of a job is done. Standard output belongs to results, so this never uses it.

    Used as a context manager; call it with the share that is done and a short text.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._last_line = 0.0  # s, when the last plain line was printed
        console = Console(stderr=True)
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn(title),
                BarColumn(table_column=Column(min_width=10)),
                TimeElapsedColumn(table_column=Column(min_width=7)),
                TextColumn("{task.fields[text]}"),  # a narrow terminal cuts this, not the time
                console=console,
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=1.0, text="")
        return self

    def __call__(self, share: float, text: str) -> None:
        """Show that this share in [0, 1] is done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=share, text=text)
            return
        now = time.monotonic()
        if now - self._last_line > INTERVAL or share >= 1:
            self._last_line = now
            print(f"{self._title}: {share:4.0%} {text}", file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
