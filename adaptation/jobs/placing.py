"""The objects of a trial, and the request to a person to place them in front of a real arm."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from adaptation.jobs.arm_options import task_is_known
from adaptation.jobs.evaluate import EVALUATION
from adaptation.jobs.object_labels import Labels, label_of
from robots.world import Family, Start, Task
from sim.own_objects import object_names, own_objects_of


class OperatorPlacer:
    """Has a person put the object at its start."""

    def __init__(
        self,
        family: Family,
        ask: Callable[[str], object] = input,
        labels: Labels | None = None,
    ) -> None:
        """Ask for objects of a family.

        Args:
            family: of the tasks.
            ask: shows a text and returns when the person has pressed Enter.
            labels: how the person calls the objects.
        """
        self._family = family
        self._ask = ask
        self._labels = labels or Labels()

    def place(self, task: Task, start: Start) -> None:
        """Ask, and wait until the person confirms."""
        if start.object_pos is None:
            return
        (name,) = object_names(self._family, task)
        index = int(task.ids[0])
        label = str(label_of(self._labels, index)) or name
        number = str(index + 1)
        called = number if label is None else f"{number} ({label})"
        x, y, _ = start.object_pos[0]
        place = f"x = {x:.3f} m, y = {y:.3f} m"
        self._ask(f"Put object {called} at {place} before the arm, then press Enter. ")


def sample_objects(family: Family, driver: str, seed: int, count: int) -> Task:
    """Held-out objects, the same for every policy; parameters unknown on a real arm are NaN.

    Which of a user's own objects it is remains known on a real arm.
    """
    rng = np.random.default_rng([EVALUATION, seed, 2])
    task = family.sample(rng, count, "heldout")
    if task_is_known(driver):
        return task
    shown = ("goal.", "marker.", "object.shape") if own_objects_of(family) else ("goal.", "marker.")
    visible = [name.startswith(shown) for name in task.names]
    return replace(task, values=np.where(visible, task.values, np.nan))
