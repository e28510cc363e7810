"""A simulated arm behind an emulated controller: joint targets in, joint states out."""

import mujoco

from robots.arm import ArmSpec
from robots.mujoco_model import compile_model
from robots.scene import Scene
from robots.signals import Array
from sim.scene_model import build_scene

STEP = 0.001  # s of physics


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
        begin = arm.rest if q is None else q
        self._data.qpos[:] = begin
        self._data.ctrl[:] = begin
        self._pending = 0.0  # s that have passed but are not simulated yet

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad, velocities rad/s and torques N·m, (j,) each."""
        data = self._data
        return data.qpos.copy(), data.qvel.copy(), data.actuator_force.copy()

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
