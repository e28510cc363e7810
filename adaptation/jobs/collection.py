"""Collecting the experience of an iteration, here or in another process.

With ``CollectionSchedule.overlap``, an iteration is collected while the one before is learned, by a
copy of the method with the weights from before that: one iteration older than they could be. Its
random numbers follow from the run's seed and the iteration. Where it is collected changes nothing.
"""

from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Protocol, cast

import numpy as np
import torch

from adaptation.jobs.processes import start_process
from adaptation.random_policy import RandomPolicy, concat_trials
from adaptation.rollout import rollout
from adaptation.runs import archive, checkpoint
from adaptation.runs.run import Run
from policies.method import Method, Transition, TrialBatch
from policies.rl.replay import LearnsFromReplay
from policies.settings import Configurable
from robots.errors import PliantError
from robots.world import Family, Task
from sim.vec_world import VecWorld

ACTING = 2  # third number of the seeds that copies of a method act with
Packed = tuple[bytes, bytes]  # a method's state as ``archive.pack`` gives it


def make_world(run: Run, n: int) -> VecWorld:
    """The n worlds that a run trains in, or is judged in while it trains."""
    return VecWorld(run.family, run.config.engine, n, seed=run.config.seed)


def collect(world: VecWorld, method: Method[Any], seed: int, iteration: int) -> TrialBatch:
    """The experience of one iteration; the first one also holds the schedule's random trials."""
    rng = np.random.default_rng([seed, iteration])
    world.rng = np.random.default_rng([seed, iteration, 1])
    schedule = method.schedule
    family = world.family
    episodes = schedule.episodes_per_trial
    task = sample_training_tasks(family, method, rng, world.n)
    trial = rollout(world, method, task, episodes)
    if iteration > 0 or schedule.random_trials == 0:
        return trial
    generator = torch.Generator().manual_seed(seed)
    random_policy = RandomPolicy(method.problem.action_dim, generator)
    random_trials = []
    for _ in range(schedule.random_trials):
        task = sample_training_tasks(family, method, rng, world.n)
        random_trials.append(rollout(world, random_policy, task, episodes))
    return concat_trials([*random_trials, trial])


def sample_training_tasks(
    family: Family, method: Method[Any], rng: np.random.Generator, n: int
) -> Task:
    """Tasks to learn from: those of the training split.

    A privileged method is a reference that must know every task: half of its tasks are held out.
    """
    train_tasks = family.sample(rng, n)
    if not method.privileged:
        return train_tasks
    heldout_tasks = family.sample(rng, n, "heldout")
    is_odd = np.arange(n) % 2 == 1
    values = np.where(is_odd[:, None], heldout_tasks.values, train_tasks.values)
    return replace(train_tasks, values=values)


def pack_acting_state(method: Method[Any]) -> Packed:
    """What a copy of the method needs to act and to adapt as it does now."""
    return archive.pack(checkpoint.acting_state(method))


def build_copy(run: Run, role: str, config: Configurable) -> Method[Any]:
    """A method of a role that has learned nothing, to load a packed state into."""
    return checkpoint.build(run.method_name(role), run.family, run.config.seed, config)


class LocalCollector:
    """Collects in this process, with a copy of the method."""

    def __init__(self, run: Run, role: str, config: Configurable) -> None:
        self._seed = run.config.seed
        self._copy = build_copy(run, role, config)
        self._world = make_world(run, self._copy.schedule.meta_batch)
        self._next: tuple[int, Packed] | None = None

    def begin(self, iteration: int, packed: Packed) -> None:
        """Say what to collect next."""
        self._next = (iteration, packed)

    def finish(self) -> TrialBatch:
        """Collect what ``begin`` named."""
        if self._next is None:
            raise RuntimeError("begin to collect before finishing")
        iteration, packed = self._next
        weights, form = packed
        self._copy.load_state_dict(archive.unpack(weights, form))
        sequence = np.random.SeedSequence([self._seed, iteration, ACTING])
        acting_seed = int(sequence.generate_state(1)[0])
        cast(LearnsFromReplay, self._copy).reseed(acting_seed)
        return collect(self._world, self._copy, self._seed, iteration)

    def close(self) -> None:
        """Release the worlds."""
        self._world.close()


class ProcessCollector:
    """Collects in another process; in this one until the other has started."""

    def __init__(self, run: Run, role: str, config: Configurable) -> None:
        self._local: LocalCollector | None = LocalCollector(run, role, config)
        self._connection, other_end = Pipe()
        self._process = start_process(_serve, run, role, config, other_end, daemon=True)
        other_end.close()
        self._is_ready = False
        self._is_remote = False  # whether the iteration that was begun is collected there

    def wait_until_started(self, seconds: float | None = None) -> bool:
        """Wait for the other process for so long; None: until it has started.

        Returns:
            Whether it has started.
        """
        if not self._is_ready and self._connection.poll(seconds):
            self._receive()  # its first message
            self._is_ready = True
        return self._is_ready

    def begin(self, iteration: int, packed: Packed) -> None:
        """Begin to collect an iteration."""
        self.wait_until_started(0.0)
        self._is_remote = self._is_ready
        if self._is_remote:
            self._connection.send((iteration, packed))
            self._close_local()
        elif self._local is not None:
            self._local.begin(iteration, packed)

    def finish(self) -> TrialBatch:
        """Wait for what ``begin`` named.

        Raises:
            PliantError: the other process ended; its own message is on standard error.
        """
        if self._local is not None and not self._is_remote:
            return self._local.finish()
        return _unpack_trial(self._receive())

    def _receive(self) -> Packed:
        try:
            received: Packed = self._connection.recv()
            return received
        except EOFError as error:
            self._process.join()
            status = self._process.exitcode
            raise PliantError(f"collecting experience failed with exit status {status}") from error

    def _close_local(self) -> None:
        if self._local is not None:
            self._local.close()
            self._local = None

    def close(self) -> None:
        """End the other process."""
        self._close_local()
        self._connection.close()
        self._process.terminate()
        self._process.join()


def _serve(run: Run, role: str, config: Configurable, connection: Connection) -> None:
    """Collect what is asked for until the other end of the connection is closed."""
    torch.set_num_threads(1)
    collector = LocalCollector(run, role, config)
    try:
        connection.send((b"", b""))  # it has started
        while True:
            iteration, packed = connection.recv()
            collector.begin(iteration, packed)
            trial = collector.finish()
            connection.send(_pack_trial(trial))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        collector.close()


def _pack_trial(trial: TrialBatch) -> Packed:
    return archive.pack({**vars(trial), "ticks": vars(trial.ticks)})


def _unpack_trial(packed: Packed) -> TrialBatch:
    weights, form = packed
    parts = archive.unpack(weights, form)
    ticks = Transition(**parts.pop("ticks"))
    return TrialBatch(ticks=ticks, **parts)


class TrialSource(Protocol):
    """Where the trial of an iteration comes from."""

    def next_trial(self, method: Method[Any], iteration: int) -> TrialBatch:
        """The trial of this iteration."""
        ...

    def begin_next(self, method: Method[Any], iteration: int) -> None:
        """This iteration follows: it may be collected while the method learns."""
        ...

    @property
    def collected_with(self) -> Packed | None:
        """The weights of the iteration that was begun; None if none was."""
        ...

    def close(self) -> None:
        """Release worlds and processes."""
        ...


class FreshTrials:
    """Every trial is collected by the method itself, as it is after the last ``learn``."""

    collected_with = None

    def __init__(self, world: VecWorld, seed: int) -> None:
        self._world = world
        self._seed = seed

    def next_trial(self, method: Method[Any], iteration: int) -> TrialBatch:
        """Collect it now."""
        return collect(self._world, method, self._seed, iteration)

    def begin_next(self, method: Method[Any], iteration: int) -> None:
        """Nothing is collected before the method has learned."""

    def close(self) -> None:
        """Release the worlds."""
        self._world.close()


class OverlappingTrials:
    """Trials are collected while the method learns from those before.

    The first two are collected in order: before the first ``learn`` the weights are random.
    """

    def __init__(
        self, collector: LocalCollector | ProcessCollector, iteration: int, packed: Packed | None
    ) -> None:
        """Begin anew, or collect an iteration again that a kill interrupted.

        Args:
            collector: does the work.
            iteration: the next one.
            packed: the weights that it is collected with; None: those that the method has then.
        """
        self._collector = collector
        self.collected_with: Packed | None = None
        if packed is not None:
            self._begin(iteration, packed)

    def next_trial(self, method: Method[Any], iteration: int) -> TrialBatch:
        """The trial that was begun; where none was, one collected now."""
        if self.collected_with is None:
            self._begin(iteration, pack_acting_state(method))
        self.collected_with = None
        return self._collector.finish()

    def begin_next(self, method: Method[Any], iteration: int) -> None:
        """Begin to collect with the weights that the method has now."""
        if iteration > 1:
            self._begin(iteration, pack_acting_state(method))

    def _begin(self, iteration: int, packed: Packed) -> None:
        self._collector.begin(iteration, packed)
        self.collected_with = packed

    def close(self) -> None:
        """Release worlds and processes."""
        self._collector.close()
