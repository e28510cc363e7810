"""Physics by MuJoCo: n simulations with their own models, stepped by a pool of threads.

``mujoco.batch.Batch`` steps them. Axes: n worlds, k ticks, j joints.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Mask, ObjectMotion, Setpoint, Signals, Torque
from robots.world import Start, Task
from sim.engines.base import (
    count_ticks,
    first_object,
    is_registered,
    require_support,
    start_pose,
    start_velocity,
    take_tick,
    world_indices,
)
from sim.engines.contact_steps import ContactSteps
from sim.engines.mujoco_control import actuator_control
from sim.engines.mujoco_joints import JOINT_FIELDS, set_joints
from sim.engines.object_fields import OBJECT_FIELDS, ObjectFields
from sim.scene_model import TOOL_VELOCITY, body_model, compile_scene, velocity_name

# After these warnings MuJoCo continues with a zeroed command or a state that it has reset: the
# numbers of that world are meaningless.
FATAL = [
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
    int(mujoco.mjtWarning.mjWARN_BADCTRL),
]

# How much of what follows from a state MuJoCo computes.
NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)
VELOCITY_STAGE = int(mujoco.mjtStage.mjSTAGE_VEL)

# The widths of the signals that a scene may lack: without a tool or an object they are NaN.
OPTIONAL_SIGNALS = {
    "tool_pos": 3,
    "tool_quat": 4,
    "tool_vel": 3,
    "object_pos": 3,
    "object_quat": 4,
    "object_vel": 6,
    "marker": 3,
}


class MujocoEngine:
    """An Engine over MuJoCo.

    An arm's servos are springs and dampers toward the setpoint; its gravity is compensated and its
    torque is clipped. A walker is as its MJCF says, and its motors give the commanded torques.
    """

    n = 0

    def __init__(self, threads: int | None = None) -> None:
        """``threads`` defaults to the number of cores that this process may use."""
        self._threads = threads or len(os.sched_getaffinity(0))

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
        self._bind()
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
        self._warnings_at_reset = self._fatal_warnings()
        self._diverged = np.zeros(n, dtype=bool)
        names = list(JOINT_FIELDS)
        if scene.objects:
            self._object_fields = ObjectFields(scene, model)
            names += OBJECT_FIELDS
        self._fields = {name: self.batch.expand(name) for name in names}
        self._defaults = {name: getattr(model, name).copy() for name in names}

    def _bind(self) -> None:
        """Views into the simulations' memory, which MuJoCo updates in place."""
        count = self._count_joints()
        qpos = self.batch.bind("qpos")
        qvel = self.batch.bind("qvel")
        time = self.batch.bind("time")
        self._force = self.batch.bind("actuator_force")
        self._driven = slice(len(self.scene.body.root), count)
        self._q = qpos[:, :count]
        self._dq = qvel[:, :count]
        self._views = {
            "q": self._q,
            "dq": self._dq,
            "stamp": time.reshape(self.n),
        }
        self._has_tool = self._has_sensor(TOOL_VELOCITY)
        if self._has_tool:
            self._bind_tool()
        self._bind_objects(qpos[:, count:])
        widths = OPTIONAL_SIGNALS.items()
        self._nan = {name: np.full((self.n, width), np.nan) for name, width in widths}

    def _count_joints(self) -> int:
        """The number of root and driven joints.

        Raises:
            BadArgumentError: the model's joints are not those that the body names.
        """
        body = self.scene.body
        joints = body.root + body.joints
        count = len(joints)
        model = self._model
        modeled = tuple(model.joint(i).name for i in range(count))
        if modeled != joints:
            raise BadArgumentError(f"{body.name} has joints {joints}, its model {modeled}")
        return count

    def _bind_tool(self) -> None:
        tool = self._model.sensor(TOOL_VELOCITY).objid[0]
        self._views["tool_pos"] = self.batch.bind("xpos")[:, tool]
        self._views["tool_quat"] = self.batch.bind("xquat")[:, tool]
        self._views["tool_vel"] = self._sensor_columns(TOOL_VELOCITY, 3)

    def _bind_objects(self, poses: Array) -> None:
        """``poses`` are the objects' free joints in qpos, (n, 7) each."""
        self._objects = {}
        for i, item in enumerate(self.scene.objects):
            pose = poses[:, 7 * i : 7 * (i + 1)]
            velocity = self._sensor_columns(velocity_name(item), 6)
            self._objects[item.name] = ObjectMotion(pose[:, :3], pose[:, 3:], velocity)

    def _has_sensor(self, name: str) -> bool:
        number = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_SENSOR, name)
        return bool(number >= 0)

    def _sensor_columns(self, name: str, width: int) -> Array:
        """A view (n, width) of the readings that begin with a sensor's."""
        address = int(self._model.sensor(name).adr[0])
        readings = self.batch.bind("sensordata")
        return np.asarray(readings[:, address : address + width])

    def write(self, task: Task, mask: Mask | None = None) -> None:
        """Set some worlds' physics, starting from the model's own values."""
        rows = world_indices(mask, self.n)
        if not len(rows):
            return
        task = task.take(rows)
        values = {}
        for name, default in self._defaults.items():
            values[name] = np.repeat(default[None], len(rows), 0)
        set_joints(values, self.scene.body, self._driven, task)
        if self.scene.objects:
            described = self._object_fields.write(values, task)
            if self._contact_steps is not None:
                self._contact_steps.describe([each.parts for each in described], rows)
        for name, field in self._fields.items():
            field[rows] = values[name]
        self.batch.set_const(rows)

    def reset(self, start: Start, mask: Mask | None = None) -> None:
        """Put some worlds at their start."""
        rows = world_indices(mask, self.n)
        if not len(rows):
            return
        velocity = start_velocity(start)
        self.batch.reset(rows, stage=NO_STAGE)
        self._q[rows] = start.q[rows]
        self._dq[rows] = velocity[rows]
        self._place_objects(start, rows)
        if self._contact_steps is not None:
            self._contact_steps.begin(rows)
        self._warnings_at_reset[rows] = self._fatal_warnings()[rows]
        self._tau[rows] = 0.0
        self._diverged[rows] = False
        self._is_stale = True

    def _place_objects(self, start: Start, rows: NDArray[np.int64]) -> None:
        """Put the objects at their starts; those without one stay where the reset has put them."""
        for i, place in enumerate(self._objects.values()):
            pose = start_pose(start, self.scene, i)
            if pose is None:
                continue
            place.pos[rows] = pose.pos[rows]
            if pose.quat is not None:
                place.quat[rows] = pose.quat[rows]

    def run(self, command: Setpoint | Torque, substeps: int) -> None:
        """Simulate some ticks; a world that breaks down stays so until it is reset."""
        if self._contact_steps is None:
            control = self.control(command, substeps)
            self._step(control, None)
        else:
            for tick in range(count_ticks(command)):
                self._run_tick(self._contact_steps, take_tick(command, tick), substeps)
        self._tau = self._force * self._gear
        has_warned = self._fatal_warnings() > self._warnings_at_reset
        self._diverged |= has_warned.any(-1)
        self._is_stale = True

    def _run_tick(
        self, contact_steps: ContactSteps, command: Setpoint | Torque, substeps: int
    ) -> None:
        """Simulate one tick, with fine steps in the worlds where a blow needs them."""
        dt = substeps * self.scene.timestep
        needed = contact_steps.needed(self._q, list(self._objects.values()), dt)
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

    def _fatal_warnings(self) -> NDArray[np.int64]:
        """How often MuJoCo has given each fatal warning, (n, kinds)."""
        return np.asarray(self.batch.warning[:, FATAL, 1])

    def read(self) -> Signals:
        """Fresh; no later call changes what is returned."""
        self._compute_derived()
        measured = {name: view.copy() for name, view in self._views.items()}
        rows = np.arange(self.n)
        objects = {name: motion.take(rows) for name, motion in self._objects.items()}
        fields = self._nan | measured | first_object(objects)
        return Signals(tau=self._tau.copy(), **fields, objects=objects)

    def _compute_derived(self) -> None:
        """What follows from positions and velocities: poses of frames, and velocity sensors."""
        if not self._is_stale or not (self._has_tool or self._objects):
            return
        with self._errors_reported():
            self.batch.forward(stage=VELOCITY_STAGE)
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
