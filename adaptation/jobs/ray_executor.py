"""An executor on a Ray cluster: jobs run on its machines, which share no disk with this one.

This process, the driver, sends a job with a copy of its folder. On the machine that gets it, a Ray
task runs it as ``ProcessExecutor`` does, in a fresh interpreter with one thread, and returns the
folder as bytes. The driver writes it before it sends the next job.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from math import inf
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Generic, NamedTuple, Self, TypeVar

from adaptation.jobs.executor import Job, Outcome, ProcessExecutor
from adaptation.jobs.locked_folder import locked_folder
from adaptation.jobs.packed_folder import pack_folder, replace_folder, unpack_folder
from adaptation.jobs.ray_access import check_ray, ray_environment
from adaptation.jobs.ray_cluster import (
    CORE_SECONDS,
    RayCluster,
    RayWorker,
    Reference,
    extend_search_path,
)
from adaptation.jobs.workers import Build, Worker
from robots.errors import DamagedError, PliantError

CHECK_INTERVAL = 1.0  # s between two looks at how many cores the cluster has
MOST_LOSSES = 3  # nodes or workers that may be lost with a job before it has failed
PRINTED = "output.txt"

R = TypeVar("R")  # result type of a job
A = TypeVar("A")  # what a worker answers


class Answer(NamedTuple):
    """What comes back from a task."""

    result: Any
    error: str | None
    seconds: float  # wall time of the job
    folder: bytes | None  # packed
    printed: bytes


@dataclass
class _Sent(Generic[R]):
    """A job that waits or runs."""

    job: Job[R]
    losses: int = 0  # how often a node or a worker was lost with it


class RayExecutor(Generic[R]):
    """Runs jobs on the cores of a Ray cluster; a context manager that ends them.

    A job that is lost with its machine is sent again, and begins anew. One that crashes, hangs
    beyond its time limit or is killed is an outcome like any other.

    Attributes:
        sent_bytes: of folders that went to tasks.
        received_bytes: of folders that came back.
    """

    is_remote = True

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        """Start a cluster on this machine's loopback, or join one.

        Args:
            workers: jobs that run at once, at most; None: as many as the cluster has cores.
            address: HOST:PORT of a cluster that this machine is part of; None: our own cluster.

        Raises:
            BadArgumentError, MissingExtraError, RefusedError: see ``ray_access``.
            PliantError: the cluster cannot be reached.
        """
        self.check(address)
        self._cluster = RayCluster(workers, address)
        self._ray = self._cluster.ray
        self._workers = workers
        self._waiting: list[_Sent[R]] = []
        self._running: dict[Reference, _Sent[R]] = {}
        # ``max_retries``: lost tasks are sent again here, where that is counted.
        self._task = self._ray.remote(num_cpus=1, max_retries=0)(compute)
        self._without_cores_since: float | None = None  # s, as ``monotonic`` counts
        self.sent_bytes = 0
        self.received_bytes = 0

    @staticmethod
    def check(address: str | None) -> None:
        """Refuse an address without a token, or to go on without Ray, which is not imported.

        Raises:
            BadArgumentError, MissingExtraError, RefusedError: see ``ray_access``.
        """
        ray_environment(address, os.environ)
        check_ray()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def running(self) -> list[str]:
        """The names of the jobs that run now."""
        return [sent.job.name for sent in self._running.values()]

    def submit(self, job: Job[R]) -> None:
        """Queue a job."""
        self._waiting.append(_Sent(job))

    def completed(self, seconds: float = inf) -> Iterator[Outcome[R]]:
        """Outcomes as they come, until no job is left or the time is over.

        Raises:
            PliantError: the cluster has had no core for ``CORE_SECONDS``.
        """
        deadline = monotonic() + seconds
        while self._waiting or self._running:
            self._send()
            patience = max(0.0, min(deadline - monotonic(), CHECK_INTERVAL))
            for reference in self._wait(patience):
                outcome = self._take(reference)
                if outcome is not None:
                    yield outcome
            if monotonic() >= deadline:
                return

    def _send(self) -> None:
        """Give every free core a job."""
        cores = self._cluster.cores()
        self._check_cores(cores)
        most = min(cores, self._workers or cores)
        while self._waiting and len(self._running) < most:
            sent = self._waiting.pop(0)
            packed = None if sent.job.folder is None else pack_folder(sent.job.folder)
            self.sent_bytes += len(packed or b"")
            job = self._ray.put(sent.job)
            reference = self._task.remote(sys.path, [job], packed)
            self._running[reference] = sent

    def _check_cores(self, cores: int) -> None:
        """Wait for a cluster that has lost all its cores, but not for ever."""
        if cores > 0:
            self._without_cores_since = None
            return
        now = monotonic()
        if self._without_cores_since is None:
            self._without_cores_since = now
        if now - self._without_cores_since >= CORE_SECONDS:
            raise PliantError(
                f"the Ray cluster has had no core for {CORE_SECONDS:.0f} s: start its nodes, and "
                "run the same command again to continue"
            )

    def _wait(self, seconds: float) -> list[Reference]:
        """The tasks that have ended, at the latest after so many seconds."""
        if not self._running:  # the cluster has no core now; Ray does not wait for nothing
            sleep(seconds)
            return []
        ended, _ = self._ray.wait(list(self._running), timeout=seconds)
        return list(ended)

    def _take(self, reference: Reference) -> Outcome[R] | None:
        """How a job ended, its folder written; None if it was lost and waits again."""
        sent = self._running.pop(reference)
        errors = self._ray.exceptions
        try:
            answer: Answer = self._ray.get(reference)
        except errors.RayTaskError as error:  # of the task itself, as where the disk is full
            return Outcome(sent.job, None, str(error), 0.0)
        except errors.RayError as error:  # the machine, or the task's process, is gone
            sent.losses += 1
            if sent.losses < MOST_LOSSES:
                print(f"ray: lost with its machine, sent again: {sent.job.name}", file=sys.stderr)
                self._waiting.insert(0, sent)
                return None
            return Outcome(sent.job, None, f"lost {sent.losses} times: {error}", 0.0)
        try:
            self._keep(sent.job, answer)
        except (OSError, DamagedError) as error:  # as where the disk is full
            return Outcome(sent.job, None, f"its folder was not written: {error}", answer.seconds)
        return Outcome(sent.job, answer.result, answer.error, answer.seconds)

    def _keep(self, job: Job[R], answer: Answer) -> None:
        """Write what a job has left behind."""
        if job.folder is not None and answer.folder is not None:
            self.received_bytes += len(answer.folder)
            replace_folder(answer.folder, job.folder)
        if job.output is not None:
            job.output.parent.mkdir(parents=True, exist_ok=True)
            with open(job.output, "ab") as file:
                file.write(answer.printed)

    def start_worker(self, build: Build[A], *arguments: object) -> Worker[A]:
        """Start a process on a core of the cluster."""
        return RayWorker(self._cluster, build, arguments)

    def share(self, value: object) -> object:
        """A reference: the value goes to every machine once."""
        return self._ray.put(value)

    def close(self) -> None:
        """End the running jobs, drop the queued ones, and leave or end the cluster."""
        self._waiting.clear()
        try:
            for reference in self._running:
                self._ray.cancel(reference, force=True)
        finally:
            self._running.clear()
            self._cluster.close()


def compute(search_path: list[str], jobs: list[Reference], packed: bytes | None) -> Answer:
    """The Ray task: run a job in a process of its own, with a copy of its folder.

    Args:
        search_path: of the driver, which has the modules of a user's own methods and families.
        jobs: one, in a list, in which Ray leaves it until the modules that it needs can be found.
        packed: its folder.
    """
    extend_search_path(search_path)
    job: Job[Any] = import_module("ray").get(jobs[0])
    with locked_folder() as place:
        here = _moved(job, packed, place)
        with ProcessExecutor[Any](1) as executor:
            executor.submit(here)
            (outcome,) = executor.completed()
        folder = None if here.folder is None else pack_folder(here.folder)
        printed = b""
        if here.output is not None and here.output.exists():
            printed = here.output.read_bytes()
    return Answer(outcome.result, outcome.error, outcome.seconds, folder, printed)


def _moved(job: Job[Any], packed: bytes | None, place: Path) -> Job[Any]:
    """The job with a folder and an output of this machine in the place of its own."""
    moved = job
    if job.output is not None:
        moved = replace(moved, output=place / PRINTED)
    if job.folder is not None and packed is not None:
        folder = place / "folder" / job.folder.name
        unpack_folder(packed, folder)
        arguments = [folder if given == job.folder else given for given in job.arguments]
        moved = replace(moved, folder=folder, arguments=tuple(arguments))
    return moved
