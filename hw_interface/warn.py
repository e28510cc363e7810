"""Telling the user what an arm goes on without."""

import contextlib
import sys


def warn(text: str) -> None:
    """Say it on standard error; where that is closed, or its disk full, the arm goes on anyway."""
    with contextlib.suppress(OSError, ValueError):
        print(f"pliant: warning: {text}", file=sys.stderr, flush=True)
