"""Workers: processes that keep an object and call it again and again, such as simulated worlds.

A ``Job`` of an executor is one call in a fresh process. A worker builds a function once, which may
take seconds, and is then asked for many calls.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Generic, Protocol, TypeVar, cast

from adaptation.jobs.processes import single_threaded, start_process
from robots.errors import PliantError
from sim.engines import PHYSICS_THREADS

A = TypeVar("A")  # what a worker answers
B = TypeVar("B", covariant=True)
Function = Callable[..., A]
Answer = tuple[Any, str | None]  # the result, or the traceback of an error
Build = Callable[..., Function[A]]  # of a module, not a closure: another process imports it


class LostWorkerError(PliantError):
    """The process of a worker, or its machine, is gone; another worker may repeat the call."""


class Worker(Protocol[B]):
    """A process that was told to build a function, and calls it."""

    def send(self, *arguments: object) -> None:
        """Begin a call. One call at a time: ``receive`` its result before the next one."""
        ...

    def receive(self) -> B:
        """Wait for the result of the call.

        Raises:
            LostWorkerError: the process is gone.
            PliantError: the function, or building it, raised an error; its traceback is printed.
        """
        ...

    def close(self) -> None:
        """End the process."""
        ...


class ProcessWorker(Generic[A]):
    """A worker in a process on this machine."""

    def __init__(self, build: Build[A], arguments: tuple[object, ...], threads: int | None) -> None:
        """Start the process; this does not wait for it.

        Args:
            build: called once, in the process; returns the function to call.
            arguments: of ``build``.
            threads: of the physics; None: as many as there are cores.
        """
        self._connection, other_end = Pipe()
        with single_threaded():
            self._process = start_process(_serve, build, arguments, threads, other_end, daemon=True)
        other_end.close()
        self._is_ready = False

    def is_ready(self, seconds: float | None = 0.0) -> bool:
        """Whether the function is built, after waiting for at most so long; None: without limit.

        Raises:
            LostWorkerError, PliantError: see ``Worker.receive``.
        """
        if not self._is_ready and self._poll(seconds):
            self._take()
            self._is_ready = True
        return self._is_ready

    def send(self, *arguments: object) -> None:
        """Begin a call."""
        with suppress(OSError):  # the process is gone, which ``receive`` reports
            self._connection.send(arguments)

    def receive(self) -> A:
        """Wait for the result of the call."""
        self.is_ready(None)
        return cast(A, self._take())

    def _poll(self, seconds: float | None) -> bool:
        try:
            return self._connection.poll(seconds)
        except OSError:
            return True  # the process is gone, which ``_take`` reports

    def _take(self) -> object:
        """What the process has sent."""
        try:
            answer: Answer = self._connection.recv()
        except (EOFError, OSError) as gone:
            self._process.join()
            status = self._process.exitcode
            raise LostWorkerError(f"its process ended with exit status {status}") from gone
        result, error = answer
        if error is not None:
            raise error_from(error)
        return result

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.terminate()
        self._process.join()


def _serve(
    build: Build[Any], arguments: tuple[object, ...], threads: int | None, connection: Connection
) -> None:
    """The new process: answer calls until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for us
    with suppress(EOFError, OSError):
        function, error = _attempt(build_function, build, arguments, threads)
        connection.send((None, error))
        while error is None:
            received = connection.recv()
            result, error = _attempt(function, *received)
            connection.send((result, error))


def _attempt(function: Function[Any], *arguments: object) -> Answer:
    """What a function returns, or the traceback of what it raises."""
    try:
        return function(*arguments), None
    except Exception:
        return None, traceback.format_exc()


def error_from(trace: str) -> PliantError:
    """The error of a worker, in one line; its traceback is printed, as where it was raised."""
    print(trace, file=sys.stderr)
    *_, last = trace.strip().splitlines()
    return PliantError(f"a worker failed: {last}")


def build_function(
    build: Build[A], arguments: tuple[object, ...], threads: int | None
) -> Function[A]:
    """Build a worker's function, with one thread for networks and so many for the physics."""
    import torch

    torch.set_num_threads(1)
    if threads is not None:
        os.environ[PHYSICS_THREADS] = str(threads)
    return build(*arguments)
