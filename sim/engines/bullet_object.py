"""The loose object in PyBullet, on a table at z = 0."""

from typing import Any

import numpy as np

from robots.scene import FLAT_OBJECT
from robots.signals import Array
from robots.world import Start
from sim import objects, outlines
from sim.contact_spring import contact_spring
from sim.engines.contact_steps import blow_is_due

Client = Any  # a pybullet_utils.bullet_client.BulletClient, which has no types

CONTACT_DISTANCE = 8  # where a closest point of Bullet's has the distance, m
BASE = -1  # Bullet's number of a body's first link
FAR = 0.05  # m, beyond which a distance is not measured and counts as this
IDENTITY = [0.0, 0.0, 0.0, 1.0]  # Bullet's order of a quaternion: x, y, z, w


class BulletObject:
    """A table and the object of one world, which is built again for every task.

    Attributes:
        made: objects built so far. Bullet never frees their shapes.
    """

    def __init__(self, client: Client, body: int, strikers: list[int], contact_dt: float) -> None:
        """Build the table.

        Args:
            client: the world's.
            body: what strikes the object.
            strikers: its links that can touch the object.
            contact_dt: s of a substep during a blow.
        """
        self._client = client
        self._striking_body = body
        self._strikers = strikers
        self._contact_dt = contact_dt
        self._body: int | None = None
        self.made = 0
        self._gap = np.nan  # m from the arm to the object when the last tick began
        plane = client.createCollisionShape(client.GEOM_PLANE)
        table = client.createMultiBody(0, plane)
        client.changeDynamics(table, BASE, lateralFriction=1.0, restitution=0.0)
        client.setCollisionFilterGroupMask(table, BASE, 1, 1)

    def make(self, described: objects.Objects, i: int) -> None:
        """Build the i-th of the described objects, in place of the last one."""
        if self._body is not None:
            self._client.removeBody(self._body)
        self.made += 1
        parameters = described.parameters
        inertia = described.inertia
        self._com = inertia.com[i].tolist()
        self._body = self._client.createMultiBody(
            baseMass=float(parameters["mass"][i]),
            baseCollisionShapeIndex=self._make_shape(described.parts, i),
            baseInertialFramePosition=self._com,
        )
        self._client.changeDynamics(
            self._body,
            BASE,
            lateralFriction=float(parameters["friction"][i]),
            restitution=0.0,
            spinningFriction=0.0,
            rollingFriction=0.0,
            linearDamping=0.0,
            angularDamping=0.0,
            localInertiaDiagonal=inertia.moments[i].tolist(),
            activationState=self._client.ACTIVATION_STATE_DISABLE_SLEEPING,
            contactProcessingThreshold=0.0,
        )

        self._make_contact(
            mass=float(parameters["mass"][i]),
            restitution=parameters["restitution"][i],
        )

    def _make_contact(self, mass: float, restitution: float) -> None:
        """Make the strikers' contact a spring and damper, as in MuJoCo: for a blow of finite time.

        Bullet integrates it implicitly, which damps it by half the stiffness times a time step in
        addition: that is taken off.
        """
        spring = contact_spring(np.array(restitution))
        stiffness = mass * float(spring.stiffness)
        damping = mass * float(spring.damping)
        numerical = stiffness * self._contact_dt / 2
        for link in self._strikers:
            self._client.changeDynamics(
                self._striking_body,
                link,
                contactStiffness=stiffness,
                contactDamping=max(damping - numerical, 0.0),
            )

    def needs_fine_steps(self, body: int, dt: float) -> bool:
        """Whether a body hits the object in the tick of ``dt`` s that begins, or soon."""
        if self._body is None:
            return False
        last_gap = self._gap
        points = self._client.getClosestPoints(body, self._body, FAR)
        distances = [point[CONTACT_DISTANCE] for point in points]
        self._gap = min(distances, default=FAR)
        if not distances:
            return False
        return bool(blow_is_due(np.array(self._gap), np.array(last_gap), dt))

    def _make_shape(self, parts: objects.Parts, i: int) -> int:
        """The collision shape of the parts that the i-th object uses."""
        used = np.flatnonzero(parts.used[i])
        sizes = [parts.size[i, part].tolist() for part in used]
        is_box = [part != outlines.DISC for part in used]
        client = self._client
        kinds = [client.GEOM_BOX if box else client.GEOM_CYLINDER for box in is_box]
        shape = client.createCollisionShapeArray(
            shapeTypes=kinds,
            # Bullet uses only the half extents of a box, and only radius and length of a cylinder
            halfExtents=sizes,
            radii=[size[0] for size in sizes],
            lengths=[2 * size[1] for size in sizes],
            collisionFramePositions=[parts.pos[i, part].tolist() for part in used],
        )
        return int(shape)

    def place(self, start: Start, i: int) -> None:
        """Put the object at rest at the i-th row of a start; no effect before ``make``."""
        self._gap = np.nan
        if self._body is None:
            return
        pos = FLAT_OBJECT.position
        turn = IDENTITY
        if start.object_pos is not None:
            pos = start.object_pos[i].tolist()
        if start.object_quat is not None:
            turn = xyzw(start.object_quat[i])
        client = self._client
        center, turn = client.multiplyTransforms(pos, turn, self._com, IDENTITY)
        client.resetBasePositionAndOrientation(self._body, center, turn)
        client.resetBaseVelocity(self._body, [0, 0, 0], [0, 0, 0])

    def state(self) -> Array:
        """Position, quaternion w x y z and twist of the object's frame, (13,); NaN without one.

        Bullet gives those of the center of mass: velocity of the frame = velocity of the center +
        angular velocity × (frame - center).
        """
        if self._body is None:
            return np.full(13, np.nan)
        client = self._client
        center, turn = client.getBasePositionAndOrientation(self._body)
        to_frame = [-x for x in self._com]
        pos, turn = client.multiplyTransforms(center, turn, to_frame, IDENTITY)
        velocity, spin = client.getBaseVelocity(self._body)
        x, y, z, w = turn
        vx, vy, vz = velocity
        wx, wy, wz = spin
        rx = pos[0] - center[0]
        ry = pos[1] - center[1]
        rz = pos[2] - center[2]
        frame_velocity = (
            vx + wy * rz - wz * ry,
            vy + wz * rx - wx * rz,
            vz + wx * ry - wy * rx,
        )
        return np.array([*pos, w, x, y, z, *frame_velocity, *spin])


def xyzw(quat: Array) -> list[float]:
    """Bullet's order of a quaternion w, x, y, z."""
    w, x, y, z = quat.tolist()
    return [x, y, z, w]
