"""Joints that do exactly what they are told: no physics, for points in the plane and for quick tests of arms."""

import numpy as np
from numpy.typing import NDArray

from robots.arm import ArmSpec, Walker
from robots.kinematics import Kinematics
from robots.rotations import quaternion_from_matrix
from robots.scene import Scene
from robots.signals import Array, Setpoint, Signals, Torque
from robots.world import Start, Task
from sim.engines.base import told


class IdealEngine:
    """An Engine whose joints are at their setpoints. A body that is not an arm has its tool at its joints."""

    def __init__(self, threads: int | None = None) -> None:
        self.n = 0

    def load(self, scene: Scene, n: int) -> None:
        """Build n worlds."""
        body = scene.body
        if isinstance(body, Walker):
            raise ValueError(f"{body.name} walks, which takes physics: this engine has none")
        self.scene, self.n = scene, n
        self._kinematics = Kinematics(body) if isinstance(body, ArmSpec) else None
        self._q = np.tile(np.asarray(body.home, dtype=np.float64), (n, 1))
        self._dq = np.zeros_like(self._q)
        self._time, self._broken = np.zeros(n), np.zeros(n, dtype=bool)

    def write(self, task: Task, mask: NDArray[np.bool_] | None = None) -> None:
        """Nothing here depends on the task."""

    def reset(self, start: Start, mask: NDArray[np.bool_] | None = None) -> None:
        """Put some worlds at rest at their start."""
        rows = np.ones(self.n, dtype=bool) if mask is None else mask
        self._q[rows], self._dq[rows] = start.q[rows], 0.0 if start.dq is None else start.dq[rows]
        self._time[rows], self._broken[rows] = 0.0, False

    def step(self, command: Setpoint | Torque, substeps: int) -> None:
        """Go to the setpoint; a world that is told to go nowhere finite stays, and is broken."""
        setpoint = told(self.scene.body, command, Setpoint)
        finite = np.isfinite(setpoint.q).all(-1) & np.isfinite(setpoint.dq).all(-1)
        self._broken |= ~finite
        self._q[finite], self._dq[finite] = setpoint.q[finite], setpoint.dq[finite]
        self._time += substeps * self.scene.timestep

    def read(self) -> Signals:
        """Where everything is."""
        nowhere, unturned = np.full((self.n, 3), np.nan), np.full((self.n, 4), np.nan)
        tool_pos, tool_quat, tool_vel = self._plane(self._q), unturned, self._plane(self._dq)
        if self._kinematics is not None:
            tool_pos, rotation, jacobian = self._kinematics.forward_jacobian(self._q)
            tool_quat, tool_vel = (
                quaternion_from_matrix(rotation),
                np.einsum("nij,nj->ni", jacobian[:, :3], self._dq),
            )
        return Signals(
            q=self._q.copy(),
            dq=self._dq.copy(),
            tau=np.zeros_like(self._q),
            tool_pos=tool_pos,
            tool_quat=tool_quat,
            tool_vel=tool_vel,
            object_pos=nowhere,
            object_quat=unturned,
            object_vel=np.full((self.n, 6), np.nan),
            marker=nowhere,
            stamp=self._time.copy(),
        )

    def _plane(self, joints: Array) -> Array:
        return np.concatenate([joints[:, :3], np.zeros((self.n, max(0, 3 - joints.shape[1])))], 1)

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Worlds that were told to go nowhere finite."""
        return self._broken.copy()

    def close(self) -> None:
        """Nothing to release."""
