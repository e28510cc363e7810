"""A simulated arm behind an emulated controller, with the object of a family beside it."""

from dataclasses import replace

import numpy as np

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.signals import Array, ObjectMotion, Setpoint
from robots.world import Family, Start
from sim.engines.mujoco import MujocoEngine
from sim.plant import STEP


class ScenePlant:
    """MuJoCo's model of a family's scene: an arm whose servos pull toward a target, and an object.

    Unlike the joints of ``Plant`` those of this arm do not sag: gravity is compensated, as in
    training.
    """

    def __init__(self, family: Family, arm: ArmSpec, seed: int = 0) -> None:
        """Build the scene, with the arm in its rest pose and the first object at a start.

        Args:
            family: with one object.
            arm: its body.
            seed: of the objects that ``place`` brings.

        Raises:
            BadArgumentError: the family has no object, or several.
        """
        scene = family.scene.with_timestep(STEP)
        if len(scene.objects) != 1:
            raise BadArgumentError(f"{family.name} has {len(scene.objects)} objects, and not one")
        self.object_name = scene.objects[0].name
        self._family = family
        self._seed = seed
        self._engine = MujocoEngine(threads=1)
        self._engine.load(scene, 1)
        self._target = arm.rest.copy()
        self._pending = 0.0  # s that have passed but are not simulated yet
        self._begin(0, arm.rest)

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad or m, velocities and torques or forces, (j,) each."""
        signals = self._signals
        return signals.q[0], signals.dq[0], signals.tau[0]

    def write(self, q: Array) -> None:
        """Set the joints' target, (j,) rad."""
        self._target = q.copy()

    def advance(self, dt: float) -> None:
        """Let ``dt`` s pass; a remainder below one physics step is simulated later."""
        self._pending += dt
        steps = int(self._pending / STEP)
        if steps > 0:
            self._pending -= steps * STEP
            target = self._target[None, None]
            at_rest = np.zeros_like(target)
            self._engine.run(Setpoint(target, at_rest, at_rest), steps)
            self._signals = self._engine.read()

    @property
    def motion(self) -> ObjectMotion:
        """Where the object is, and how it moves: one row."""
        return self._signals.objects[self.object_name]

    def place(self, number: int, place: Array, quat: Array) -> None:
        """Replace the object by another one at rest; the arm stops where it is.

        Args:
            number: which of the held-out objects, from 0; the same one each time.
            place: (2,) m, x and y; its height is that at which it lies.
            quat: (4,) w x y z.
        """
        q, _, _ = self.read()
        self._begin(number, q, place, quat)

    def _begin(
        self, number: int, q: Array, place: Array | None = None, quat: Array | None = None
    ) -> None:
        """Put an object at a place, or at one of the family's starts."""
        rng = np.random.default_rng([self._seed, number])
        task = self._family.sample(rng, 1, "heldout")
        start: Start = self._family.start(rng, task)
        assert start.object_pos is not None, "a family with an object places it"
        pos = start.object_pos.copy()
        if place is not None:
            pos[0, :2] = place
        turned = start.object_quat if quat is None else quat[None]

        self._engine.write(task)
        self._engine.reset(replace(start, q=q[None], dq=None, object_pos=pos, object_quat=turned))
        self._signals = self._engine.read()
