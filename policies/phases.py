"""How far a training of two phases is: first a teacher learns, then a student learns from it."""


class PhaseProgress:
    """Counts that a method saves with its weights.

    Attributes:
        iterations: learned from.
        teacher_tasks: tasks that the first phase stored.
    """

    def __init__(self) -> None:
        self.iterations = 0
        self.teacher_tasks = 0

    def state_dict(self) -> dict[str, int]:
        """Both numbers by name."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The inverse of ``state_dict``."""
        self.iterations = state["iterations"]
        self.teacher_tasks = state["teacher_tasks"]
