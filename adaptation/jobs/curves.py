"""Curves for TensorBoard, and the count of gradient steps, while a role is trained."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tensorboardX import SummaryWriter
from torch.optim.optimizer import register_optimizer_step_post_hook

from adaptation.jobs.budget import TrainerState
from adaptation.runs.records import HeldoutProgress, Row, TrainProgress


class Curves:
    """Curves of one role for TensorBoard; points after the resumed iteration are removed."""

    def __init__(self, folder: Path, role: str, state: TrainerState) -> None:
        """Write to ``folder / role``, evaluations on held-out tasks to a folder of their own."""
        heldout = folder / f"{role}-heldout"
        self._training = SummaryWriter(str(folder / role), purge_step=state.iteration)
        self._heldout = SummaryWriter(str(heldout), purge_step=state.steps + 1)

    def add(self, progress: TrainProgress) -> None:
        """Add an iteration, against iterations."""
        scalars: dict[str, float | None] = {}
        for number, value in enumerate(progress.returns, start=1):
            scalars[f"return/{number}"] = value
        for number, value in enumerate(progress.success, start=1):
            scalars[f"success/{number}"] = value
        for name, value in progress.learn.items():
            scalars[f"learn/{name}"] = value
        for name, value in progress.tasks.items():
            scalars[f"tasks/{name}"] = value
        for name, value in scalars.items():
            self._training.add_scalar(name, value, progress.iteration)

    def add_heldout(self, heldout: HeldoutProgress) -> None:
        """Add an evaluation, against environment steps."""
        result = heldout.result
        rows: dict[str, Row] = {"return": result.returns, **result.metrics}
        rows["success"] = list(result.success)
        for name, row in rows.items():
            for number, value in enumerate(row, start=1):
                if value is not None:
                    self._heldout.add_scalar(f"heldout/{name}/{number}", value, heldout.steps)

    def close(self) -> None:
        """Write the remaining points."""
        self._training.close()
        self._heldout.close()


class GradientStepCounter:
    """Counts the optimizer steps taken in this process."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, *_: object) -> None:
        """Called by torch after every optimizer step."""
        self.steps += 1


@contextmanager
def count_gradient_steps(before: int) -> Iterator[GradientStepCounter]:
    """Count optimizer steps on top of those taken before the training was resumed."""
    counter = GradientStepCounter()
    counter.steps = before
    hook = register_optimizer_step_post_hook(counter)
    try:
        yield counter
    finally:
        hook.remove()
