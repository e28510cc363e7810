"""Joints that follow their setpoints exactly: no physics.

For points in the plane and for quick tests of arms.
"""

from functools import singledispatch

import numpy as np

from robots.arm import Body, Walker
from robots.bodies import make_kinematics
from robots.rotations import quaternion_from_matrix
from robots.scene import Scene
from robots.signals import Array, Mask, Setpoint, Signals, Torque
from robots.world import Start, Task
from sim.engines.base import require_command, require_support


@singledispatch
def follows_setpoints(body: Body) -> bool:
    """Whether the body makes sense without physics: its joints can be where a setpoint says."""
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
        """Every body that follows setpoints, without a loose object."""
        return follows_setpoints(scene.body) and not scene.loose_object

    def load(self, scene: Scene, n: int) -> None:
        """Put n bodies at home."""
        require_support(self, scene)
        self.scene = scene
        self.n = n
        self._kinematics = make_kinematics(scene.body)
        self._q = np.tile(np.asarray(scene.body.home, dtype=np.float64), (n, 1))
        self._dq = np.zeros_like(self._q)
        self._time = np.zeros(n)
        self._diverged = np.zeros(n, dtype=bool)

    def write(self, task: Task, mask: Mask | None = None) -> None:
        """Nothing here depends on the task."""

    def reset(self, start: Start, mask: Mask | None = None) -> None:
        """Put some worlds at their start."""
        rows = np.ones(self.n, dtype=bool) if mask is None else mask
        self._q[rows] = start.q[rows]
        self._dq[rows] = 0.0 if start.dq is None else start.dq[rows]
        self._time[rows] = 0.0
        self._diverged[rows] = False

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Go to each tick's setpoint; a world whose setpoint is not finite stays and diverges."""
        setpoint = require_command(self.scene.body, command, Setpoint)
        for q, dq in zip(setpoint.q, setpoint.dq, strict=True):
            finite = np.isfinite(q).all(-1) & np.isfinite(dq).all(-1)
            self._diverged |= ~finite
            self._q[finite] = q[finite]
            self._dq[finite] = dq[finite]
            self._time += substeps * self.scene.timestep

    def read(self) -> Signals:
        """Where everything is."""
        pos, quat, vel = self._tool()
        return Signals(
            q=self._q.copy(),
            dq=self._dq.copy(),
            tau=np.zeros_like(self._q),
            tool_pos=pos,
            tool_quat=quat,
            tool_vel=vel,
            object_pos=np.full((self.n, 3), np.nan),
            object_quat=np.full((self.n, 4), np.nan),
            object_vel=np.full((self.n, 6), np.nan),
            marker=np.full((self.n, 3), np.nan),
            stamp=self._time.copy(),
        )

    def _tool(self) -> tuple[Array, Array, Array]:
        """The tool's position (n, 3) m, quaternion (n, 4) and velocity (n, 3) m/s."""
        if self._kinematics is None:
            no_quat = np.full((self.n, 4), np.nan)
            return _first_three(self._q), no_quat, _first_three(self._dq)
        pos, rotation, jacobian = self._kinematics.forward_jacobian(self._q)
        velocity = np.einsum("nij,nj->ni", jacobian[:, :3], self._dq)
        return pos, quaternion_from_matrix(rotation), velocity

    @property
    def diverged(self) -> Mask:
        """Worlds that had a setpoint that was not finite."""
        return self._diverged.copy()

    def close(self) -> None:
        """Nothing to release."""


def _first_three(joints: Array) -> Array:
    """The first three columns of (n, j), filled up with zeros, (n, 3)."""
    first = np.zeros((len(joints), 3))
    width = min(3, joints.shape[1])
    first[:, :width] = joints[:, :width]
    return first
