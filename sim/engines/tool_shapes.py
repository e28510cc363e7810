"""Which of a body's tools touches something: a task's ``tool.shape``. Axes: n tasks.

A body with several tools has them all in the same place, and a task has one of them. The others
touch nothing: their contacts would begin deeper than ever happens.
"""

import mujoco
import numpy as np

from robots.arm import Body
from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Task
from sim.scene_model import tool_geoms

SHAPE = "tool.shape"  # an index into the body's tools
TOOL_SHAPE_FIELDS = ("pair_margin",)  # of the model, that ``write`` changes
# m, a margin at which two geoms never touch, if MuJoCo has a function for their kinds: the general
# one, for instance of a cylinder and a box, finds contacts all the same
NEVER = -1.0


class ToolShapes:
    """Writes the tools of tasks into fields of a scene's model."""

    def __init__(self, body: Body, model: mujoco.MjModel) -> None:
        """Find the tools in the model."""
        self._pairs = []  # of each tool
        for name in tool_geoms(body):
            number = model.geom(name).id
            is_its = (model.pair_geom1 == number) | (model.pair_geom2 == number)
            self._pairs.append(np.flatnonzero(is_its))

    def write(self, values: dict[str, Array], task: Task) -> None:
        """Overwrite fields of the model; without ``tool.shape`` every task has the first tool.

        Args:
            values: each of ``TOOL_SHAPE_FIELDS``, (n, ...), the model's own; changed in place.
            task: n rows.

        Raises:
            BadArgumentError: the body has no such tool.
        """
        codes = np.zeros(len(task))
        if SHAPE in task.names:
            codes = task[SHAPE]
            count = len(self._pairs)
            if not np.isin(codes, np.arange(count)).all():
                raise BadArgumentError(
                    f"{SHAPE} is the index of one of {count} tools of the body, got {codes}"
                )
        for code, pairs in enumerate(self._pairs):
            rows = np.flatnonzero(codes != code)
            values["pair_margin"][rows[:, None], pairs] = NEVER
