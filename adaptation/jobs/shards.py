"""Collecting an iteration on several processes or machines, each with a shard of its worlds.

Every shard has a worker, which keeps the shard's worlds and a copy of the method. For an iteration
it gets the tensors that act and the shard's tasks, and returns the shard's trials. Their random
numbers come from the run's seed, the iteration and the shard's number. The result is therefore the
same in any process, at any time, and when a lost worker's shard is collected again by another one.
It is not that of another number of shards, which draws other random numbers.
"""

import sys
from itertools import pairwise
from platform import node
from typing import Any

from adaptation.jobs.collection import CollectPacked, Packed, build_shard, unpack_trials
from adaptation.jobs.executor import Executor
from adaptation.jobs.fingerprint import fingerprint
from adaptation.jobs.workers import LostWorkerError, Worker
from adaptation.random_policy import concat_trials
from adaptation.runs.run import Run
from policies.method import TrialBatch
from policies.settings import Configurable
from robots.errors import PliantError
from robots.world import Task

MOST_LOSSES = 3  # workers that may be lost with one shard of one iteration


class ShardedCollector:
    """Collects on ``run.config.collectors`` workers."""

    def __init__(
        self, run: Run, role: str, config: Configurable, worlds: int, executor: Executor[Any]
    ) -> None:
        """Start the workers.

        Args:
            run: what is trained.
            role: of the run.
            config: of the role's method.
            worlds: of an iteration; they are divided evenly, and the first shards get the rest.
            executor: starts the workers.
        """
        self._executor = executor
        count = run.config.collectors
        digest = fingerprint(run.config).digest if executor.is_remote else None
        bounds = [number * worlds // count for number in range(count + 1)]
        self._shards = []
        for number, (start, stop) in enumerate(pairwise(bounds)):
            arguments = (digest, run, role, config, stop - start, (number,))
            self._shards.append(_Shard(executor, arguments, slice(start, stop), number))

    def begin(self, iteration: int, packed: Packed, tasks: list[Task]) -> None:
        """Begin to collect an iteration on all workers."""
        shared = self._executor.share(packed)
        for shard in self._shards:
            shard.begin(iteration, shared, tasks)

    def finish(self) -> TrialBatch:
        """Wait for what ``begin`` named; the worlds are in their order.

        Raises:
            PliantError: collecting failed, or one shard's workers were lost too often.
        """
        parts = [shard.finish() for shard in self._shards]
        trials = [concat_trials(same_trial) for same_trial in zip(*parts, strict=True)]
        return concat_trials(trials)

    def close(self) -> None:
        """End the workers."""
        for shard in self._shards:
            shard.close()


class _Shard:
    """Some of the worlds, and the worker that acts in them."""

    def __init__(
        self, executor: Executor[Any], arguments: tuple[Any, ...], rows: slice, number: int
    ) -> None:
        """Start a worker; ``rows`` are the shard's worlds among all of an iteration."""
        self._executor = executor
        self._arguments = arguments
        self._rows = rows
        self._number = number
        self._worker = self._start()

    def _start(self) -> Worker[Packed]:
        return self._executor.start_worker(build_checked, *self._arguments)

    def begin(self, iteration: int, shared: object, tasks: list[Task]) -> None:
        """Begin to collect an iteration; ``shared`` are its weights."""
        own_tasks = [task.take(self._rows) for task in tasks]
        self._order = (iteration, shared, own_tasks)
        self._worker.send(*self._order)

    def finish(self) -> list[TrialBatch]:
        """Wait for the trials; a lost worker is replaced, and the new one collects them again."""
        losses = 0
        while True:
            try:
                return unpack_trials(self._worker.receive())
            except LostWorkerError as lost:
                losses += 1
                if losses == MOST_LOSSES:
                    raise PliantError(f"{self._name} was lost {losses} times: {lost}") from lost
                print(f"pliant: {self._name} is started again: {lost}", file=sys.stderr)
            self._worker.close()
            self._worker = self._start()
            self._worker.send(*self._order)

    @property
    def _name(self) -> str:
        return f"collector {self._number}"

    def close(self) -> None:
        """End the worker."""
        self._worker.close()


def build_checked(digest: str | None, run: Run, *arguments: Any) -> CollectPacked:
    """The function of a shard's worker; see ``build_shard``.

    Args:
        digest: of the training's fingerprint on the machine that learns; None: it is this one.
        run: what is trained.
        arguments: further ones of ``build_shard``.

    Raises:
        PliantError: this machine has other code or versions, so that it would give other bits.
    """
    if digest is not None:
        own = fingerprint(run.config).digest
        if own != digest:
            raise PliantError(
                f"{node()} has other code or versions: the training is {own} there, not {digest}"
            )
    return build_shard(run, *arguments)
