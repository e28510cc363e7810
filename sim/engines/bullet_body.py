"""What PyBullet's arms and walkers share: joints in a client of their own, put somewhere and measured."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from robots.scene import Scene
from robots.signals import Array, Setpoint, Torque
from robots.world import Start


class BulletBody(ABC):
    """One world. A subclass builds its body, ``self.body``, and says which of its joints are ``self.joints``."""

    body: int
    joints: list[int]

    def __init__(self, scene: Scene, client: Any) -> None:
        """``client`` is a fresh BulletClient."""
        self.client = client
        client.setPhysicsEngineParameter(
            fixedTimeStep=scene.timestep, numSolverIterations=50, deterministicOverlappingPairs=1
        )
        driven = len(scene.body.joints)
        self.damping, self.strength = (
            0.0,
            np.ones(driven),
        )  # N·m·s/rad of every joint; share of torque that arrives
        self.tau = np.zeros(driven)

    def place(self, start: Start, i: int) -> None:
        """The body as the i-th start says."""
        speeds = np.zeros_like(start.q) if start.dq is None else start.dq
        for joint, angle, speed in zip(self.joints, start.q[i], speeds[i], strict=True):
            self.client.resetJointState(self.body, joint, float(angle), float(speed))
        self.measure()

    @abstractmethod
    def step(self, command: Setpoint | Torque, i: int, substeps: int) -> bool:
        """Some substeps under the i-th command; False when something is no longer finite."""

    def measure(self) -> list[Any]:
        """Read positions and velocities; all that Bullet says of the joints."""
        states: list[Any] = self.client.getJointStates(self.body, self.joints)
        self.q, self.dq = (np.array([state[k] for state in states]) for k in (0, 1))
        return states

    def object_state(self) -> Array:
        """Position, quaternion w x y z, linear and angular velocity of the object's frame, (13,); NaN without one."""
        return np.full(13, np.nan)

    def close(self) -> None:
        """End the client."""
        self.client.disconnect()
