"""Sources of a training's trials: collected between updates, or in parallel with them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from adaptation.jobs.collection import (
    FIRST_OVERLAPPING,
    LocalCollector,
    Packed,
    ProcessCollector,
    collect_each,
    make_world,
    pack_acting_state,
)
from adaptation.jobs.executor import Executor, ProcessExecutor
from adaptation.jobs.shards import ShardedCollector
from adaptation.jobs.training_tasks import TrainingTasks
from adaptation.random_policy import concat_trials
from adaptation.runs.run import Run
from policies.method import Method, TrialBatch
from robots.world import Task
from sim.task_samplers import TASK_SAMPLERS
from sim.vec_world import VecWorld

# entries of a source's state
SAMPLER = "sampler"  # state of the task sampler
WEIGHTS = "weights"  # packed state that the next trial is collected with: tensors,
FORM = "form"  # and the tree that refers to them


class Collector(Protocol):
    """Collects an iteration with given weights, perhaps in other processes."""

    def begin(self, iteration: int, packed: Packed, tasks: list[Task]) -> None:
        """Begin to collect an iteration, with which weights and in which tasks."""
        ...

    def finish(self) -> TrialBatch:
        """Wait for what ``begin`` named."""
        ...

    def close(self) -> None:
        """Release worlds and processes."""
        ...


@dataclass(frozen=True)
class Helpers:
    """What may collect beside the process that learns."""

    has_second_core: bool = False  # for a process that collects while the method learns
    executor: Executor[Any] | None = None  # of several collectors; None: this machine's processes


class TrialSource(ABC):
    """Where the trial of an iteration comes from."""

    def __init__(self, tasks: TrainingTasks) -> None:
        """``tasks`` are those to collect in."""
        self._tasks = tasks

    @abstractmethod
    def next_trial(self, method: Method[Any], iteration: int) -> TrialBatch:
        """The trial of this iteration; the task sampler has learned from it."""

    @abstractmethod
    def begin_next(self, method: Method[Any], iteration: int) -> None:
        """Announce the next iteration, which may be collected while the method learns."""

    @property
    def log(self) -> dict[str, float]:
        """Numbers of the task sampler, for the log."""
        return self._tasks.sampler.log()

    def state_dict(self) -> dict[str, Any]:
        """State from which the next trial can be collected again, if it was begun."""
        return {SAMPLER: self._tasks.sampler.state_dict()}

    @abstractmethod
    def close(self) -> None:
        """Release worlds and processes."""


class FreshTrials(TrialSource):
    """Every trial is collected by the method itself, with its newest weights."""

    def __init__(self, world: VecWorld, tasks: TrainingTasks, seed: int) -> None:
        super().__init__(tasks)
        self._world = world
        self._seed = seed

    def next_trial(self, method: Method[Any], iteration: int) -> TrialBatch:
        """Collect it now."""
        tasks = self._tasks.draw(iteration)
        trial = concat_trials(collect_each(self._world, method, self._seed, iteration, tasks))
        self._tasks.learn(trial)
        return trial

    def begin_next(self, method: Method[Any], iteration: int) -> None:
        """Nothing is collected before the method has learned."""

    def close(self) -> None:
        """Release the worlds."""
        self._world.close()


class CopiedTrials(TrialSource):
    """Trials are collected by copies of the method.

    With overlap this is done while the method learns from the trial before. The first two are
    collected in order: before the first ``learn`` the weights are random.
    """

    def __init__(
        self,
        collector: Collector,
        tasks: TrainingTasks,
        iteration: int,
        packed: Packed | None,
        overlap: bool = True,
    ) -> None:
        """Start, or collect again an iteration that a kill interrupted.

        Args:
            collector: does the work.
            tasks: to collect in.
            iteration: the next one.
            packed: the weights that it is collected with; None: those that the method has then.
            overlap: whether to collect while the method learns.
        """
        super().__init__(tasks)
        self._overlap = overlap
        self._collector = collector
        self._collected_with: Packed | None = None
        if packed is not None:
            self._begin(iteration, packed)

    def next_trial(self, method: Method[Any], iteration: int) -> TrialBatch:
        """The trial that was begun; where none was, one collected now."""
        if self._collected_with is None:
            self._begin(iteration, pack_acting_state(method))
        self._collected_with = None
        trial = self._collector.finish()
        self._tasks.learn(trial)
        return trial

    def begin_next(self, method: Method[Any], iteration: int) -> None:
        """With overlap, begin to collect with the weights that the method has now."""
        if self._overlap and iteration >= FIRST_OVERLAPPING:
            self._begin(iteration, pack_acting_state(method))

    def _begin(self, iteration: int, packed: Packed) -> None:
        self._collector.begin(iteration, packed, self._tasks.draw(iteration))
        self._collected_with = packed

    def state_dict(self) -> dict[str, Any]:
        """The task sampler's state, and the weights of the iteration that was begun."""
        state = super().state_dict()
        if self._collected_with is not None:
            weights, form = self._collected_with
            state[WEIGHTS] = np.frombuffer(weights, np.uint8)
            state[FORM] = np.frombuffer(form, np.uint8)
        return state

    def close(self) -> None:
        """Release worlds and processes."""
        self._collector.close()


def make_source(
    run: Run,
    role: str,
    method: Method[Any],
    iteration: int,
    state: Mapping[str, Any],
    helpers: Helpers,
) -> TrialSource:
    """The source of a role's trials, as it was when the role's checkpoint was written.

    Args:
        run: what is trained. Its collectors are those of the method; the references, which are
            trained in processes of their own, collect there.
        role: of the run.
        method: of the role.
        iteration: the next one.
        state: ``state_dict`` of the source, among other entries; empty for a new training.
        helpers: what may collect.
    """
    sampler = TASK_SAMPLERS[run.config.task_sampler](run.family)
    if SAMPLER in state:  # not in checkpoints from before there were samplers
        sampler.load_state_dict(state[SAMPLER])
    tasks = TrainingTasks(sampler, method, run.config.seed)
    worlds = method.schedule.meta_batch
    overlap = method.schedule.overlap
    count = run.config.collectors if role == "method" else 1
    if count == 1 and not overlap:
        return FreshTrials(make_world(run, worlds), tasks, run.config.seed)

    if count > 1:
        executor = helpers.executor or ProcessExecutor[Any](count)
        collector: Collector = ShardedCollector(run, role, method.config, worlds, executor)
    elif helpers.has_second_core:
        collector = ProcessCollector(run, role, method.config)
    else:
        collector = LocalCollector(run, role, method.config)
    packed = None
    if WEIGHTS in state:
        packed = (state[WEIGHTS].tobytes(), state[FORM].tobytes())
    return CopiedTrials(collector, tasks, iteration, packed, overlap)
