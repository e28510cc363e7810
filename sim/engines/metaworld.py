"""Meta-World's own environments as an engine. Axes: n worlds, k ticks, j = 4 directions."""

import numpy as np

from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Mask, Setpoint, Torque
from robots.world import Start, Task
from sim.engines.base import (
    is_registered,
    missing_signals,
    require_command,
    require_support,
    world_indices,
)
from sim.metaworld.body import MetaworldSignals, require_metaworld
from sim.metaworld.environment import (
    FRAME_SKIP,
    PLACE_NAMES,
    PLACES,
    QPOS,
    QVEL,
    TASK,
    TaskEnvironment,
)
from sim.metaworld.names import TASKS


class MetaworldEngine:
    """An Engine in which metaworld steps each world itself, with physics, observation and reward.

    Its signals are ``MetaworldSignals``; where a hand or an object is, they say in the observation.

    Attributes:
        worlds: metaworld's environments, one of each world's task; none before the first ``write``.
    """

    n = 0

    @staticmethod
    def supports(scene: Scene) -> bool:
        """Meta-World's arm, with nothing beside what its tasks have."""
        is_alone = not scene.objects and not scene.fixtures
        return is_alone and is_registered(require_metaworld, scene.body)

    def load(self, scene: Scene, n: int) -> None:
        """Prepare n worlds; a model is loaded when the first task is written.

        Raises:
            BadArgumentError: the engine does not support the scene.
        """
        require_support(self, scene)
        self.scene = scene
        self.n = n
        self.worlds: list[TaskEnvironment] = []
        self._places = np.zeros((n, PLACES))

    def write(self, task: Task, mask: Mask | None = None) -> None:
        """Choose some worlds' tasks and places, which an episode begins with.

        Raises:
            MissingExtraError: metaworld is not installed.
            BadArgumentError: there is no task of this number.
        """
        names = [_task_name(number) for number in task[TASK].tolist()]
        if not self.worlds:
            self.worlds = [TaskEnvironment(name) for name in names]
        rows = world_indices(mask, self.n)
        for i in rows:
            if self.worlds[i].task != names[i]:
                self.worlds[i] = TaskEnvironment(names[i])
        self._places[rows] = task.columns(*PLACE_NAMES)[rows]

    def reset(self, start: Start, mask: Mask | None = None) -> None:
        """Begin an episode in some worlds, where metaworld begins it: not at ``start``.

        Raises:
            RuntimeError: no task was written before.
            BadArgumentError: metaworld does not draw such places.
        """
        if not self.worlds:
            raise RuntimeError("write the tasks before the first reset")
        for i in world_indices(mask, self.n):
            self.worlds[i].reset(self._places[i])

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Let metaworld act with each tick's control signals.

        Raises:
            TypeError: the command is a setpoint.
            BadArgumentError: a tick has another number of physics steps than in metaworld.
        """
        torque = require_command(self.scene.body, command, Torque)
        if substeps != FRAME_SKIP:
            raise BadArgumentError(f"metaworld acts for {FRAME_SKIP} physics steps, not {substeps}")
        for i, world in enumerate(self.worlds):
            for action in torque.tau[:, i]:
                world.step(action)

    def read(self) -> MetaworldSignals:
        """Copies; no later call changes them."""
        n = self.n
        tick = FRAME_SKIP * self.scene.timestep
        return MetaworldSignals(
            **missing_signals(n),
            objects={},
            q=_padded([world.env.data.qpos for world in self.worlds], QPOS),
            dq=_padded([world.env.data.qvel for world in self.worlds], QVEL),
            tau=np.full((n, len(self.scene.body.joints)), np.nan),
            stamp=np.array([world.steps * tick for world in self.worlds]),
            observation=np.stack([world.observation for world in self.worlds]),
            reward=np.array([world.reward for world in self.worlds]),
            success=np.array([world.success for world in self.worlds]),
        )

    @property
    def diverged(self) -> Mask:
        """Worlds whose physics broke down since their last reset."""
        return np.array([world.diverged for world in self.worlds], dtype=bool)

    def close(self) -> None:
        """Free every model."""
        self.worlds = []


def _task_name(number: float) -> str:
    """The task of a number; BadArgumentError if there is none."""
    if number not in range(len(TASKS)):
        raise BadArgumentError(f"{TASK} must be a whole number below {len(TASKS)}, got {number}")
    return TASKS[int(number)]


def _padded(rows: list[Array], width: int) -> Array:
    """Rows of different lengths, each followed by zeros, (n, width)."""
    padded = np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded
