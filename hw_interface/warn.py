"""Telling the user what an arm goes on without."""

import contextlib
import sys
import traceback


def warn(text: str) -> None:
    """Say it on standard error; where that is closed, or its disk full, the arm goes on anyway."""
    with contextlib.suppress(OSError, ValueError):
        print(f"pliant: warning: {text}", file=sys.stderr, flush=True)


def print_error() -> None:
    """Print the exception that is being handled, as ``warn`` does."""
    with contextlib.suppress(OSError, ValueError):
        traceback.print_exc()
