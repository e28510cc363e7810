"""Trainings of two phases: first a teacher that knows the task learns, then a student of it."""

from dataclasses import dataclass
from typing import Self

from policies.method import Problem
from policies.ranges import LargeCount
from policies.rl.sac import SacConfig, SacMethodConfig
from robots.errors import BadArgumentError


@dataclass(frozen=True)
class TeacherConfig(SacMethodConfig):
    """Base of the configs: the schedule is that of both phases together."""

    teacher_iterations: LargeCount = 40  # of the first phase; the student's are the others

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Two thirds of the iterations are the teacher's; the rest as soft actor-critic's."""
        sac = SacConfig.for_problem(problem)
        iterations = sac.schedule.iterations
        return cls(sac=sac, teacher_iterations=max(1, 2 * iterations // 3))

    def __post_init__(self) -> None:
        """BadArgumentError where no iteration is left for the student."""
        iterations = self.schedule.iterations
        if self.teacher_iterations >= iterations > 1:
            raise BadArgumentError(
                f"teacher_iterations={self.teacher_iterations} leaves none of the"
                f" sac.schedule.iterations={iterations} for the student"
            )


class PhaseProgress:
    """Counts that a method saves with its weights.

    Attributes:
        iterations: learned from.
        teacher_tasks: tasks that the first phase stored.
    """

    def __init__(self) -> None:
        self.iterations = 0
        self.teacher_tasks = 0

    def collected_by_teacher(self, config: TeacherConfig) -> bool:
        """Whether the teacher collected the trial that is learned from next.

        With ``CollectionSchedule.overlap`` a copy collects it one iteration before, but for the
        first two trials of a training, which are collected in order.
        """
        first_own = config.teacher_iterations
        is_delayed = config.schedule.overlap and first_own >= 2
        return self.iterations < first_own + is_delayed

    def state_dict(self) -> dict[str, int]:
        """Both numbers by name."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The inverse of ``state_dict``."""
        self.iterations = state["iterations"]
        self.teacher_tasks = state["teacher_tasks"]
