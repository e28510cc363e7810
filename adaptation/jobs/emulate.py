"""An emulator before the simulated physics of an arm, on this machine's desk."""

import contextlib
import os
import threading
from typing import Any

from hw_interface.emulators import EMULATORS
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from sim.plant import Plant

PRIORITY = 40  # of SCHED_FIFO, below the servo process


def emulate(
    name: str, arm: str, calibration: str = "", seconds: float | None = None
) -> dict[str, Any]:
    """Serve until Ctrl-C or for some time; prints the port first.

    Returns how many goals came, and how many of them lay beyond the arm's limits.

    Raises:
        BadArgumentError: the arm has no such controller, or the calibration does not fit it.
    """
    kind = EMULATORS[name]
    with contextlib.suppress(OSError):  # servos do not wait for what else a computer has to do
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    try:
        made = kind(ARMS[arm], Plant(ARMS[arm]), kind.Options(calibration=calibration))
    except ValueError as error:
        raise BadArgumentError(str(error)) from error
    print(f"{arm} on {made.port}; Ctrl-C ends it", flush=True)
    if seconds is not None:
        timer = threading.Timer(seconds, made.close)
        timer.daemon = True
        timer.start()
    try:
        made.serve()
    except KeyboardInterrupt:
        pass
    finally:
        made.close()
    return {"port": made.port, "goals": made.goals, "outside": made.outside}
