"""Workers for tests: one in this process, and functions that workers build."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adaptation.jobs.workers import Build, LostWorkerError


class Here:
    """An executor whose workers are in this process; some of them are lost.

    Attributes:
        losses: how many of the next calls are lost, each with its worker.
        started: the arguments of every worker.
    """

    def __init__(self, is_remote: bool = False) -> None:
        self.is_remote = is_remote
        self.losses = 0
        self.started: list[tuple[Any, ...]] = []

    def start_worker(self, build: Build[Any], *arguments: Any) -> "HereWorker":
        self.started.append(arguments)
        return HereWorker(self, build(*arguments))

    def share(self, value: object) -> object:
        return value


class HereWorker:
    def __init__(self, executor: Here, function: Callable[..., Any]) -> None:
        self._executor = executor
        self._function = function
        self._arguments: tuple[Any, ...] = ()

    def send(self, *arguments: Any) -> None:
        self._arguments = arguments

    def receive(self) -> Any:
        if self._executor.losses > 0:
            self._executor.losses -= 1
            raise LostWorkerError("its process was taken away")
        return self._function(*self._arguments)

    def close(self) -> None: ...


class KillsOnce:
    """An executor whose workers kill themselves, each at one call, unless one did so before."""

    def __init__(self, executor: Any, mark: Path, call: int) -> None:
        self._executor = executor
        self._mark = mark
        self._call = call
        self.share = executor.share
        self.is_remote = executor.is_remote

    def start_worker(self, build: Build[Any], *arguments: Any) -> Any:
        return self._executor.start_worker(build_dying, self._mark, self._call, build, *arguments)


def build_dying(mark: Path, call: int, build: Build[Any], *arguments: Any) -> Callable[..., Any]:
    """A function that kills its process at its n-th call, unless the mark is there."""
    function = build(*arguments)
    calls = 0

    def call_or_die(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given)

    return call_or_die


def build_sum(start: int) -> Callable[[int], int]:
    """A function that adds up what it is given."""
    total = start

    def add(number: int) -> int:
        nonlocal total
        if number < 0:
            raise ValueError("no negative numbers")
        total += number
        return total

    return add


def build_nothing() -> Callable[[], None]:
    raise ValueError("cannot be built")
