"""Trainings in two phases: first a teacher that knows the task learns, then its student."""

from abc import ABC
from dataclasses import dataclass
from typing import Any, Self

from policies.method import Problem, Taught
from policies.ranges import LargeCount
from policies.rl.sac import SacConfig, SacMethodConfig
from robots.errors import BadArgumentError


@dataclass(frozen=True)
class TeacherConfig(SacMethodConfig):
    """Base of the configs; the schedule contains both phases."""

    teacher_iterations: LargeCount = 40  # iterations of the teacher; the others are the student's

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """The teacher gets two thirds of the iterations; all else is as for soft actor-critic."""
        sac = SacConfig.for_problem(problem)
        iterations = sac.schedule.iterations
        return cls(sac=sac, teacher_iterations=max(1, 2 * iterations // 3))

    def __post_init__(self) -> None:
        """BadArgumentError if no iteration is left for the student."""
        iterations = self.schedule.iterations
        if self.teacher_iterations >= iterations > 1:
            raise BadArgumentError(
                f"teacher_iterations={self.teacher_iterations} leaves none of the"
                f" sac.schedule.iterations={iterations} for the student"
            )


class PhaseProgress:
    """Counters that a method saves with its weights.

    Attributes:
        iterations: number of iterations that the method has learned from.
        teacher_tasks: number of tasks that the first phase has stored in the replay.
    """

    def __init__(self) -> None:
        self.iterations = 0
        self.teacher_tasks = 0

    def collected_by_teacher(self, config: TeacherConfig) -> bool:
        """Whether the teacher collected the trial that is learned from next."""
        return self.iterations < _iterations_of_teacher(config)

    def has_student(self, config: TeacherConfig) -> bool:
        """Whether an iteration of the second phase has been learned from."""
        return self.iterations > _iterations_of_teacher(config)

    def state_dict(self) -> dict[str, int]:
        """Both numbers by name."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The inverse of ``state_dict``."""
        self.iterations = state["iterations"]
        self.teacher_tasks = state["teacher_tasks"]


class TwoPhases(Taught[Any], ABC):
    """A method whose student learns from the teacher that the first phase trains.

    Attributes:
        config: when the second phase begins.
        progress: how far the training is.
    """

    config: TeacherConfig
    progress: PhaseProgress

    @property
    def is_taught(self) -> bool:
        """Whether training is in its first phase."""
        return self.progress.iterations < self.config.teacher_iterations

    @property
    def has_student(self) -> bool:
        """Whether the student, which acts without the true task, has learned anything yet."""
        return self.progress.has_student(self.config)


def _iterations_of_teacher(config: TeacherConfig) -> int:
    """How many iterations learn from trials that the teacher collected.

    With ``CollectionSchedule.overlap`` a trial is collected one iteration ahead, except for the
    first two of a training. The student's first iteration then learns from a teacher's trial.
    """
    student_begins = config.teacher_iterations
    is_delayed = config.schedule.overlap and student_begins >= 2
    return student_begins + is_delayed
