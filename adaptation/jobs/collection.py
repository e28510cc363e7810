"""Collecting the experience of an iteration, here or in another process.

With ``CollectionSchedule.overlap``, an iteration is collected while the method learns from the one
before, by a copy with the weights from before that update. Random numbers depend only on the run's
seed, the iteration and, where ``shards`` divides the worlds, on the shard, so results are the same
in any process. The caller draws the tasks.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from adaptation.jobs.workers import LostWorkerError, ProcessWorker
from adaptation.random_policy import RandomPolicy, concat_trials
from adaptation.rollout import Policy, rollout
from adaptation.runs import archive, checkpoint
from adaptation.runs.journal import acting_state
from adaptation.runs.run import Run
from adaptation.teacher import Teacher
from policies.method import CollectsOtherwise, Method, Taught, Transition, TrialBatch
from policies.nn.state import SavedState
from policies.rl.replay import LearnsFromReplay
from policies.settings import Configurable
from robots.errors import PliantError
from robots.world import Task
from sim.vec_world import VecWorld

# third number of seeds, after the run's seed and the iteration; a shard's number is the fourth
WORLDS = 1  # of starts and disturbances
ACTING = 2  # that copies of a method act with
RANDOM_ACTIONS = 3  # of random trials on several shards
FIRST_OVERLAPPING = 2  # the first two iterations are collected in order
RESEEDED = (LearnsFromReplay, SavedState)  # methods of which copies draw their own random numbers
Packed = tuple[bytes, bytes]  # a method's state as ``archive.pack`` gives it
# iteration, packed state of the method, tasks -> packed trials
CollectPacked = Callable[[int, Packed, Sequence[Task]], Packed]
Order = tuple[int, Packed, list[Task]]  # the iteration to collect, with what, and in which tasks


def make_world(run: Run, n: int) -> VecWorld:
    """The n worlds that a run trains in, or is judged in while it trains."""
    return VecWorld(run.family, run.config.engine, n, seed=run.config.seed)


def collect_each(
    world: VecWorld,
    method: Method[Any],
    seed: int,
    iteration: int,
    tasks: Sequence[Task],
    shard: tuple[int, ...] = (),
) -> list[TrialBatch]:
    """The random trials of an iteration, if it has some, and then its trial.

    Args:
        world: to act in.
        method: acts.
        seed: of the run.
        iteration: counts from 0.
        tasks: of the trial, and of each random trial.
        shard: the number of the shard, where the iteration's worlds are divided into several.
    """
    task, *random_tasks = tasks
    world.rng = np.random.default_rng([seed, iteration, WORLDS, *shard])
    episodes = method.schedule.episodes_per_trial
    trial = rollout(world, collecting_policy(method), task, episodes)
    if not random_tasks:
        return [trial]

    random_seed = seed
    if shard:
        random_seed = _draw_seed(seed, iteration, RANDOM_ACTIONS, *shard)
    generator = torch.Generator().manual_seed(random_seed)
    random_policy = RandomPolicy(method.problem.action_dim, generator)
    random_trials = [rollout(world, random_policy, task, episodes) for task in random_tasks]
    return [*random_trials, trial]


def _draw_seed(*key: int) -> int:
    """A seed for torch, drawn from several numbers."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def collecting_policy(method: Method[Any]) -> Policy[Any]:
    """The policy of the next training trial: the method, its teacher, or what it collects with."""
    if isinstance(method, Taught) and method.is_taught:
        return Teacher(method)
    if isinstance(method, CollectsOtherwise):
        collector: Policy[Any] = method.collector
        return collector
    return method


def pack_acting_state(method: Method[Any]) -> Packed:
    """What a copy of the method needs to act and to adapt as it does now."""
    return archive.pack(acting_state(method))


def build_copy(run: Run, role: str, config: Configurable) -> Method[Any]:
    """A method of a role that has learned nothing, to load a packed state into."""
    return checkpoint.build(run.method_name(role), run.family, run.config.seed, config)


class LocalCollector:
    """Collects in this process, with a copy of the method."""

    def __init__(
        self,
        run: Run,
        role: str,
        config: Configurable,
        worlds: int | None = None,
        shard: tuple[int, ...] = (),
    ) -> None:
        """Make the worlds and the copy.

        Args:
            run: what is trained.
            role: of the run.
            config: of the role's method.
            worlds: to act in; None: all of an iteration.
            shard: see ``collect_each``.
        """
        self._seed = run.config.seed
        self._shard = shard
        self._copy = build_copy(run, role, config)
        self._world = make_world(run, worlds or self._copy.schedule.meta_batch)
        self._next: Order | None = None

    def begin(self, iteration: int, packed: Packed, tasks: list[Task]) -> None:
        """Set what to collect next, with which weights and in which tasks."""
        self._next = (iteration, packed, tasks)

    def finish(self) -> TrialBatch:
        """Collect what ``begin`` named."""
        if self._next is None:
            raise RuntimeError("begin to collect before finishing")
        return concat_trials(self.collect_each(*self._next))

    def collect_each(
        self, iteration: int, packed: Packed, tasks: Sequence[Task]
    ) -> list[TrialBatch]:
        """Collect the random trials of an iteration, if it has some, and its trial."""
        weights, form = packed
        copy = self._copy
        copy.load_state_dict(archive.unpack(weights, form))
        assert isinstance(copy, RESEEDED), "checked with the run's config"
        copy.reseed(_draw_seed(self._seed, iteration, ACTING, *self._shard))
        return collect_each(self._world, copy, self._seed, iteration, tasks, self._shard)

    def close(self) -> None:
        """Release the worlds."""
        self._world.close()


class ProcessCollector:
    """Collects in another process, and in this one until the other has started.

    The other process is started with the first iteration that is collected while the method learns.
    One that cannot start, as in a script without ``if __name__ == "__main__":``, is done without.
    """

    def __init__(self, run: Run, role: str, config: Configurable) -> None:
        self._arguments = (run, role, config)
        self._local: LocalCollector | None = LocalCollector(run, role, config)
        self._worker: ProcessWorker[Packed] | None = None
        self._has_failed = False  # to start

    def begin(self, iteration: int, packed: Packed, tasks: list[Task]) -> None:
        """Begin to collect an iteration."""
        if iteration >= FIRST_OVERLAPPING:
            self.start()
        if self._worker is not None and self.has_started():
            self._worker.send(iteration, packed, tasks)
            self._close_local()
        elif self._local is not None:
            self._local.begin(iteration, packed, tasks)

    def finish(self) -> TrialBatch:
        """Wait for what ``begin`` named.

        Raises:
            PliantError: the other process ended, or its own message.
        """
        if self._local is not None:
            return self._local.finish()
        assert self._worker is not None
        try:
            return concat_trials(unpack_trials(self._worker.receive()))
        except LostWorkerError as lost:
            raise PliantError(f"collecting experience failed: {lost}") from lost

    def start(self) -> None:
        """Start the other process, if it was not before."""
        if self._worker is None:
            self._worker = ProcessWorker(build_shard, self._arguments, threads=None)

    def has_started(self, seconds: float | None = 0.0) -> bool:
        """Whether the other process has started, after waiting for at most so long."""
        if self._worker is None or self._has_failed:
            return False
        try:
            return self._worker.is_ready(seconds)
        except LostWorkerError:
            self._has_failed = True
            return False

    def close(self) -> None:
        """Release the worlds and end the other process."""
        self._close_local()
        if self._worker is not None:
            self._worker.close()

    def _close_local(self) -> None:
        if self._local is not None:
            self._local.close()
            self._local = None


def build_shard(
    run: Run,
    role: str,
    config: Configurable,
    worlds: int | None = None,
    shard: tuple[int, ...] = (),
) -> CollectPacked:
    """The function of a worker that collects; see ``LocalCollector``."""
    collector = LocalCollector(run, role, config, worlds, shard)

    def collect_packed(iteration: int, packed: Packed, tasks: Sequence[Task]) -> Packed:
        trials = collector.collect_each(iteration, packed, tasks)
        return archive.pack([{**vars(trial), "ticks": vars(trial.ticks)} for trial in trials])

    return collect_packed


def unpack_trials(packed: Packed) -> list[TrialBatch]:
    """The trials that a worker has collected."""
    weights, form = packed
    trials = []
    for parts in archive.unpack(weights, form):
        ticks = Transition(**parts.pop("ticks"))
        trials.append(TrialBatch(ticks=ticks, **parts))
    return trials
