"""The loose object in PyBullet, on a table at z = 0."""

from typing import Any

import numpy as np

from robots.signals import Array
from robots.world import Start
from sim import objects

UNTURNED = [0.0, 0.0, 0.0, 1.0]  # Bullet's order of a quaternion: x, y, z, w


class BulletObject:
    """A table and the object of one world, which Bullet has to build again for every task."""

    def __init__(self, client: Any) -> None:
        """Build the table; ``client`` is the world's."""
        self._client = client
        self._body: int | None = None
        plane = client.createCollisionShape(self._client.GEOM_PLANE)
        table = client.createMultiBody(0, plane)
        client.changeDynamics(table, -1, lateralFriction=1.0, restitution=0.0)
        client.setCollisionFilterGroupMask(table, -1, 1, 1)

    def make(self, described: objects.Objects, i: int) -> None:
        """Build the i-th of the described objects, in place of the last one."""
        if self._body is not None:
            self._client.removeBody(self._body)
        self._com = described.inertia.com[i].tolist()
        self._body = self._client.createMultiBody(
            baseMass=float(described.parameters["object.mass"][i]),
            baseCollisionShapeIndex=self._make_shape(described.parts, i),
            baseInertialFramePosition=self._com,
        )
        self._client.changeDynamics(
            self._body,
            -1,
            lateralFriction=float(described.parameters["object.friction"][i]),
            restitution=float(described.parameters["object.restitution"][i]),
            spinningFriction=0.0,
            rollingFriction=0.0,
            linearDamping=0.0,
            angularDamping=0.0,
            localInertiaDiagonal=described.inertia.moments[i].tolist(),
            activationState=self._client.ACTIVATION_STATE_DISABLE_SLEEPING,
            contactProcessingThreshold=0.0,
        )

    def _make_shape(self, parts: objects.Parts, i: int) -> int:
        """The collision shape of the parts that the i-th object uses."""
        kinds: dict[str, list[Any]] = {
            "shapeTypes": [],
            "halfExtents": [],
            "radii": [],
            "lengths": [],
        }
        used = np.flatnonzero(parts.used[i])
        for part in used:
            size = parts.size[i, part].tolist()
            is_box = part != objects.DISC
            radius, half_height, _ = size
            kinds["shapeTypes"].append(self._client.GEOM_BOX if is_box else self._client.GEOM_CYLINDER)
            kinds["halfExtents"].append(size if is_box else [0.0] * 3)
            kinds["radii"].append(0.0 if is_box else radius)
            kinds["lengths"].append(0.0 if is_box else 2 * half_height)
        positions = [parts.pos[i, part].tolist() for part in used]
        shape = self._client.createCollisionShapeArray(**kinds, collisionFramePositions=positions)
        return int(shape)

    def place(self, start: Start, i: int) -> None:
        """Put the object at rest at the i-th row of a start; nothing before the first ``make``."""
        if self._body is None:
            return
        pos = objects.POSITION if start.object_pos is None else start.object_pos[i].tolist()
        turn = UNTURNED if start.object_quat is None else _xyzw(start.object_quat[i])
        center, turn = self._client.multiplyTransforms(pos, turn, self._com, UNTURNED)
        self._client.resetBasePositionAndOrientation(self._body, center, turn)
        self._client.resetBaseVelocity(self._body, [0, 0, 0], [0, 0, 0])

    def state(self) -> Array:
        """Position, quaternion w x y z and twist of the object's frame, (13,); NaN without one.

        Bullet gives those of the center of mass: velocity of the frame = velocity of the center +
        angular velocity × (frame - center).
        """
        if self._body is None:
            return np.full(13, np.nan)
        center, turn = self._client.getBasePositionAndOrientation(self._body)
        to_frame = [-x for x in self._com]
        pos, turn = self._client.multiplyTransforms(center, turn, to_frame, UNTURNED)
        velocity, spin = self._client.getBaseVelocity(self._body)
        x, y, z, w = turn
        vx, vy, vz = velocity
        wx, wy, wz = spin
        rx, ry, rz = (frame - middle for frame, middle in zip(pos, center, strict=True))
        frame_velocity = (
            vx + wy * rz - wz * ry,
            vy + wz * rx - wx * rz,
            vz + wx * ry - wy * rx,
        )
        return np.array([*pos, w, x, y, z, *frame_velocity, *spin])


def _xyzw(quat: Array) -> list[float]:
    """Bullet's order of a quaternion w, x, y, z."""
    w, x, y, z = quat.tolist()
    return [x, y, z, w]
