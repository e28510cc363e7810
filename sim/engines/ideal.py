"""Joints that follow their setpoints exactly: no physics.

For points in the plane and for quick tests of arms.
"""

from functools import singledispatch

import numpy as np

from robots.arm import Body, Walker
from robots.bodies import make_kinematics
from robots.scene import Scene
from robots.signals import Array, Mask, Setpoint, Signals, Torque
from robots.world import Start, Task
from sim.engines.base import (
    missing_signals,
    require_command,
    require_support,
    start_velocity,
    tool_signals,
    world_indices,
)


@singledispatch
def follows_setpoints(body: Body) -> bool:
    """Whether the body can be simulated without physics: its joints take setpoints."""
    return True


@follows_setpoints.register
def _(body: Walker) -> bool:
    return False


class IdealEngine:
    """An Engine whose joints are at their setpoints.

    A body without a tool of its own has its tool at its first three joints: x, y and z.
    """

    n = 0

    @staticmethod
    def supports(scene: Scene) -> bool:
        """Every body that follows setpoints, alone in its scene."""
        is_alone = not scene.objects and not scene.fixtures
        return follows_setpoints(scene.body) and is_alone

    def load(self, scene: Scene, n: int) -> None:
        """Put n bodies at home."""
        require_support(self, scene)
        self.scene = scene
        self.n = n
        self._kinematics = make_kinematics(scene.body)
        home = np.asarray(scene.body.home, dtype=np.float64)
        self._q = np.tile(home, (n, 1))
        self._dq = np.zeros_like(self._q)
        self._missing = missing_signals(n)
        self._time = np.zeros(n)
        self._diverged = np.zeros(n, dtype=bool)

    def write(self, task: Task, mask: Mask | None = None) -> None:
        """Do nothing: this engine has no physics that a task could change."""

    def reset(self, start: Start, mask: Mask | None = None) -> None:
        """Put some worlds at their start."""
        rows = world_indices(mask, self.n)
        velocity = start_velocity(start)
        self._q[rows] = start.q[rows]
        self._dq[rows] = velocity[rows]
        self._time[rows] = 0.0
        self._diverged[rows] = False

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Go to each tick's setpoint; a world whose setpoint is not finite stays and diverges."""
        body = self.scene.body
        tick = substeps * self.scene.timestep
        setpoint = require_command(body, command, Setpoint)
        for q, dq in zip(setpoint.q, setpoint.dq, strict=True):
            finite = np.isfinite(q).all(-1)
            finite &= np.isfinite(dq).all(-1)
            self._diverged |= ~finite
            moves = finite[:, None]
            np.copyto(self._q, q, where=moves)
            np.copyto(self._dq, dq, where=moves)
            self._time += tick

    def read(self) -> Signals:
        """The present state; torques are zero."""
        return Signals(
            q=self._q.copy(),
            dq=self._dq.copy(),
            tau=np.zeros_like(self._q),
            stamp=self._time.copy(),
            objects={},
            **(self._missing | self._tool()),
        )

    def _tool(self) -> dict[str, Array]:
        """The signals of the tool."""
        if self._kinematics is None:
            return {"tool_pos": _first_three(self._q), "tool_vel": _first_three(self._dq)}
        return tool_signals(self._kinematics, self._q, self._dq)

    @property
    def diverged(self) -> Mask:
        """Worlds that were given a setpoint that is not finite."""
        return self._diverged.copy()

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _first_three(joints: Array) -> Array:
    """The first three columns of (n, j), filled up with zeros, (n, 3)."""
    first = np.zeros((len(joints), 3))
    width = min(3, joints.shape[1])
    first[:, :width] = joints[:, :width]
    return first
