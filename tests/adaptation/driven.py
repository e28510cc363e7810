"""A program in a terminal of its own: an operator's console over a twin in real time.

Usage: python driven.py FOLDER, which gets the recording
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from push import Push
from torch import Tensor

from adaptation.jobs.arm_session import ArmSession
from adaptation.jobs.operator_console import OperatorConsole

EPISODES = 1000  # more than the test waits for


class Creep:
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


def main(folder: Path) -> None:
    family = Push()
    task = family.sample(np.random.default_rng(0), 1)
    with OperatorConsole() as operator:
        session = ArmSession(family, "panda", clock="realtime", record_to=folder, operator=operator)
        with session:
            session.run_object("creep", Creep(), task, [False] * EPISODES, must_count=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
