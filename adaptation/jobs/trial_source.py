"""Where the trials of a training come from: collected in turn with learning, or beside it."""

from typing import Any, Protocol

from adaptation.jobs.collection import (
    FIRST_OVERLAPPING,
    LocalCollector,
    Packed,
    ProcessCollector,
    collect,
    pack_acting_state,
)
from policies.method import Method, TrialBatch
from sim.vec_world import VecWorld


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
        if iteration >= FIRST_OVERLAPPING:
            self._begin(iteration, pack_acting_state(method))

    def _begin(self, iteration: int, packed: Packed) -> None:
        self._collector.begin(iteration, packed)
        self.collected_with = packed

    def close(self) -> None:
        """Release worlds and processes."""
        self._collector.close()
