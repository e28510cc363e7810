"""An arm in PyBullet: its base is fixed, its joints are velocity constraints.

The constraints also close the position error, within the torque limits. These servos differ from
MuJoCo's springs and dampers on purpose: a second engine is there to show how a policy copes with
different physics.
"""

from typing import Any

import numpy as np

from robots.arm import ArmSpec
from robots.engine_urdf import engine_urdf
from robots.errors import BadArgumentError
from robots.kinematics import GRAVITY
from robots.scene import Scene
from robots.signals import Array, Setpoint, Torque
from sim.engines.base import require_command
from sim.engines.bullet_body import BulletBody
from sim.engines.bullet_object import BASE, BulletObject, Client

STIFFNESS = 100.0  # 1/s, share of the position error that a servo closes per time


class BulletArm(BulletBody):
    """One world: the arm, and its object where the scene has one."""

    def __init__(self, arm: ArmSpec, scene: Scene, client: Client) -> None:
        """``client`` is a fresh BulletClient."""
        super().__init__(scene, client)
        self._arm = arm
        self._scene = scene
        client.setGravity(0, 0, -GRAVITY)
        # as in MuJoCo: inertias of the file, and round cylinders instead of prisms
        flags = client.URDF_USE_INERTIA_FROM_FILE | client.URDF_USE_IMPLICIT_CYLINDER
        with engine_urdf(arm).written() as path:
            self.body = client.loadURDF(str(path), useFixedBase=True, flags=flags)
        count = client.getNumJoints(self.body)
        infos = [client.getJointInfo(self.body, i) for i in range(count)]
        joint_numbers = {info[1].decode(): info[0] for info in infos}
        self.joints = [joint_numbers[name] for name in arm.joints]
        for link in range(BASE, count):
            client.changeDynamics(
                self.body,
                link,
                linearDamping=0,
                angularDamping=0,
                jointDamping=0,
            )
        if scene.objects:
            links = range(BASE, count)
            strikers = [link for link in links if client.getCollisionShapeData(self.body, link)]
            for link in strikers:
                # Bullet multiplies the friction of two bodies in contact: here the object's counts
                client.changeDynamics(self.body, link, lateralFriction=1.0, restitution=0.0)
            contact_dt = scene.timestep / scene.contact_substeps
            self.object = BulletObject(client, self.body, strikers, contact_dt)
        self.measure()

    def set_strength(self, strength: Array) -> None:
        """Set the share of each servo's torque limit that is available, (j,).

        Raises:
            BadArgumentError: one is negative; Bullet's servos always push toward their target.
        """
        if (strength < 0).any():
            name = self._arm.name
            raise BadArgumentError(f"{name}: Bullet cannot invert a servo, got {strength.min()}")
        super().set_strength(strength)

    def step(self, command: Setpoint | Torque, substeps: int) -> bool:
        """Simulate one tick toward a setpoint, which is where to be when the tick ends."""
        setpoint = require_command(self._arm, command, Setpoint)
        dt = self._scene.timestep
        if self._needs_fine_steps(substeps * dt):
            dt /= self._scene.contact_substeps
            substeps *= self._scene.contact_substeps
        gain = STIFFNESS * dt
        max_torque = self._max_torque(setpoint)
        count = len(self.joints)
        client = self.client
        client.setTimeStep(dt)
        for substeps_left in range(substeps, 0, -1):
            # s until the tick ends; Bullet compares the target with the position before the substep
            remaining = substeps_left * dt
            target = setpoint.q - remaining * setpoint.dq
            client.setJointMotorControlArray(
                self.body,
                self.joints,
                client.POSITION_CONTROL,
                targetPositions=target.tolist(),
                targetVelocities=setpoint.dq.tolist(),
                forces=max_torque,
                positionGains=[gain] * count,
                velocityGains=[1.0] * count,
            )
            client.stepSimulation()
        self.measure()
        return bool(np.isfinite(self.q).all())

    def _needs_fine_steps(self, tick: float) -> bool:
        """Whether a blow is due in a tick of so many s, and fine steps are asked for."""
        if self._scene.contact_timestep is None or self.object is None:
            return False
        return self.object.needs_fine_steps(self.body, tick)

    def _max_torque(self, setpoint: Setpoint) -> list[float]:
        """The torque that each servo may use, N·m: its limit less the torque of damping.

        Damping takes torque from a servo that speeds its joint up and adds to one that brakes.
        Bullet's own joint damping is unstable at such values.
        """
        error = setpoint.q - self.q
        correction = STIFFNESS * error
        velocity = setpoint.dq + correction  # what the servo works toward
        direction = np.sign(velocity - self.dq)
        damping = self.damping * direction * self.dq
        limit = self._arm.limits.tau
        available = self.strength * limit
        torque = np.maximum(available - damping, 0.0)
        return list(torque.tolist())

    def measure(self) -> list[Any]:
        """Read torques too: those of the constraints."""
        states = super().measure()
        self.tau = np.array([state[3] for state in states])
        return states
