"""One arm's physics for a controller of its own: joint targets in, joint states out."""

import numpy as np

from robots.arm import ArmSpec
from robots.scene import Scene
from robots.signals import Array, Setpoint
from robots.world import Start
from sim.engines.mujoco import MujocoEngine

STEP = 0.001  # s of physics


class Plant:
    """MuJoCo's arm, at home to begin with; its joints' servos pull towards a target, and gravity is compensated.

    Nobody tells the servos how fast a target moves: as at an arm, the joints lag behind it.
    """

    def __init__(self, arm: ArmSpec) -> None:
        self.arm = arm
        self._engine = MujocoEngine(threads=1)
        self._engine.load(Scene(arm, timestep=STEP), 1)
        self._engine.reset(Start(arm.home[None]))
        self._target, self._owed = arm.home.copy(), 0.0

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad, velocities rad/s and torques N·m, (j,) each."""
        signals = self._engine.read()
        return signals.q[0], signals.dq[0], signals.tau[0]

    def write(self, q: Array) -> None:
        """Where the joints shall go, (j,) rad."""
        self._target = np.array(q, dtype=np.float64)

    def advance(self, dt: float) -> None:
        """Let ``dt`` s pass; what is less than a step of the physics is owed to the next time."""
        self._owed += dt
        steps = int(self._owed / STEP)
        if steps:
            self._owed -= steps * STEP
            still = np.zeros_like(self._target)[None]
            self._engine.step(Setpoint(self._target[None], still, still), steps)
