"""A simulated arm behind an emulated controller: joint targets in, joint states out."""

import numpy as np

from robots.arm import ArmSpec
from robots.scene import Scene
from robots.signals import Array, Setpoint
from robots.world import Start
from sim.engines.mujoco import MujocoEngine

STEP = 0.001  # s of physics


class Plant:
    """MuJoCo's model of an arm, starting at its home position.

    Its servos pull toward a target, and gravity is compensated. The servos get no target velocity,
    so the joints lag behind a moving target as on a real arm.
    """

    def __init__(self, arm: ArmSpec) -> None:
        """Build the arm at home."""
        self.arm = arm
        self._engine = MujocoEngine(threads=1)
        scene = Scene(arm, timestep=STEP)
        start = Start(arm.home[None])
        self._engine.load(scene, 1)
        self._engine.reset(start)
        self._target = arm.home.copy()
        self._pending = 0.0  # s that have passed but are not simulated yet

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad, velocities rad/s and torques N·m, (j,) each."""
        signals = self._engine.read()
        return signals.q[0], signals.dq[0], signals.tau[0]

    def write(self, q: Array) -> None:
        """Set the joints' target, (j,) rad."""
        self._target = np.array(q, dtype=np.float64)

    def advance(self, dt: float) -> None:
        """Let ``dt`` s pass; a remainder below one physics step is simulated later."""
        self._pending += dt
        steps = int(self._pending / STEP)
        if steps == 0:
            return
        self._pending -= steps * STEP
        target = self._target[None, None]  # one tick of one world
        zero = np.zeros_like(target)
        self._engine.run(Setpoint(target, zero, zero), steps)
