"""A method that acts on the true task, only to collect its experience in training."""

from typing import Generic, TypeVar

from torch import Tensor

from policies.method import Taught, Transition
from policies.phases import TwoPhases
from robots.counting import counted

B = TypeVar("B")


class Teacher(Generic[B]):
    """The policy of a method under the belief that the true task gives."""

    privileged = True

    def __init__(self, method: Taught[B]) -> None:
        self.method = method

    def prior(self, n: int, task: Tensor | None = None) -> B:
        """What the true task tells.

        Raises:
            ValueError: no task was given.
        """
        if task is None:
            raise ValueError("a teacher acts on the true task, and none was given")
        return self.method.taught(task)

    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """The method's own actions (n, a)."""
        return self.method.act(obs, belief, explore)

    def observe(self, belief: B, transition: Transition) -> B:
        """The same belief: nothing is left to find out."""
        return belief

    def adapt(self, belief: B, episode: Transition) -> B:
        """The same belief."""
        return belief


def missing_student(method: object) -> str | None:
    """Why a method cannot act without the true task yet; None if it can.

    A training whose bound ends it in the first phase leaves a student that has learned nothing.
    """
    if not isinstance(method, TwoPhases) or method.has_student:
        return None
    ended = counted(method.progress.iterations, "iteration")
    return (
        f"its training ended after {ended}, in the first phase of"
        f" {method.config.teacher_iterations}: the teacher has learned, but not the student, which"
        " acts without knowing the task; train it further with a larger bound"
    )
