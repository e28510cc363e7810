"""How the joints of a body are driven in PyBullet, for each kind of body.

A new kind of body registers its own: ``@bullet_drive.register``.
"""

from abc import ABC, abstractmethod
from functools import singledispatch

import mujoco
import numpy as np

from robots.arm import ArmSpec, Body, Walker
from robots.errors import BadArgumentError
from robots.signals import Array, Setpoint, Torque, no_wrench
from robots.world import Task
from sim.engines.base import actuator_strength, joint_damping, require_command
from sim.engines.bullet_world import BulletWorld
from sim.engines.bullet_wrench import ToolContacts

STIFFNESS = 100.0  # 1/s, share of the position error that a servo closes per time


class Drive(ABC):
    """The motors of one world's body.

    Attributes:
        rotors: whether links carry the inertia of their joints' rotors.
        physics: names of what ``write`` sets, beside those that every kind of body has.
        damping: N·m·s/rad, what the task adds to every driven joint.
        strength: (j,) factor of each joint's torque.
        tau: (j,) N·m.
    """

    rotors = False
    physics: tuple[str, ...] = ()

    def __init__(self, world: BulletWorld, model: mujoco.MjModel) -> None:
        """Drive the body of a world, built from a model."""
        driven = len(world.scene.body.joints)
        self.world = world
        self.damping = 0.0
        self.strength = np.ones(driven)
        self.tau = np.zeros(driven)

    def set_strength(self, strength: Array) -> None:
        """Set the factor of each joint's torque, (j,).

        Raises:
            BadArgumentError: this kind of motor cannot have one of them.
        """
        self.strength = strength

    def write(self, task: Task) -> None:
        """Set damping, strength and ``physics`` by a task (1 row); else they are the model's.

        Raises:
            BadArgumentError: this kind of motor cannot have one of them.
        """
        self.damping = float(joint_damping(task)[0])
        self.set_strength(actuator_strength(task, self.world.scene.body.joints)[0])

    def hold_position(self) -> Array:
        """The setpoint (j,) at which the joints stay where they are: where that is, if stiff."""
        held: Array = self.world.q[-len(self.strength) :]
        return held

    def tool_wrench(self) -> Array:
        """Force N and torque N·m (6,) of the tool on what it touches; NaN without a tool."""
        return no_wrench()

    @abstractmethod
    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Simulate one tick under a command with fields (j,)."""


@singledispatch
def bullet_drive(body: Body) -> type[Drive]:
    """What drives this kind of body.

    Raises:
        BadArgumentError: nothing is registered for it.
    """
    raise BadArgumentError(f"{body.name}: PyBullet cannot drive a {type(body).__name__}")


@bullet_drive.register
def _(body: ArmSpec) -> type[Drive]:
    return Servos if body.gripper is None else GrippingServos


@bullet_drive.register
def _(body: Walker) -> type[Drive]:
    return Motors


class Servos(Drive):
    """Velocity constraints that also close the position error, within the torque limits.

    They differ from MuJoCo's springs and dampers on purpose: a second engine is there to show how a
    policy copes with different physics. As constraints they have no rotors, and hold against
    gravity.
    """

    def __init__(self, world: BulletWorld, model: mujoco.MjModel) -> None:
        """See ``Drive``."""
        super().__init__(world, model)
        (tree,) = [tree for tree in world.trees if tree.body == world.body]
        self._tool_contacts = ToolContacts(world.client, model, tree)

    def tool_wrench(self) -> Array:
        """Force N and torque N·m (6,) of the tool, see ``ToolContacts``."""
        return self._tool_contacts.wrench()

    def set_strength(self, strength: Array) -> None:
        """Set the share of each torque limit that is available; see ``Drive``.

        It is not negative, as Bullet's servos always push toward their target.
        """
        if (strength < 0).any():
            name = self.world.scene.body.name
            raise BadArgumentError(f"{name}: Bullet cannot invert a servo, got {strength.min()}")
        super().set_strength(strength)

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Simulate one tick toward a setpoint, which is where to be when the tick ends."""
        world = self.world
        scene = world.scene
        setpoint = require_command(scene.body, command, Setpoint)
        dt = scene.timestep
        if self._needs_fine_steps(substeps * dt):
            dt /= scene.contact_substeps
            substeps *= scene.contact_substeps
        max_torque = self._max_torque(setpoint)
        client = world.client
        client.setTimeStep(dt)
        for substeps_left in range(substeps, 0, -1):
            # s until the tick ends; Bullet compares the target with the position before the substep
            remaining = substeps_left * dt
            target = setpoint.q - world.reference - remaining * setpoint.dq
            self._move(target, setpoint.dq, max_torque, dt)
            world.step()
        self.tau = world.measure()

    def _move(self, target: Array, velocity: Array, max_torque: list[float], dt: float) -> None:
        """Let the servos pull toward ``target`` (j,) rad at ``velocity`` in a substep of dt s."""
        world = self.world
        client = world.client
        count = len(world.joints)
        client.setJointMotorControlArray(
            world.body,
            world.joints,
            client.POSITION_CONTROL,
            targetPositions=target.tolist(),
            targetVelocities=velocity.tolist(),
            forces=max_torque,
            positionGains=[STIFFNESS * dt] * count,
            velocityGains=[1.0] * count,
        )

    def _needs_fine_steps(self, tick: float) -> bool:
        """Whether an impact is due in the next ``tick`` s, and the scene has fine steps for it.

        With several objects, the contact of the nearest one is made soft as well.
        """
        world = self.world
        has_fine_steps = world.scene.contact_timestep is not None
        has_several = len(world.objects) > 1
        if not (has_fine_steps or has_several):
            return False
        due = [item.needs_fine_steps(world.body, tick) for item in world.objects]
        if has_several:
            world.soften()
        return has_fine_steps and any(due)

    def _max_torque(self, setpoint: Setpoint) -> list[float]:
        """The torque that each servo may use, N·m: its limit less the torque of damping.

        Damping takes torque from a servo that speeds its joint up and adds to one that brakes.
        Bullet's own joint damping is unstable at such values.
        """
        world = self.world
        correction = STIFFNESS * (setpoint.q - world.q)
        velocity = setpoint.dq + correction  # what the servo works toward
        direction = np.sign(velocity - world.dq)
        damping = self.damping * direction * world.dq
        available = self.strength * world.scene.body.limits.tau
        torque = np.maximum(available - damping, 0.0)
        return list(torque.tolist())


class GrippingServos(Servos):
    """The servos of an arm with a gripper, whose motor is a spring and a damper, as in MuJoCo."""

    LEAST_FORCE = 1.0  # N, close to the setpoint, to overcome the fingers' inertia

    def __init__(self, world: BulletWorld, model: mujoco.MjModel) -> None:
        """See ``Drive``."""
        super().__init__(world, model)
        self._grip_stiffness = float(model.actuator_gainprm[-1, 0])  # N/m
        self._grip_damping = -float(model.actuator_biasprm[-1, 2])  # N·s/m
        self._grip_speed = float(world.scene.body.limits.dq[-1])  # m/s

    def _move(self, target: Array, velocity: Array, max_torque: list[float], dt: float) -> None:
        """As every servo, but the gripper has the force of its spring and damper, and its speed."""
        super()._move(target, velocity, max_torque, dt)
        world = self.world
        client = world.client
        finger = world.joints[-1]
        position, speed, *_ = client.getJointState(world.body, finger)
        stretched = abs(float(target[-1]) - position)
        too_fast = abs(float(velocity[-1]) - speed)
        force = self._grip_stiffness * stretched + self._grip_damping * too_fast
        client.setJointMotorControl2(
            world.body,
            finger,
            client.POSITION_CONTROL,
            targetPosition=float(target[-1]),
            targetVelocity=float(velocity[-1]),
            positionGain=STIFFNESS * dt,
            velocityGain=1.0,
            force=min(max(force, self.LEAST_FORCE), max_torque[-1]),
            maxVelocity=self._grip_speed,
        )


class Motors(Drive):
    """Torques, with the model's springs and dampers computed in each substep."""

    rotors = True

    def __init__(self, world: BulletWorld, model: mujoco.MjModel) -> None:
        """See ``Drive``."""
        super().__init__(world, model)
        body = world.scene.body
        no_force = [0.0] * len(world.joints)  # switches Bullet's own motors off
        client = world.client
        client.setJointMotorControlArray(
            world.body, world.joints, client.VELOCITY_CONTROL, forces=no_force
        )
        undriven = len(world.joints) - len(body.joints)  # a free root is not among them
        names = (*body.root, *body.joints)
        joints = [model.joint(name) for name in names[len(names) - len(world.joints) :]]
        self._stiffness = np.concatenate([joint.stiffness for joint in joints])
        self._rest = np.concatenate([joint.qpos_spring for joint in joints])
        self._model_damping = np.concatenate([joint.damping for joint in joints])
        self._root_zeros = np.zeros(undriven)

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Simulate one tick under torques."""
        world = self.world
        torque = require_command(world.scene.body, command, Torque)
        self.tau = self.strength * torque.tau
        driven = np.full(len(self.tau), self.damping)
        damping = self._model_damping + np.concatenate([self._root_zeros, driven])
        motor = np.concatenate([self._root_zeros, self.tau])
        client = world.client
        for _ in range(substeps):
            spring = self._stiffness * (world.joint_q - self._rest)
            total = motor - spring - damping * world.joint_dq
            client.setJointMotorControlArray(
                world.body,
                world.joints,
                client.TORQUE_CONTROL,
                forces=total.tolist(),
            )
            world.step()
            world.measure()
