"""Helper processes that share a job's work."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

# Libraries that would otherwise start a thread per core in every process.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def start_process(
    target: Callable[..., None], *arguments: Any, daemon: bool = False
) -> BaseProcess:
    """Run a function in a fresh interpreter; a forked one would share threads and engines."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=target, args=arguments, daemon=daemon)
    process.start()
    return process


@contextmanager
def single_threaded() -> Iterator[None]:
    """Limit processes that are started in this context to one thread each.

    The variables are read when a library is imported, so the new process must find them set.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def stop_processes(processes: Iterable[BaseProcess]) -> None:
    """End processes and wait until they are gone; skip those that have ended already."""
    started = list(processes)
    for process in started:
        process.terminate()
    for process in started:
        process.join()


def parent_exited() -> bool:
    """Whether the process that started this one is gone, so that its result is of no use."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()
