"""PD servos in PyBullet, for soft arms and their payloads: springs and dampers, as in MuJoCo."""

from math import ceil

import mujoco
import numpy as np

from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint, Torque
from robots.world import Task
from sim.engines.base import require_command
from sim.engines.bullet_drives import Servos, bullet_drive
from sim.engines.bullet_world import BulletWorld
from sim.loaded_arm import PARTS, LoadedArm, payload_torque
from sim.soft_arm import SoftArm

STEP = 0.001  # s of a step at most
# Forces are computed at the beginning of a step, so it is at most this share of inertia over
# damping. A single joint would be stable below 2; at 0.6 the wrist of a ViperX still trembled.
STABLE = 0.3
FRICTION_SCALE = "joint.damping_scale"
MASS_SCALES = tuple(f"body.{part}.mass_scale" for part in PARTS)


class PdServos(Servos):
    """Springs and dampers toward a setpoint, and viscous friction.

    There is no gravity: as in MuJoCo's model the arm's own is compensated.
    """

    rotors = True
    physics: tuple[str, ...] = (FRICTION_SCALE,)

    def __init__(self, world: BulletWorld, model: mujoco.MjModel) -> None:
        """See ``Drive``.

        Raises:
            BadArgumentError: the scene has objects, which would not fall.
        """
        super().__init__(world, model)
        scene = world.scene
        if scene.objects:
            raise BadArgumentError(f"PyBullet cannot carry {scene.description}: nothing would fall")
        count = len(world.joints)
        self._stiffness = model.actuator_gainprm[:, 0].copy()
        self._servo_damping = -model.actuator_biasprm[:, 2]
        self._inertia = model.dof_M0[:count].copy()  # kg·m², of each joint with the links after it
        self._friction = model.dof_damping[:count].copy()
        self._friction_scale = 1.0
        client = world.client
        client.setGravity(0.0, 0.0, 0.0)
        client.setJointMotorControlArray(
            world.body, world.joints, client.VELOCITY_CONTROL, forces=[0.0] * count
        )

    def write(self, task: Task) -> None:
        """Set the friction too; see ``Drive``."""
        super().write(task)
        self._friction_scale = _factor(task, FRICTION_SCALE)

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Simulate one tick toward a setpoint, which is where to be when the tick ends."""
        world = self.world
        scene = world.scene
        setpoint = require_command(scene.body, command, Setpoint)
        friction = self._friction_scale * self._friction + self.damping
        damping = self.strength * self._servo_damping + friction
        stable = STABLE * float((self._inertia / damping).min())
        ratio = ceil(scene.timestep / min(STEP, stable))
        dt = scene.timestep / ratio
        client = world.client
        client.setTimeStep(dt)
        for steps_left in range(substeps * ratio, 0, -1):
            self.tau = self._servo_torque(setpoint, steps_left * dt)
            total = self.tau - friction * world.dq
            client.setJointMotorControlArray(
                world.body, world.joints, client.TORQUE_CONTROL, forces=total.tolist()
            )
            self._pull()
            world.step()
            world.measure()

    def _servo_torque(self, setpoint: Setpoint, remaining: float) -> Array:
        """What the servos give, ``remaining`` s before the tick ends, (j,) N·m."""
        world = self.world
        error = setpoint.q - remaining * setpoint.dq - world.q
        slower = setpoint.dq - world.dq
        wanted = self._stiffness * error + self._servo_damping * slower
        limit = world.scene.body.limits.tau
        torque: Array = self.strength * np.clip(wanted, -limit, limit)
        return torque

    def _pull(self) -> None:
        """Apply the forces of the next step other than the servos'."""


class LoadedServos(PdServos):
    """The servos of an arm with a payload, and the payload's weight."""

    physics = (FRICTION_SCALE, *MASS_SCALES)

    def __init__(self, world: BulletWorld, model: mujoco.MjModel) -> None:
        """See ``PdServos``."""
        super().__init__(world, model)
        assert isinstance(world.scene.body, LoadedArm)
        self._arm = world.scene.body
        self._kinematics = Kinematics(self._arm)
        self._gravity = model.opt.gravity.copy()
        (tree,) = [tree for tree in world.trees if tree.body == world.body]
        parts = [model.body(name) for name in PARTS]
        self._parts = [tree.links[part.id] for part in parts]
        self._own_masses = [float(part.mass[0]) for part in parts]
        self._inertias = [part.inertia.tolist() for part in parts]
        self._masses = self._own_masses

    def write(self, task: Task) -> None:
        """Set the masses of the payload's parts too; see ``PdServos``."""
        super().write(task)
        factors = [_factor(task, name) for name in MASS_SCALES]
        self._masses = [m * f for m, f in zip(self._own_masses, factors, strict=True)]
        world = self.world
        rows = zip(self._parts, self._masses, self._inertias, strict=True)
        for link, mass, inertia in rows:
            world.client.changeDynamics(world.body, link, mass=mass, localInertiaDiagonal=inertia)

    def hold_position(self) -> Array:
        """The setpoint at which the joints stay: q + τ / stiffness, (j,) rad.

        τ is the torque of the payload's weight alone. That of a contact is left out: an arm that
        presses against something must not press on.
        """
        masses = np.array(self._masses)
        distances = np.array(list(PARTS.values()))
        mass = masses.sum(keepdims=True)
        center = masses @ distances / mass
        q = self.world.q[None]
        torque = payload_torque(self._arm, self._kinematics, q, mass, center)
        stiffness = self.strength * self._stiffness
        target = q + torque / stiffness
        held: Array = target[0]
        return held

    def _pull(self) -> None:
        """Let the weight of each part act at its center in the next step."""
        world = self.world
        client = world.client
        states = client.getLinkStates(world.body, self._parts, computeForwardKinematics=True)
        for link, mass, state in zip(self._parts, self._masses, states, strict=True):
            weight = mass * self._gravity
            center = state[0]
            client.applyExternalForce(world.body, link, weight.tolist(), center, client.WORLD_FRAME)


def _factor(task: Task, name: str) -> float:
    """A factor of a task (1 row); 1 where the task does not name it.

    Raises:
        BadArgumentError: it is not finite and positive.
    """
    if name not in task.names:
        return 1.0
    value = float(task[name][0])
    if not (np.isfinite(value) and value > 0):
        raise BadArgumentError(f"{name} must be finite and positive, got {value}")
    return value


@bullet_drive.register
def _(body: SoftArm) -> type[PdServos]:
    return PdServos


@bullet_drive.register
def _(body: LoadedArm) -> type[LoadedServos]:
    return LoadedServos
