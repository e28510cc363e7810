"""Physics by MuJoCo: n simulations with their own models, stepped by a pool of threads.

``mujoco.batch.Batch`` steps them. Axes: n worlds, k ticks, j joints.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError
from numpy.typing import NDArray

from robots.scene import Scene
from robots.signals import Array, Mask, Setpoint, Signals, Torque
from robots.world import Start, Task
from sim.couplings import place_followers
from sim.engines import PHYSICS_THREADS
from sim.engines.base import (
    count_ticks,
    is_registered,
    require_known_physics,
    require_support,
    start_pose,
    take_tick,
    world_indices,
)
from sim.engines.contact_steps import ContactSteps
from sim.engines.fixture_fields import FIXTURE_FIELDS, FixtureFields
from sim.engines.mujoco_control import actuator_control
from sim.engines.mujoco_joints import JOINT_FIELDS, joint_columns, set_joints
from sim.engines.mujoco_scales import apply_scales, find_scales
from sim.engines.mujoco_signals import NO_STAGE, SignalViews
from sim.engines.object_fields import ObjectFields
from sim.engines.tool_shapes import TOOL_SHAPE_FIELDS, ToolShapes
from sim.scene_model import body_model, compile_scene, tool_geoms

# After these warnings MuJoCo continues with a zeroed command or a state that it has reset: the
# numbers of that world are meaningless. BADQPOS, BADQVEL, BADQACC and BADCTRL are in a row.
FATAL = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADCTRL) + 1)


class MujocoEngine:
    """An Engine over MuJoCo.

    An arm's servos are springs and dampers toward the setpoint; its gravity is compensated and its
    torque is clipped. A walker is as its MJCF says, and its motors give the commanded torques.
    """

    n = 0

    def __init__(self, threads: int | None = None) -> None:
        """``threads`` defaults to ``PHYSICS_THREADS``, else to the cores of this process."""
        given = threads or int(os.environ.get(PHYSICS_THREADS, "0"))
        self._threads = given or len(os.sched_getaffinity(0))

    @staticmethod
    def supports(scene: Scene) -> bool:
        """Every body whose kind has a registered model."""
        return is_registered(body_model, scene.body)

    def load(self, scene: Scene, n: int) -> None:
        """Compile the scene and make n simulations of it.

        Raises:
            BadArgumentError: the engine does not support the scene, or the joints of the body's
                model are not those that the body names.
        """
        require_support(self, scene)
        self.scene = scene
        self.n = n
        model = compile_scene(scene)
        self._model = model
        threads = min(self._threads, n)
        self.batch = Batch(model, n, nthread=threads)
        self._columns = joint_columns(model, scene.body)
        self._signals = SignalViews(self.batch, model, scene, self._columns)
        self._force = self.batch.bind("actuator_force")
        self._fine_model = copy(model)
        self._fine_model.opt.timestep /= scene.contact_substeps
        self._contact_steps: ContactSteps | None = None
        if scene.contact_timestep is not None:
            self._contact_steps = ContactSteps(scene, n)
            self._timestep = self.batch.expand("opt.timestep")
        self._gear = model.actuator_gear[:, 0].copy()  # N·m per unit of an actuator's force
        driven = len(scene.body.joints)
        self._tau = np.zeros((n, driven))
        self._is_stale = True  # frames and sensors are older than positions and velocities
        self._watch_warnings()
        names = list(JOINT_FIELDS)
        if scene.objects:
            self._object_fields = ObjectFields(scene, model)
            names += self._object_fields.names
        self._fixture_fields = FixtureFields(scene, model)
        self._tool_shapes = ToolShapes(scene.body, model)
        if tool_geoms(scene.body):
            names += TOOL_SHAPE_FIELDS
        self._fields: dict[str, Array] = {}
        self._defaults: dict[str, Array] = {}
        self._expand(names)

    def _watch_warnings(self) -> None:
        """Begin without worlds that broke down."""
        # how often MuJoCo has given each fatal warning, (n, kinds): a view
        self._warnings = self.batch.warning[:, FATAL, 1]
        self._warnings_at_reset = self._warnings.copy()
        self._diverged = np.zeros(self.n, dtype=bool)

    def _expand(self, names: Iterable[str]) -> None:
        """Give model fields a value per world, beginning with the model's own."""
        for name in names:
            if name not in self._fields:
                self._fields[name] = self.batch.expand(name)
                self._defaults[name] = getattr(self._model, name).copy()

    def write(self, task: Task, mask: Mask | None = None) -> None:
        """Set some worlds' physics, starting from the model's own values."""
        scales = find_scales(self._model, task.names)
        require_known_physics(self.scene.body, task, [scale.parameter for scale in scales])
        rows = world_indices(mask, self.n)
        if not len(rows):
            return
        task = task.take(rows)
        self._expand(scale.field for scale in scales)
        if any(name.startswith("fixture.") for name in task.names):
            self._expand(FIXTURE_FIELDS)
        values = {}
        for name, default in self._defaults.items():
            values[name] = np.repeat(default[None], len(rows), 0)
        apply_scales(values, scales, task)
        set_joints(values, self.scene.body, self._columns.driven, task)
        self._fixture_fields.write(values, task)
        self._tool_shapes.write(values, task)
        if self.scene.objects:
            described = self._object_fields.write(values, task)
            for item, each in zip(self.scene.objects, described, strict=True):
                if item.joints:
                    self._signals.jointed[item.name].choose(each.parameters, rows)
            if self._contact_steps is not None:
                self._contact_steps.describe([each.parts for each in described], rows)
        for name, field in self._fields.items():
            field[rows] = values[name]
        self.batch.set_const(rows)
        self._is_stale = True

    def reset(self, start: Start, mask: Mask | None = None) -> None:
        """Put some worlds at their start."""
        rows = world_indices(mask, self.n)
        if not len(rows):
            return
        self.batch.reset(rows, stage=NO_STAGE)
        self._signals.q[rows] = start.q[rows]
        self._signals.dq[rows] = 0.0 if start.dq is None else start.dq[rows]
        if self._model.neq:
            placed = self._signals.qpos[rows]
            place_followers(self._model, placed)
            self._signals.qpos[rows] = placed
        self._place_objects(start, rows)
        if self._contact_steps is not None:
            self._contact_steps.begin(rows)
        self._warnings_at_reset[rows] = self._warnings[rows]
        self._tau[rows] = 0.0
        self._diverged[rows] = False
        self._is_stale = True

    def _place_objects(self, start: Start, rows: NDArray[np.int64]) -> None:
        """Put the objects at their starts; those without one stay where the reset has put them."""
        for i, name in enumerate(self._signals.objects):
            pose = start_pose(start, self.scene, i)
            if pose is not None:
                self._signals.place(name, pose, rows)

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Simulate some ticks; a world that breaks down stays so until it is reset."""
        if self._contact_steps is None:
            control = self.control(command, substeps)
            self._step(control, None)
        else:
            for tick in range(count_ticks(command)):
                one_tick = take_tick(command, tick)
                self._run_tick(self._contact_steps, one_tick, substeps)
        self._tau = self._force * self._gear
        has_warned = self._warnings > self._warnings_at_reset
        self._diverged |= has_warned.any(-1)
        self._is_stale = True

    def _run_tick(
        self, contact_steps: ContactSteps, command: Setpoint | Torque, substeps: int
    ) -> None:
        """Simulate one tick, with fine steps in the worlds where an impact needs them."""
        signals = self._signals
        dt = substeps * self.scene.timestep
        objects = signals.object_motions()
        needed = contact_steps.needed(signals.q, objects, dt)
        fine_substeps = substeps * self.scene.contact_substeps
        self._advance(self._fine_model, needed, command, fine_substeps)
        self._advance(self._model, ~needed, command, substeps)

    def _advance(
        self, model: mujoco.MjModel, mask: Mask, command: Setpoint | Torque, substeps: int
    ) -> None:
        """Simulate one tick of some worlds with the time step of a model."""
        rows = np.flatnonzero(mask)
        if len(rows):
            self._timestep[rows] = model.opt.timestep
            control = self._control(command, model, substeps)
            self._step(control[rows], rows)
            self._is_stale = True

    def _step(self, control: Array, ids: NDArray[np.int64] | None) -> None:
        """Simulate some worlds, or all, with one control signal (m, steps, j) for each step."""
        steps = control.shape[1]
        with self._errors_reported():
            self.batch.rollout(steps, control, record=(), ids=ids)

    def control(self, command: Setpoint | Torque, substeps: int) -> Array:
        """The control signals of all substeps of all ticks in a row, (n, k·substeps, j)."""
        return self._control(command, self._model, substeps)

    def _control(self, command: Setpoint | Torque, model: mujoco.MjModel, substeps: int) -> Array:
        by_tick = actuator_control(self.scene.body, command, model, substeps)
        by_world = by_tick.swapaxes(0, 1)
        return by_world.reshape(self.n, -1, by_world.shape[-1])

    def read(self) -> Signals:
        """Fresh; no later call changes what is returned."""
        self._refresh()
        return self._signals.read(self._tau)

    def _refresh(self) -> None:
        """Compute what follows from positions and velocities, if it is older than they are."""
        if self._is_stale and self._signals.stage != NO_STAGE:
            with self._errors_reported():
                self.batch.forward(stage=self._signals.stage)
            self._is_stale = False

    @contextmanager
    def _errors_reported(self) -> Iterator[None]:
        """An error in some worlds marks those as diverged; the others have run to the end."""
        try:
            yield
        except SimulationError as error:
            self._diverged[np.asarray(error.ids)] = True

    @property
    def diverged(self) -> Mask:
        """Worlds whose physics broke down since their last reset."""
        return self._diverged.copy()

    def close(self) -> None:
        """Do nothing: the simulations are freed with this object."""
