"""Emulate an arm's controller on this machine: its protocol in front of simulated physics."""

import contextlib
import os
import threading

from adaptation.runs.records import EmulationResult
from hw_interface.emulators import EMULATORS
from robots.catalog import ARMS
from sim.plant import Plant

PRIORITY = 40  # of SCHED_FIFO, below that of the control process


def emulate(
    name: str, arm: str, calibration: str = "", seconds: float | None = None
) -> EmulationResult:
    """Serve until Ctrl-C or for some time; prints the port first.

    Args:
        name: a name in ``EMULATORS``.
        arm: a name in ``ARMS``.
        calibration: file of its wiring and zeros; empty: as it left its maker.
        seconds: how long; None: until Ctrl-C.

    Raises:
        BadArgumentError: the arm has no such controller, or the calibration does not fit it.
    """
    kind = EMULATORS[name]
    body = ARMS[arm]
    with contextlib.suppress(OSError):  # motors do not wait for other programs of this machine
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    emulator = kind(body, Plant(body), kind.Options(calibration=calibration))
    print(f"{arm} on {emulator.port}; Ctrl-C ends it", flush=True)
    if seconds is not None:
        timer = threading.Timer(seconds, emulator.close)
        timer.daemon = True
        timer.start()
    try:
        emulator.serve()
    except KeyboardInterrupt:
        pass
    finally:
        emulator.close()
    return EmulationResult(emulator.port, emulator.goals, emulator.outside)
