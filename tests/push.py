"""Slide step by step: the tool's velocity is chosen in every control period."""

import numpy as np

from robots.actions import ToolVelocity
from robots.catalog.panda import PANDA
from robots.signals import Array, Signals, Spec
from sim.families.slide import Slide

TOOL_COLUMNS = (
    ("tool.x", 0.25, 0.65, "m"),
    ("tool.y", -0.15, 0.15, "m"),
    ("tool.vx", -1.2, 1.2, "m/s"),
    ("tool.vy", -0.4, 0.4, "m/s"),
)
TOOL = (0.33, 0.0, 0.03)  # m, where it begins
BOUNDS = {"x": (0.0, 1.1), "y": (-0.3, 0.3)}


class Push(Slide):
    """The same task with twenty decisions in an episode, and a tool that is observed."""

    action_repeat = 1
    horizon = 20
    observes_state = False  # of the arm, only where the tool is

    def __init__(self) -> None:
        super().__init__()
        self.action = ToolVelocity(PANDA, self.limits, BOUNDS, TOOL)
        object_columns = zip(
            self.obs.names, self.obs.low, self.obs.high, self.obs.units, strict=True
        )
        self.obs = Spec.of(*object_columns, *TOOL_COLUMNS)

    def observe(self, signals: Signals) -> Array:
        columns = (
            super().observe(signals),
            signals.tool_pos[:, :2],
            signals.tool_vel[:, :2],
        )
        return np.concatenate(columns, 1)
