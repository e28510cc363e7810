"""One arm, emulated in a process of its own, and a policy that drives it in another."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
from fault_arms import Motion, emulate, summarize
from fault_grippers import family_of
from fault_policy import drive
from fault_rows import driver_of
from standstill import SAMPLING

from hw_interface.control.events import Event, Mode
from hw_interface.control.layout import EVENTS, Sizes
from hw_interface.control.shared_state import SharedState
from robots.catalog import ARMS
from robots.signals import Array

FORK = multiprocessing.get_context("fork")  # with everything imported: a start takes no time
ANSWER = 40.0  # s, for a process to answer
RUNS = 0.05  # s between two readings of a twin that runs
TWIN_BRIEF = {"lost": 0.005, "glitch": 0.005, "back_again": 1.0}  # s that these faults last


class Session:
    """One arm and a policy that drives it, until a fault ends a process."""

    def __init__(self, driver: str, arm_name: str, folder: Path, before: str = "") -> None:
        """Start both; ``before`` is a fault of the arm that is there from the beginning."""
        self.driver = driver
        self.arm_name = arm_name
        self.family = family_of(arm_name)
        self.folder = folder
        self._faults = folder / "faults"
        self._samples: list[tuple[float, float, float]] = []
        self._processes: list[BaseProcess] = []
        self._shared: SharedState | None = None
        options = self._start_twin() if driver == "twin" else self._start_arm()
        if before:
            self.provoke(before)
        self.options = options
        name = "fault_arms:FaultyTwin" if driver == "twin" else driver_of(driver)
        self.policy, other_end = FORK.Pipe()
        given = (other_end, name, self.arm_name, options, str(folder))
        self._start(drive, given)
        self.refusal, self.pids, shared = receive(self.policy)
        if shared:
            self._shared = SharedState(Sizes.of(self.family), shared)
            threading.Thread(target=self._sample, daemon=True).start()

    def _start(self, target: Callable[..., None], given: tuple[Any, ...]) -> None:
        process = FORK.Process(target=target, args=given)
        process.start()
        self._processes.append(process)

    def _start_arm(self) -> dict[str, Any]:
        self.arm, other_end = FORK.Pipe()
        self._start(emulate, (other_end, self.driver, self.arm_name))
        options: dict[str, Any] = receive(self.arm)
        return options

    def _start_twin(self) -> dict[str, Any]:
        self._faults.write_text("")
        return {"faults": str(self._faults)}

    def _sample(self) -> None:
        """Note how fast the twin's joints are."""
        limits = ARMS[self.arm_name].limits
        while self._shared is not None and self.driver == "twin":
            with suppress(FileNotFoundError):  # it has not begun
                stamp, _, _, *speeds = self._told()
                runs = time.monotonic() - stamp < RUNS  # its time passes with each reading
                speed = np.abs(speeds) * runs
                fastest = float(speed.max())
                share = float((speed / limits.dq).max())
                self._samples.append((time.monotonic(), fastest, share))
            time.sleep(SAMPLING)

    def _told(self) -> Array:
        """What the twin tells, see ``FaultyTwin``."""
        return np.array(Path(f"{self._faults}.told").read_text().split(), dtype=float)

    @property
    def state(self) -> Any:
        """What the control process publishes."""
        assert self._shared is not None
        return self._shared.state.read_latest()

    @property
    def mode(self) -> Mode:
        """The mode of the control process."""
        return Mode(int(self.state["mode"]))

    def provoke(self, name: str) -> float:
        """Give the arm a fault, or end all of them; returns when, s."""
        if self.driver != "twin":
            self.arm.send((name, 0.0))
            began: float = receive(self.arm)
            return began
        now = time.monotonic()
        self._faults.write_text("" if name == "mend" else name.replace("back_again", "silent"))
        if name in TWIN_BRIEF:
            time.sleep(TWIN_BRIEF[name])
            self._faults.write_text("")
        return now

    def motion(self, since: float) -> Motion:
        """How the arm has moved since a moment."""
        if self.driver == "twin":
            _, goals, outside, *_ = self._told().astype(int)
            return summarize(self._samples, since, (int(goals), int(outside)))
        self.arm.send(("motion", since))
        motion: Motion = receive(self.arm)
        return motion

    def order(self, words: str) -> str:
        """Give the policy an order; returns its answer."""
        self.policy.send(words)
        answer: str = receive(self.policy)
        return answer

    def events_since(self, first: int) -> list[str]:
        """Names of the events since the one of this number, each once."""
        assert self._shared is not None
        count = int(self.state["events"])
        names: dict[str, None] = {}
        for number in range(max(first, count - EVENTS), count):
            kind = int(self._shared.events[number % EVENTS]["kind"])
            names[Event(kind).name] = None
        return list(names)

    def close(self) -> None:
        """End all processes, whatever state they are in."""
        pids = [*self.pids[1:], *(process.pid for process in self._processes)]
        for pid in pids:
            with suppress(ProcessLookupError, TypeError):
                os.kill(pid, signal.SIGKILL)
        for process in self._processes:
            process.join()
        if self._shared is not None:
            name = self._shared.name
            shared, self._shared = self._shared, None
            time.sleep(5 * SAMPLING)
            shared.close()
            with suppress(FileNotFoundError):
                SharedMemory(name).unlink()


def receive(pipe: Connection) -> Any:
    """The next answer.

    Raises:
        TimeoutError: there is none.
    """
    if not pipe.poll(ANSWER):
        raise TimeoutError("a process does not answer")
    return pipe.recv()
