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


def kill_parent() -> int:
    os.kill(os.getppid(), signal.SIGKILL)
    return hang()


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


def count_up(folder: Path, name: str) -> int:
    """One more than the number in a file of the folder, which is written back."""
    file = folder / "deeper" / name
    number = int(file.read_text()) + 1 if file.exists() else 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(str(number))
    (folder / "garbage").unlink(missing_ok=True)
    return number


def fail_after_writing(folder: Path) -> int:
    folder.mkdir(exist_ok=True)
    (folder / "half").write_text("done")
    raise ValueError("no such thing")


def numbers(seed: int) -> bytes:
    """Of what a training computes with: the bits depend on how many threads add up."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(300, 300, generator=generator)
    return (matrix @ matrix).softmax(1).sum(0).numpy().tobytes()


def wait_for_release(folder: Path, marks: Path) -> int:
    """Leaves a mark of this attempt, and goes on once there is a file ``release``."""
    (marks / f"{folder.name}.{os.getpid()}").touch()
    while not (marks / "release").exists():
        time.sleep(0.05)
    folder.mkdir(exist_ok=True)
    (folder / "finished").write_text(folder.name)
    return os.getpid()
