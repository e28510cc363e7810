"""What all PyBullet worlds share: a client with a body, its joints and perhaps an object."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from robots.scene import Scene
from robots.signals import Array, Setpoint, Torque, no_wrench
from robots.world import Start
from sim.engines.base import start_velocity
from sim.engines.bullet_object import BulletObject, Client


class BulletBody(ABC):
    """One world. A subclass builds its body and says which of its joints are measured."""

    body: int  # Bullet's number of the body
    joints: list[int]  # Bullet's numbers of the root joints and the driven joints, in that order
    object: BulletObject | None = None

    def __init__(self, scene: Scene, client: Client) -> None:
        """``client`` is a fresh BulletClient."""
        self.client = client
        client.setPhysicsEngineParameter(
            fixedTimeStep=scene.timestep,
            numSolverIterations=50,
            deterministicOverlappingPairs=1,
        )
        driven = len(scene.body.joints)
        self.damping = 0.0  # N·m·s/rad, added to every driven joint
        self.strength = np.ones(driven)  # factor of each joint's torque
        self.tau = np.zeros(driven)  # N·m

    def place(self, start: Start, i: int) -> None:
        """Put everything at the i-th row of a start."""
        self.place_joints(start.q[i], start_velocity(start)[i])
        if self.object is not None:
            self.object.place(start, i)

    def place_joints(self, q: Array, dq: Array) -> None:
        """Put the joints at positions and velocities, (j,) each, in the order of ``joints``."""
        reset_joint = self.client.resetJointState
        for joint, position, velocity in zip(self.joints, q.tolist(), dq.tolist(), strict=True):
            reset_joint(self.body, joint, position, velocity)
        self.measure()

    def set_strength(self, strength: Array) -> None:
        """Set the factor of each joint's torque, (j,).

        Raises:
            BadArgumentError: one is negative, and this kind of body cannot be inverted.
        """
        self.strength = strength

    @abstractmethod
    def step(self, command: Setpoint | Torque, substeps: int) -> bool:
        """Simulate one tick under a command with fields (j,).

        Returns:
            Whether the state is finite afterwards.
        """

    def measure(self) -> list[Any]:
        """Read positions and velocities; returns Bullet's whole state of each joint."""
        states: list[Any] = self.client.getJointStates(self.body, self.joints)
        self.q = np.array([state[0] for state in states])
        self.dq = np.array([state[1] for state in states])
        return states

    def tool_wrench(self) -> Array:
        """Force N and torque N·m (6,) of the tool on what it touches; NaN without a tool."""
        return no_wrench()

    def object_state(self) -> Array:
        """Position, quaternion w x y z and twist of the object's frame, (13,); NaN without one."""
        if self.object is None:
            return np.full(13, np.nan)
        return self.object.state()

    def close(self) -> None:
        """End the client."""
        self.client.disconnect()
