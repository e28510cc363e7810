"""A body in PyBullet that moves freely: an object, or the root of a walker."""

import mujoco
import numpy as np

from robots.signals import Array
from sim.engines.bullet_shapes import Client, rotated, xyzw


class FreeBody:
    """The pose and twist of a free body's frame, where Bullet tells those of its center of mass.

    Attributes:
        body: Bullet's number of it.
    """

    def __init__(self, client: Client, model: mujoco.MjModel, root: int, body: int) -> None:
        """Take over what was built.

        Args:
            client: the world's.
            model: the world's.
            root: MuJoCo's number of the body.
            body: Bullet's number of it.
        """
        self.body = body
        self._client = client
        center = model.body_ipos[root].tolist()
        turn = xyzw(model.body_iquat[root])
        self._to_center = (center, turn)
        self._to_frame = client.invertTransform(center, turn)

    def place(self, pos: Array, quat: Array, velocity: Array, spin: Array) -> None:
        """Put the frame at (3,) m, turned by w, x, y, z, with its m/s and rad/s in the world."""
        client = self._client
        frame = (pos.tolist(), xyzw(quat))
        center, turn = client.multiplyTransforms(*frame, *self._to_center)
        offset = np.array(center) - pos
        center_velocity = velocity + np.cross(spin, offset)
        client.resetBasePositionAndOrientation(self.body, center, turn)
        client.resetBaseVelocity(self.body, center_velocity.tolist(), spin.tolist())

    def state(self) -> Array:
        """Position, quaternion w x y z and twist of the frame, (13,).

        Velocity of the frame = velocity of the center + angular velocity × (frame - center).
        """
        client = self._client
        center, turn = client.getBasePositionAndOrientation(self.body)
        pos, turn = client.multiplyTransforms(center, turn, *self._to_frame)
        velocity, spin = client.getBaseVelocity(self.body)
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


class FreeRoot(FreeBody):
    """The free root of a walker, with the numbers of a free joint in MuJoCo.

    They are 7 positions, x, y, z and a quaternion, and 6 velocities: m/s in the world's frame, then
    rad/s in the body's.
    """

    def place_joint(self, q: Array, dq: Array) -> None:
        """Put the root at positions (7,) and velocities (6,)."""
        quat = q[3:7]
        spin = rotated(dq[3:6], quat)
        self.place(q[:3], quat, dq[:3], spin)

    def joint(self) -> tuple[Array, Array]:
        """Its positions (7,) and velocities (6,)."""
        state = self.state()
        q = state[:7]
        velocity = state[7:10]
        spin = state[10:]
        inverse = q[3:] * (1, -1, -1, -1)
        spin_in_body = rotated(spin, inverse)
        return q, np.concatenate([velocity, spin_in_body])
