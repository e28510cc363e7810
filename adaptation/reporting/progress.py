"""Progress for a person: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

PATIENCE = 5.0  # s between two plain lines


class ProgressReporter:
    """Shows how far something is, on standard error; standard output belongs to results."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._said = 0.0
        console = Console(stderr=True)
        self._bar = console.is_terminal and Progress(
            TextColumn(what),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=console,
        )

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=1.0, text="")
        return self

    def __call__(self, share: float, text: str) -> None:
        """Say that this share in [0, 1] is done."""
        if self._bar:
            self._bar.update(self._task, completed=share, text=text)
        elif time.monotonic() - self._said > PATIENCE or share >= 1:
            self._said = time.monotonic()
            print(f"{self._what}: {share:4.0%} {text}", file=sys.stderr, flush=True)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()
