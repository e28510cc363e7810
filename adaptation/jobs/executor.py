"""Executors compute the cells of a suite: a protocol, and an executor with local processes.

``ray_executor`` has the other one, which computes on several machines.
"""

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic
from typing import Any, Generic, Protocol, Self, TypeVar

from adaptation.jobs.processes import single_threaded
from adaptation.jobs.workers import Build, ProcessWorker, Worker
from robots.errors import BadArgumentError

KILLED_WAIT = 10.0  # s that a killed process may take to be gone
EXIT_WAIT = 10.0  # s that a process may take to end once it has answered

R = TypeVar("R")  # result type of a job
A = TypeVar("A")  # what a worker answers
Answer = tuple[Any, str | None]  # the result, or the error


@dataclass(frozen=True)
class Job(Generic[R]):
    """A function to call in a process of its own."""

    name: str
    function: Callable[..., R]  # of a module, not a closure: another process imports it
    arguments: tuple[Any, ...]
    seconds: float = inf  # time limit
    output: Path | None = None  # file that gets what the process prints; None: nothing is kept
    # The folder that the function reads and writes, one of the arguments: where it runs on another
    # machine, it gets a copy of the folder, which comes back when the job has ended.
    folder: Path | None = None


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """How a job ended: with a result or with an error."""

    job: Job[R]
    result: R | None
    error: str | None  # a traceback, or what ended the process
    seconds: float  # wall time


class Executor(Protocol[R]):
    """Runs jobs side by side, and starts workers."""

    is_remote: bool  # whether they may run on other machines, perhaps with other code

    def submit(self, job: Job[R]) -> None:
        """Queue a job; jobs begin in the order in which they were submitted."""
        ...

    def completed(self, seconds: float = inf) -> Iterator[Outcome[R]]:
        """Yields outcomes as jobs end; jobs may be submitted meanwhile.

        Ends when no job is left, or after so many seconds.
        """
        ...

    def start_worker(self, build: Build[A], *arguments: object) -> Worker[A]:
        """Start a process that builds a function and calls it; this does not wait for it."""
        ...

    def share(self, value: object) -> object:
        """What to send to several workers in the place of a large value, which they receive."""
        ...

    def close(self) -> None:
        """End every job that still runs."""
        ...


@dataclass
class _Running(Generic[R]):
    job: Job[R]
    process: BaseProcess
    answers: Connection
    started: float


class ProcessExecutor(Generic[R]):
    """Runs each job in a fresh interpreter with one thread; a context manager that ends them.

    A job that crashes, hangs beyond its time limit or is killed is an outcome like any other.
    """

    is_remote = False

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        """Run jobs on this machine.

        Args:
            workers: jobs that run at once, at most; None: the number of cores.
            address: see ``check``.
        """
        self.check(address)
        self._workers = workers or os.cpu_count() or 1
        self._waiting: list[Job[R]] = []
        self._running: list[_Running[R]] = []

    @staticmethod
    def check(address: str | None) -> None:
        """Refuse an address: these processes are on this machine.

        Raises:
            BadArgumentError: there is one.
        """
        if address is not None:
            raise BadArgumentError("--address is of --executor ray: processes run on this machine")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def running(self) -> list[str]:
        """The names of the jobs that run now."""
        return [running.job.name for running in self._running]

    def submit(self, job: Job[R]) -> None:
        """Queue a job."""
        self._waiting.append(job)

    def completed(self, seconds: float = inf) -> Iterator[Outcome[R]]:
        """Outcomes as they come, until no job is left or the time is over."""
        deadline = monotonic() + seconds
        while self._waiting or self._running:
            while self._waiting and len(self._running) < self._workers:
                self._running.append(_start(self._waiting.pop(0)))
            limits = [running.started + running.job.seconds for running in self._running]
            next_limit = min(deadline, *limits)
            _wait_for_any(self._running, next_limit - monotonic())
            for running in list(self._running):
                outcome = _outcome(running)
                if outcome is not None:
                    self._running.remove(running)
                    yield outcome
            if monotonic() >= deadline:
                return

    def start_worker(self, build: Build[A], *arguments: object) -> Worker[A]:
        """Start a process on this machine; its physics get an equal share of the cores."""
        cores = len(os.sched_getaffinity(0))
        return ProcessWorker(build, arguments, threads=max(1, cores // self._workers))

    def share(self, value: object) -> object:
        """The value itself: every process gets a copy."""
        return value

    def close(self) -> None:
        """Kill the running jobs and drop the queued ones."""
        self._waiting.clear()
        for running in self._running:
            _kill(running)
        self._running.clear()


def _start(job: Job[R]) -> _Running[R]:
    context = multiprocessing.get_context("spawn")
    answers, writer = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(writer, job), name=job.name)
    with single_threaded():
        process.start()
    writer.close()
    return _Running(job, process, answers, monotonic())


def _wait_for_any(running: list[_Running[R]], seconds: float) -> None:
    """Return when a job answers or its process ends, at the latest after so many seconds."""
    timeout = None if seconds == inf else max(seconds, 0.0)
    answers = [one.answers for one in running]
    wait(answers, timeout)  # a pipe is ready, too, when the other end is closed


def _outcome(running: _Running[R]) -> Outcome[R] | None:
    """How a job ended; None while it runs within its time."""
    elapsed = monotonic() - running.started
    if running.answers.poll():
        answer = _receive(running)
        running.process.join(EXIT_WAIT)  # it releases its semaphores, which a kill would leak
    elif elapsed >= running.job.seconds:
        minutes = running.job.seconds / 60
        answer = (None, f"it took longer than its time limit of {minutes:.3g} minutes")
    else:
        return None
    _kill(running)
    result, error = answer
    return Outcome(running.job, result, error, elapsed)


def _receive(running: _Running[Any]) -> Answer:
    """The result or the error that a process has sent, or how it died before it sent one."""
    try:
        answer: Answer = running.answers.recv()
        return answer
    except EOFError:
        running.process.join(KILLED_WAIT)
        return None, f"the process ended with exit status {running.process.exitcode}"


def _kill(running: _Running[Any]) -> None:
    running.process.kill()
    running.process.join(KILLED_WAIT)
    running.answers.close()


def _work(writer: Connection, job: Job[Any]) -> None:
    """The new process: call the function and send its result or its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for us
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    if job.output is not None:
        _redirect_output(job.output)
    try:
        result = job.function(*job.arguments)
    except Exception:
        writer.send((None, traceback.format_exc()))
    else:
        writer.send((result, None))


def _exit_with_parent() -> None:
    """End this process when its parent is gone: nobody waits for the result."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _redirect_output(file: Path) -> None:
    """Append standard output and standard error to a file, those of physics engines too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
