"""A program in a terminal of its own: an operator's console over a pretended arm, or over a twin.

Usage: python operated.py pretended|twin RECORDING
"""

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from push import Push
from torch import Tensor

from adaptation.jobs.arm_session import ArmSession
from adaptation.jobs.operator_console import OperatorConsole
from hw_interface.control.watchdog import Mode

LONG = 60.0  # s


class Pretended:
    """An arm that prints what is said to it."""

    clock = "realtime"
    mode = Mode.RUNNING
    is_held = False
    is_latched = False
    wait_for_operator = None
    control = SimpleNamespace(state={"missed_ticks": 0})

    def hold(self) -> None:
        self.is_held = True
        print("said hold", flush=True)

    def release(self) -> None:
        self.is_held = False
        print("said release", flush=True)

    def stop(self) -> None:
        print("said stop", flush=True)

    def clear(self) -> None:
        print("said clear", flush=True)


class Still:
    """A policy that lets the tool creep forward."""

    privileged = False

    def prior(self, n: int, task: Tensor | None = None) -> None:
        return None

    def act(self, obs: Tensor, belief: None, explore: bool) -> Tensor:
        return torch.tensor([[-0.9, 0.0]])

    def observe(self, belief: None, transition: Any) -> None:
        return None

    def adapt(self, belief: None, episode: Any) -> None:
        return None


def pretend(operator: OperatorConsole) -> None:
    world: Any = Pretended()
    operator.attach(world)
    print("ready", flush=True)
    give_up = time.monotonic() + LONG
    while not operator.end_requested and time.monotonic() < give_up:
        time.sleep(0.01)
    operator.ask("Put the object down, then press Enter. ")
    operator.detach()
    operator.report_end("arm: at rest, torque on", None)


def drive_twin(operator: OperatorConsole, recording: Path) -> None:
    family = Push()
    task = family.sample(torch_free_rng(), 1)
    session = ArmSession(family, "panda", clock="realtime", record_to=recording, operator=operator)
    with session:
        print("ready", flush=True)
        session.run_object("still", Still(), task, [False] * 1000, must_count=False)


def torch_free_rng() -> Any:
    import numpy as np

    return np.random.default_rng(0)


if __name__ == "__main__":
    with OperatorConsole() as operator:
        if sys.argv[1] == "pretended":
            pretend(operator)
        else:
            drive_twin(operator, Path(sys.argv[2]))
