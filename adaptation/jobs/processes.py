"""Helper processes that share a job's work."""

import multiprocessing
from collections.abc import Callable, Iterable
from multiprocessing.process import BaseProcess
from typing import Any


def start_process(
    target: Callable[..., None], *arguments: Any, daemon: bool = False
) -> BaseProcess:
    """Run a function in a fresh interpreter; a forked one would share threads and engines."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=target, args=arguments, daemon=daemon)
    process.start()
    return process


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
