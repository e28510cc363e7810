"""The budget of a training, which all its roles (method, blind, oracle) get."""

import multiprocessing
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import msgspec

from adaptation.runs.run_config import RunConfig
from policies.method import CollectionSchedule


class TrainerState(msgspec.Struct, frozen=True):
    """What training resumes from, apart from the method's own state; saved in the checkpoint."""

    iteration: int = 0
    steps: int = 0  # environment steps
    gradient_steps: int = 0
    seconds: float = 0.0  # wall time, with that of evaluations
    # CPU time of collecting and learning in this process; a ``ProcessCollector`` has its own
    cpu_seconds: float = 0.0
    log_bytes: int = 0  # size of the log when the checkpoint was written
    heldout_bytes: int = 0  # size of the log of evaluations
    evaluations_passed: int = 0  # evaluations that were due so far, made or left out
    evaluated: int = 0  # iteration of the last evaluation
    evaluation_seconds: float = 0.0  # spent on evaluations
    undone_in_row: int = 0  # updates that were undone since the last one that was kept


@dataclass(frozen=True)
class Budget:
    """When a training ends: when the first bound is reached, but after at least one iteration."""

    iterations: float = inf
    steps: float = inf
    gradient_steps: float = inf
    seconds: float = inf

    @classmethod
    def of(cls, config: RunConfig, schedule: CollectionSchedule, minutes: float | None) -> "Budget":
        """The bounds of one role; without any, the iterations of the method's own schedule."""
        bounds = {
            "iterations": config.iterations,
            "steps": config.steps,
            "gradient_steps": config.gradient_steps,
            "seconds": None if minutes is None else 60 * minutes,
        }
        given = {name: bound for name, bound in bounds.items() if bound is not None}
        return cls(**given) if given else cls(iterations=schedule.iterations)

    def share(self, state: TrainerState) -> float:
        """The share of the training that is done; 1 or more at its end."""
        return max(
            state.iteration / self.iterations,
            state.steps / self.steps,
            state.gradient_steps / self.gradient_steps,
            state.seconds / self.seconds,
        )


class Progress(NamedTuple):
    """How far a role is."""

    steps: float = 0  # environment steps
    gradient_steps: float = 0
    share: float = 0  # of its training, in [0, 1]
    is_finished: float = 0

    def has_reached(self, other: "Progress") -> bool:
        """Whether it has at least the environment steps and the gradient steps of another."""
        return self.steps >= other.steps and self.gradient_steps >= other.gradient_steps


class Pace:
    """The progress of the method and of the references, shared by the processes that train them.

    A reference trains as long as it has fewer environment steps or fewer gradient steps than the
    method. It therefore ends with the method's budget, however fast either of them is.
    """

    def __init__(self, roles: tuple[str, ...]) -> None:
        context = multiprocessing.get_context("spawn")
        self._arrays = {role: context.Array("d", len(Progress())) for role in roles}

    def report(self, role: str, progress: Progress) -> None:
        """Publish how far a role is."""
        array = self._arrays[role]
        with array.get_lock():
            array[:] = list(progress)

    def of(self, role: str) -> Progress:
        """How far a role is."""
        array = self._arrays[role]
        with array.get_lock():
            return Progress(*array[:])

    def have_references_reached(self, progress: Progress) -> bool:
        """Whether every reference has reached a progress of the method."""
        references = [role for role in self._arrays if role != "method"]
        return all(self.of(role).has_reached(progress) for role in references)
