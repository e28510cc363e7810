"""Physics by PyBullet: one client per world, torque-driven joints, the same contract as every engine."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from pybullet import DIRECT
from pybullet_utils.bullet_client import BulletClient

from robots.arm import ArmSpec, Walker
from robots.kinematics import Kinematics
from robots.rotations import quaternion_from_matrix
from robots.scene import Scene
from robots.signals import Array, Setpoint, Signals, Torque
from robots.world import Start, Task
from sim import objects
from sim.engines.base import strength
from sim.engines.bullet_arm import BulletArm
from sim.engines.bullet_body import BulletBody


class BulletEngine:
    """An Engine. What a world is made of is ``sim.engines.bullet_arm``'s or ``sim.engines.bullet_walker``'s."""

    def __init__(self, threads: int | None = None) -> None:
        """``threads`` is for symmetry with other engines: PyBullet steps one world after another."""
        self.n = 0

    def load(self, scene: Scene, n: int) -> None:
        """Start n clients with the body in each."""
        if not isinstance(scene.body, ArmSpec | Walker):
            raise ValueError(
                f"{scene.body.name} has no model for PyBullet: it is neither an arm nor a walker"
            )
        self.scene, self.n = scene, n
        self._kinematics = Kinematics(scene.body) if isinstance(scene.body, ArmSpec) else None
        self._worlds = [_world(scene) for _ in range(n)]
        self._time, self._broken = np.zeros(n), np.zeros(n, dtype=bool)

    def write(self, task: Task, mask: NDArray[np.bool_] | None = None) -> None:
        """Set some worlds' physics; a loose object is made anew."""
        p = objects.parameters(task)
        made_of = objects.parts(p)
        weight = objects.inertia(p, made_of)
        damping = task["joint.damping"] if "joint.damping" in task.names else np.zeros(self.n)
        share = strength(task, self.scene.body.joints)
        for i in _rows(mask, self.n):
            world = self._worlds[i]
            world.damping, world.strength = float(damping[i]), share[i]
            if self.scene.loose_object and isinstance(world, BulletArm):
                row = {name: float(values[i]) for name, values in p.items()}
                world.make_object(row, made_of, weight, i)

    def reset(self, start: Start, mask: NDArray[np.bool_] | None = None) -> None:
        """Put some worlds at their start."""
        for i in _rows(mask, self.n):
            self._worlds[i].place(start, i)
            self._time[i], self._broken[i] = 0.0, False

    def step(self, command: Setpoint | Torque, substeps: int) -> None:
        """Hold the command for some substeps; a world that is told or becomes something not finite stops."""
        for part in vars(command).values():
            self._broken |= ~np.isfinite(part).all(-1)
        for i in np.flatnonzero(~self._broken).tolist():
            if not self._worlds[i].step(command, i, substeps):
                self._broken[i] = True
        self._time += substeps * self.scene.timestep

    def read(self) -> Signals:
        """Fresh: kinematics from the joints, the object from its body."""
        q, dq, tau = self.joints()
        pos, quat, velocity = (
            np.full((self.n, 3), np.nan),
            np.full((self.n, 4), np.nan),
            np.full((self.n, 3), np.nan),
        )
        if self._kinematics is not None:
            pos, rotation, jacobian = self._kinematics.forward_jacobian(q)
            quat, velocity = (
                quaternion_from_matrix(rotation),
                np.einsum("nij,nj->ni", jacobian[:, :3], dq),
            )
        pose = self.poses()
        return Signals(
            q=q,
            dq=dq,
            tau=tau,
            tool_pos=pos,
            tool_quat=quat,
            tool_vel=velocity,
            object_pos=pose[:, :3],
            object_quat=pose[:, 3:7],
            object_vel=pose[:, 7:],
            marker=np.full((self.n, 3), np.nan),
            stamp=self._time.copy(),
        )

    def joints(self) -> tuple[Array, Array, Array]:
        """Joint positions, velocities and torques alone, (n, j) each: all that an arm's driver reads every tick."""
        q, dq, tau = zip(*((world.q, world.dq, world.tau) for world in self._worlds), strict=True)
        return np.stack(q), np.stack(dq), np.stack(tau)

    def poses(self) -> Array:
        """Position, quaternion and twist of the objects alone, (n, 13)."""
        return np.array([world.object_state() for world in self._worlds])

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Worlds whose physics broke down since their last reset."""
        return self._broken.copy()

    def close(self) -> None:
        """End the clients."""
        for world in self._worlds:
            world.close()
        self._worlds = []


def _world(scene: Scene) -> BulletBody:
    with _quiet():
        client = BulletClient(DIRECT)
    if isinstance(scene.body, Walker):
        from sim.engines.bullet_walker import BulletWalker

        return BulletWalker(scene, client)
    return BulletArm(scene, client)


def _rows(mask: NDArray[np.bool_] | None, n: int) -> list[int]:
    return list(range(n)) if mask is None else np.flatnonzero(mask).tolist()


@contextmanager
def _quiet() -> Iterator[None]:
    """Swallow PyBullet's greeting: standard output belongs to whoever called us, and C prints it as late as at exit."""
    libc = ctypes.CDLL(None)
    libc.fflush(None)
    out, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        libc.fflush(None)
        os.dup2(out, 1)
        os.close(out)
        os.close(nowhere)
