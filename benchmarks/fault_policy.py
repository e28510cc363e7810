"""The policy of ``fault_matrix.py``: in a process of its own it swings an arm."""

import os
import signal
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from fault_grippers import family_of

from hw_interface.arm_world import ArmWorld
from hw_interface.recording.process import RecordTo
from robots.errors import ArmError
from robots.signals import Array

PERIOD = 8  # actions, to and fro
SPEED = 0.6  # share of the largest
FOREVER = 1_000_000  # actions of an episode
FINGERS = {"tighten": -1e6, "widen": 1.0}  # shares of the largest speed; else they stay
IDLE = 0.02  # s between two looks for an order while the arm is not driven
HELD = 1.0  # s of an operator's hold


class Policy:
    """Drives one arm; every order is answered once it was carried out."""

    def __init__(self, world: ArmWorld, task: Any) -> None:
        self.world = world
        self.error = ""
        self._task = task
        self._style = "swing"
        self._count = 0
        self._drives = False

    def obey(self, order: str) -> str:
        """Carry out an order; returns what is to be told about it."""
        if order == "begin":
            return self._begin()
        if order == "error":
            return self.error or self.world.recorder.check() or ""
        if order in ("stop", "hold"):
            self._say(order)
            return ""
        self._style = order
        self._count = 0
        return ""

    def _begin(self) -> str:
        """Clear a fault, move to the start and swing from there; returns why not."""
        self.error = ""
        self._style = "swing"
        try:
            if self.world.is_held:
                self.world.release()
            if self.world.is_latched:
                self.world.clear()
            self.world.reset(self._task)
        except ArmError as error:
            self._drives = False
            return str(error)
        self._drives = True
        self._count = 0
        return ""

    def _say(self, order: str) -> None:
        if order == "stop":
            self.world.stop()
            return
        self.world.hold()
        time.sleep(HELD)
        self.world.release()

    def step(self) -> None:
        """One action, or a short wait."""
        if self.world.is_latched or not self._drives:
            time.sleep(IDLE)
            return
        action = self._action()
        self._count += 1
        try:
            self.world.step(action[None])
        except ArmError as error:
            self.error = str(error)
            self._drives = False

    def _action(self) -> Array:
        """The velocity of the tool, and of the fingers if there are some: (3,) or (4,)."""
        tool = self._tool()
        if len(self.world.family.action.spec) == len(tool):
            return tool
        width = np.nan if np.isnan(tool).any() else FINGERS.get(self._style, 0.0)
        return np.append(tool, width)

    def _tool(self) -> Array:
        """(3,), the velocity of the tool."""
        first = self._count == 0
        side = 1.0 if self._count % PERIOD < PERIOD / 2 else -1.0
        if self._style == "nans" or (self._style == "nan" and first):
            return np.full(3, np.nan)
        if self._style == "push":
            return np.array([0.0, 1.0, 0.0])
        if self._style == "outward":
            return np.array([1.0, 1.0, 1.0])
        if self._style == "down":
            return np.array([0.0, 0.0, -1.0])
        if self._style == "jagged":
            return np.full(3, 1e6 if self._count % 2 else -1e6)
        if self._style == "stall" and first:
            time.sleep(2 * self.world.family.limits.deadline)
        return np.array([0.0, SPEED * side, 0.0])


def drive(pipe: Connection, driver: str, arm: str, options: dict[str, Any], folder: str) -> None:
    """The policy's process; the first answer says whom it drives, or why nobody."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup` ignores it
    with suppress(PermissionError):  # an arm's computer is not shared with other work
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    family = family_of(arm)
    family.horizon = FOREVER
    task = family.sample(np.random.default_rng(0), 1)
    record_to = RecordTo(Path(folder))
    try:
        world = ArmWorld(family, family.body, driver, options, "realtime", record_to)
    except ArmError as error:
        pipe.send((str(error), [], ""))
        return
    pids = [os.getpid(), world.control.process.pid, world.recorder.pid]
    pipe.send(("", pids, world.control.shared.name))
    policy = Policy(world, task)
    while True:
        while pipe.poll():
            order = pipe.recv()
            if order == "end":
                world.close()
                pipe.send("")
                return
            pipe.send(policy.obey(order))
        policy.step()
