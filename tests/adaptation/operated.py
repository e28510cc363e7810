"""A program in a terminal of its own: an operator's console over a pretended arm."""

import signal
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

from adaptation.jobs.operator_console import OperatorConsole
from hw_interface.control.events import Mode

LONG = 60.0  # s


class Pretended:
    """An arm that prints what is said to it."""

    clock = "realtime"
    mode = Mode.RUNNING
    is_held = False
    is_latched = False
    wait_for_operator = None
    control = SimpleNamespace(
        state={"missed_ticks": 0}, explain_mode=lambda: "FAULT: OPERATOR_STOP"
    )

    def hold(self) -> None:
        self.is_held = True
        print("said hold", flush=True)

    def release(self) -> None:
        self.is_held = False
        print("said release", flush=True)

    def stop(self) -> None:
        self.is_held = False
        self.is_latched = True
        self.mode = Mode.FAULT
        print("said stop", flush=True)

    def clear(self) -> None:
        self.is_latched = False
        self.mode = Mode.RUNNING
        print("said clear", flush=True)


class Finalized:
    """Its finalizer takes long; Python drops what a signal raises within it."""

    def __del__(self) -> None:
        print("finalizing", flush=True)
        time.sleep(LONG)


def send_to_another_thread() -> None:
    """The main thread sleeps on: only a signal of its own would wake it."""
    (other,) = (each for each in threading.enumerate() if each is not threading.main_thread())
    assert other.ident is not None
    print("sent to another thread", flush=True)
    threading.Timer(0.5, signal.pthread_kill, (other.ident, signal.SIGHUP)).start()


def main() -> None:
    world: Any = Pretended()
    with OperatorConsole() as operator:
        operator.attach(world)
        try:
            if "real" in sys.argv:
                operator.begin_object(0, waits_for_clear=True, real_arm=True)
                operator.begin_object(1, waits_for_clear=True, real_arm=True)
            print("ready", flush=True)
            if "finalizer" in sys.argv:
                Finalized()
            if "thread" in sys.argv:
                send_to_another_thread()
                time.sleep(LONG)
            give_up = time.monotonic() + LONG
            while not operator.end_requested and time.monotonic() < give_up:
                time.sleep(0.01)
            operator.ask("Put the object down, then press Enter. ")
        finally:
            operator.detach()
            operator.report_end("arm: at rest, torque on", None)


if __name__ == "__main__":
    main()
