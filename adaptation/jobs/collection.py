"""Collecting the experience of an iteration, here or in another process.

With ``CollectionSchedule.overlap``, an iteration is collected while the method learns from the one
before, by a copy with the weights from before that update. Its random numbers depend only on the
run's seed and the iteration, so results are the same in any process. The caller draws the tasks.
"""

from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, cast

import numpy as np
import torch

from adaptation.jobs.processes import start_process
from adaptation.jobs.training_tasks import draw_tasks
from adaptation.random_policy import RandomPolicy, concat_trials
from adaptation.rollout import Policy, rollout
from adaptation.runs import archive, checkpoint
from adaptation.runs.journal import acting_state
from adaptation.runs.run import Run
from adaptation.teacher import Teacher
from policies.method import CollectsOtherwise, Method, Taught, Transition, TrialBatch
from policies.rl.replay import LearnsFromReplay
from policies.settings import Configurable
from robots.errors import PliantError
from robots.world import Task
from sim.task_samplers.uniform import UniformTasks
from sim.vec_world import VecWorld

ACTING = 2  # third number of the seeds that copies of a method act with
FIRST_OVERLAPPING = 2  # the first two iterations are collected in order
Packed = tuple[bytes, bytes]  # a method's state as ``archive.pack`` gives it
Order = tuple[int, Packed, list[Task]]  # the iteration to collect, with what, and in which tasks


def make_world(run: Run, n: int) -> VecWorld:
    """The n worlds that a run trains in, or is judged in while it trains."""
    return VecWorld(run.family, run.config.engine, n, seed=run.config.seed)


def collect(
    world: VecWorld,
    method: Method[Any],
    seed: int,
    iteration: int,
    tasks: list[Task] | None = None,
) -> TrialBatch:
    """The experience of one iteration; the first one also holds the schedule's random trials.

    Args:
        world: to act in.
        method: acts.
        seed: of the run.
        iteration: counts from 0.
        tasks: of the trial, and of each random trial; None: drawn as the family declares them.
    """
    if tasks is None:
        tasks = draw_tasks(UniformTasks(world.family), method, seed, iteration, world.n)
    task, *random_tasks = tasks
    world.rng = np.random.default_rng([seed, iteration, 1])
    episodes = method.schedule.episodes_per_trial
    trial = rollout(world, collecting_policy(method), task, episodes)
    if not random_tasks:
        return trial
    generator = torch.Generator().manual_seed(seed)
    random_policy = RandomPolicy(method.problem.action_dim, generator)
    random_trials = [rollout(world, random_policy, task, episodes) for task in random_tasks]
    return concat_trials([*random_trials, trial])


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

    def __init__(self, run: Run, role: str, config: Configurable) -> None:
        self._seed = run.config.seed
        self._copy = build_copy(run, role, config)
        self._world = make_world(run, self._copy.schedule.meta_batch)
        self._next: Order | None = None

    def begin(self, iteration: int, packed: Packed, tasks: list[Task]) -> None:
        """Set what to collect next, with which weights and in which tasks."""
        self._next = (iteration, packed, tasks)

    def finish(self) -> TrialBatch:
        """Collect what ``begin`` named."""
        if self._next is None:
            raise RuntimeError("begin to collect before finishing")
        iteration, packed, tasks = self._next
        weights, form = packed
        self._copy.load_state_dict(archive.unpack(weights, form))
        sequence = np.random.SeedSequence([self._seed, iteration, ACTING])
        acting_seed = int(sequence.generate_state(1)[0])
        cast(LearnsFromReplay, self._copy).reseed(acting_seed)
        return collect(self._world, self._copy, self._seed, iteration, tasks)

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
        self._connection: Connection | None = None
        self._process: BaseProcess | None = None
        self._has_started = False

    def begin(self, iteration: int, packed: Packed, tasks: list[Task]) -> None:
        """Begin to collect an iteration."""
        if iteration >= FIRST_OVERLAPPING:
            self.start()
        if self.has_started():
            self._send((iteration, packed, tasks))
        elif self._local is not None:
            self._local.begin(iteration, packed, tasks)

    def finish(self) -> TrialBatch:
        """Wait for what ``begin`` named.

        Raises:
            PliantError: the other process ended; its own message is on standard error.
        """
        if self._local is not None:
            return self._local.finish()
        return _unpack_trial(self._receive())

    def start(self) -> None:
        """Start the other process, if it was not before."""
        if self._process is None:
            self._connection, other_end = Pipe()
            self._process = start_process(_serve, *self._arguments, other_end, daemon=True)
            other_end.close()

    def has_started(self, seconds: float | None = 0.0) -> bool:
        """Whether the other process has started, after waiting for at most so long."""
        if not self._has_started and self._connection is not None:
            try:
                self._has_started = self._connection.poll(seconds) and bool(self._connection.recv())
            except EOFError:
                self._connection = None  # it could not start
        return self._has_started

    def _send(self, message: Order) -> None:
        assert self._connection is not None
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._failure() from error
        if self._local is not None:
            self._local.close()
            self._local = None

    def _receive(self) -> Packed:
        assert self._connection is not None
        try:
            received: Packed = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._failure() from error
        return received

    def _failure(self) -> PliantError:
        assert self._process is not None
        self._process.join()
        status = self._process.exitcode
        return PliantError(f"collecting experience failed with exit status {status}")

    def close(self) -> None:
        """Release the worlds and end the other process."""
        if self._local is not None:
            self._local.close()
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.terminate()
            self._process.join()


def _serve(run: Run, role: str, config: Configurable, connection: Connection) -> None:
    """Collect what is asked for until the other end of the connection is closed."""
    torch.set_num_threads(1)
    collector = LocalCollector(run, role, config)
    try:
        connection.send(True)  # it has started
        while True:
            iteration, packed, tasks = connection.recv()
            collector.begin(iteration, packed, tasks)
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
