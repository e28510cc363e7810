"""Physics by PyBullet: one client per world, torque-driven joints, the same contract as every engine."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robots.arm import ArmSpec, Setpoint, Torque, Walker
from robots.kinematics import Kinematics, quaternion
from robots.signals import Array, Signals
from robots.world import Start, Task
from sim import objects
from sim.engine import Scene, strength, told

if TYPE_CHECKING:
    from sim.bullet_walker import BulletWalker

STIFFNESS = 0.2  # share of the position error that a servo closes in one substep


class BulletEngine:
    """An Engine; joint servos are velocity constraints that also close the position error, within torque limits.

    Other servos than MuJoCo's springs and dampers, by intention: a second physics is worth most where it differs.
    A walker is ``sim.bullet_walker``'s.
    """

    def __init__(self, threads: int | None = None) -> None:
        """``threads`` is for symmetry with other engines: PyBullet steps one world after another."""
        self.n = 0

    def load(self, scene: Scene, n: int) -> None:
        """Start n clients with the body in each."""
        if not isinstance(scene.body, ArmSpec | Walker):
            raise ValueError(f"{scene.body.name} has no model for PyBullet: it is neither an arm nor a walker")
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
            if self.scene.loose_object and isinstance(world, _World):
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
        pos, quat, velocity = np.full((self.n, 3), np.nan), np.full((self.n, 4), np.nan), np.full((self.n, 3), np.nan)
        if self._kinematics is not None:
            pos, rotation, jacobian = self._kinematics.forward_jacobian(q)
            quat, velocity = quaternion(rotation), np.einsum("nij,nj->ni", jacobian[:, :3], dq)
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


def _world(scene: Scene) -> "_World | BulletWalker":
    from pybullet import DIRECT
    from pybullet_utils.bullet_client import BulletClient

    with _quiet():
        client = BulletClient(DIRECT)
    if isinstance(scene.body, Walker):
        from sim.bullet_walker import BulletWalker

        return BulletWalker(scene, client)
    return _World(scene, client)


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


class _World:
    """One client: an arm whose base is fixed, and perhaps an object on a plane."""

    def __init__(self, scene: Scene, client: Any) -> None:
        import pybullet

        assert isinstance(scene.body, ArmSpec)
        self._arm, self._p, self._dt, self._client = scene.body, pybullet, scene.timestep, client
        client.setPhysicsEngineParameter(
            fixedTimeStep=scene.timestep, numSolverIterations=50, deterministicOverlappingPairs=1
        )
        client.setGravity(0, 0, -9.81)
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE
        self._body = client.loadURDF(str(scene.body.urdf), useFixedBase=True, flags=flags)
        index = {client.getJointInfo(self._body, i)[1].decode(): i for i in range(client.getNumJoints(self._body))}
        links = {client.getJointInfo(self._body, i)[12].decode(): i for i in range(client.getNumJoints(self._body))}
        self._joints = [index[name] for name in scene.body.joints]
        self._striker = links.get("striker", links[scene.body.tool])
        for i in range(-1, client.getNumJoints(self._body)):
            client.changeDynamics(self._body, i, linearDamping=0, angularDamping=0, jointDamping=0)
        self._table = None
        if scene.loose_object:
            plane = client.createCollisionShape(pybullet.GEOM_PLANE)
            self._table = client.createMultiBody(0, plane)
            client.changeDynamics(self._table, -1, lateralFriction=1.0, restitution=0.0)
            client.setCollisionFilterGroupMask(self._table, -1, 1, 1)
        self._object: int | None = None
        self.damping, self.strength = 0.0, np.ones(len(self._joints))
        self._measure()

    def make_object(self, p: dict[str, float], made_of: objects.Parts, weight: objects.Inertia, i: int) -> None:
        """Make the i-th object of a batch, in the place of the last one."""
        client, bullet = self._client, self._p
        if self._object is not None:
            client.removeBody(self._object)
        used = np.flatnonzero(made_of.used[i])
        kinds: dict[str, list[Any]] = {"shapeTypes": [], "halfExtents": [], "radii": [], "lengths": []}
        for k in used:
            size = made_of.size[i, k]
            kinds["shapeTypes"].append(bullet.GEOM_BOX if k < 2 else bullet.GEOM_CYLINDER)
            kinds["halfExtents"].append(size.tolist() if k < 2 else [0.0] * 3)
            kinds["radii"].append(0.0 if k < 2 else size[0])
            kinds["lengths"].append(0.0 if k < 2 else 2 * size[1])
        shape = client.createCollisionShapeArray(
            **kinds, collisionFramePositions=[made_of.pos[i, k].tolist() for k in used]
        )
        self._com = weight.com[i]
        self._object = client.createMultiBody(
            baseMass=p["object.mass"], baseCollisionShapeIndex=shape, baseInertialFramePosition=self._com.tolist()
        )
        client.changeDynamics(
            self._object,
            -1,
            lateralFriction=p["object.friction"],
            restitution=p["object.restitution"],
            spinningFriction=0.0,
            rollingFriction=0.0,
            linearDamping=0.0,
            angularDamping=0.0,
            localInertiaDiagonal=weight.moments[i].tolist(),
            activationState=bullet.ACTIVATION_STATE_DISABLE_SLEEPING,
            contactProcessingThreshold=0.0,
        )
        client.changeDynamics(self._body, self._striker, lateralFriction=1.0, restitution=1.0)

    def place(self, start: Start, i: int) -> None:
        """Everything as the i-th start says, the object at rest."""
        speeds = np.zeros_like(start.q) if start.dq is None else start.dq
        for joint, angle, speed in zip(self._joints, start.q[i], speeds[i], strict=True):
            self._client.resetJointState(self._body, joint, float(angle), float(speed))
        if self._object is not None:
            pos, (w, x, y, z) = start.object_pos[i], start.object_quat[i]
            centre, turn = self._client.multiplyTransforms(pos.tolist(), [x, y, z, w], self._com.tolist(), [0, 0, 0, 1])
            self._client.resetBasePositionAndOrientation(self._object, centre, turn)
            self._client.resetBaseVelocity(self._object, [0, 0, 0], [0, 0, 0])
        self._measure()

    def step(self, command: Setpoint | Torque, i: int, substeps: int) -> bool:
        """Some substeps to the i-th targets; False when something is no longer finite."""
        setpoint = told(self._arm, command, Setpoint)
        q, dq = setpoint.q[i], setpoint.dq[i]
        # damping takes torque from a servo that speeds up and lends it to one that brakes; Bullet's own blows up
        push = np.sign(dq + STIFFNESS * (q - self.q) / self._dt - self.dq)
        most = np.maximum(self.strength * self._arm.limits.tau - self.damping * push * self.dq, 0.0).tolist()
        gains, ones = [STIFFNESS] * len(q), [1.0] * len(q)
        for left in range(substeps - 1, -1, -1):
            target = (q - left * self._dt * dq).tolist()  # the setpoint is where to be when the tick ends
            self._client.setJointMotorControlArray(
                self._body, self._joints, self._p.POSITION_CONTROL, target, dq.tolist(), most, gains, ones
            )
            self._client.stepSimulation()
        self._measure()
        return bool(np.isfinite(self.q).all())

    def _measure(self) -> None:
        states = self._client.getJointStates(self._body, self._joints)
        self.q = np.array([state[0] for state in states])
        self.dq = np.array([state[1] for state in states])
        self.tau = np.array([state[3] for state in states])

    def object_state(self) -> Array:
        """Position, quaternion w x y z, linear and angular velocity of the object's frame, (13,)."""
        if self._object is None:
            return np.full(13, np.nan)
        centre, turn = self._client.getBasePositionAndOrientation(self._object)
        back = (-self._com).tolist()
        pos, (x, y, z, w) = self._client.multiplyTransforms(centre, turn, back, [0, 0, 0, 1])
        velocity, spin = self._client.getBaseVelocity(self._object)
        lever = np.subtract(pos, centre)
        velocity = np.add(velocity, np.cross(spin, lever))
        return np.array([*pos, w, x, y, z, *velocity, *spin])

    def close(self) -> None:
        """End the client."""
        self._client.disconnect()
