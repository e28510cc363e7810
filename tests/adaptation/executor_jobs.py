"""Functions that executors call in other processes: quick to import, and badly behaved."""

import atexit
import os
import signal
import sys
import time
from pathlib import Path


def square(number: int) -> int:
    print(f"squaring {number}")
    return number**2


def fail(message: str) -> int:
    raise ValueError(message)


def die() -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def leave(status: int) -> int:
    sys.exit(status)


def hang() -> int:
    time.sleep(600)
    return 0


def touch_at_exit(file: Path) -> int:
    atexit.register(file.touch)
    atexit.register(time.sleep, 0.5)  # called before the one above
    return 0


def threads() -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def hang_after_touching(file: Path) -> int:
    file.write_text(str(os.getpid()))
    return hang()
