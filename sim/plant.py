"""A simulated arm behind an emulated controller: joint targets in, joint states out."""

import mujoco
import numpy as np

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.mujoco_model import compile_model
from robots.scene import Scene
from robots.signals import Array
from sim.couplings import place_followers
from sim.scene_model import build_scene

STEP = 0.001  # s of physics
STOP = (0.004, 1.0)  # solref of what fingers meet: 30 N press them 0.1 mm into it


class Plant:
    """MuJoCo's model of an arm whose servos pull toward a target.

    The servos get no target velocity, so the joints lag behind a moving target as on a real arm.
    The servos are soft, so the joints sag below their target under the arm's weight. Training
    compensates gravity instead: a policy commands velocities and does not depend on a constant sag.
    """

    def __init__(self, arm: ArmSpec, q: Array | None = None, gravity: bool = True) -> None:
        """Build the arm.

        Args:
            arm: the arm.
            q: (j,) rad, where it begins; None: in its rest pose.
            gravity: whether gravity acts; else it is compensated.
        """
        self.arm = arm
        spec = build_scene(Scene(arm, timestep=STEP))
        for link in spec.bodies[1:]:
            link.gravcomp = 0.0 if gravity else 1.0
        self._model = compile_model(spec)
        self._data = mujoco.MjData(self._model)
        joints = [self._model.joint(name) for name in arm.joints]
        self._q = np.array([joint.qposadr[0] for joint in joints])
        self._dq = np.array([joint.dofadr[0] for joint in joints])
        begin = arm.rest if q is None else q
        self._data.qpos[self._q] = begin
        place_followers(self._model, self._data.qpos)
        self._data.ctrl[:] = begin
        self._pending = 0.0  # s that have passed but are not simulated yet

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad or m, velocities and torques or forces, (j,) each."""
        data = self._data
        return data.qpos[self._q], data.qvel[self._dq], data.actuator_force.copy()

    def put_between(self, half_width: float | None) -> None:
        """Put an object of this half width, m, between the fingers, or take it away.

        It stays in the middle between them, hard and without weight.

        Raises:
            BadArgumentError: the arm has no gripper.
        """
        gripper = self.arm.gripper
        if gripper is None:
            raise BadArgumentError(f"{self.arm.name} has no gripper to hold an object with")
        finger = self._model.joint(gripper.joint)
        finger.range[0] = gripper.closed if half_width is None else half_width
        self._model.jnt_solref[finger.id] = STOP

    def write(self, q: Array) -> None:
        """Set the joints' target, (j,) rad."""
        self._data.ctrl[:] = q

    def advance(self, dt: float) -> None:
        """Let ``dt`` s pass; a remainder below one physics step is simulated later."""
        self._pending += dt
        steps = int(self._pending / STEP)
        if steps > 0:
            self._pending -= steps * STEP
            mujoco.mj_step(self._model, self._data, nstep=steps)
