"""Physics by MuJoCo: n simulations with models of their own, stepped on a thread pool by ``mujoco.batch.Batch``."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError
from numpy.typing import NDArray

from robots.arm import ArmSpec, Walker
from robots.scene import Scene
from robots.signals import Array, Setpoint, Signals, Torque
from robots.world import Start, Task
from sim import objects
from sim.engines.base import strength, told
from sim.scene_model import PARTS, compiled

# MuJoCo goes on after these, with a zeroed command or a state that has been reset: the world's numbers are lost
FATAL = [
    int(w)
    for w in (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
        mujoco.mjtWarning.mjWARN_BADCTRL,
    )
]
STRIKE_TIME = 0.010  # s, half a period of the contact's spring: five steps of 2 ms resolve it


class MujocoEngine:
    """An Engine; an arm's servos are spring and damper to the setpoint, its gravity is compensated, torque is clipped.

    A walker is as its MJCF says; its motors give the torques they are told.
    """

    def __init__(self, threads: int | None = None) -> None:
        """``threads`` defaults to the cores this process may use."""
        self._threads = threads or len(os.sched_getaffinity(0))
        self.n = 0

    def load(self, scene: Scene, n: int) -> None:
        """Compile the scene and make n simulations of it."""
        body = scene.body
        if not isinstance(body, ArmSpec | Walker):
            raise ValueError(
                f"{body.name} has no model for MuJoCo: it is neither an arm nor a walker"
            )
        self.scene, self.n = scene, n
        model = compiled(scene)
        self.batch = Batch(model, n, nthread=min(self._threads, n))
        self._qpos, self._qvel = self.batch.bind("qpos"), self.batch.bind("qvel")
        self._ctrl, self._time = self.batch.bind("ctrl"), self.batch.bind("time")
        self._sensors, self._force = (
            self.batch.bind("sensordata"),
            self.batch.bind("actuator_force"),
        )
        if isinstance(body, ArmSpec):
            tool = model.body(body.tool).id
            self._tool_pos, self._tool_quat = (
                self.batch.bind("xpos")[:, tool],
                self.batch.bind("xquat")[:, tool],
            )
        root = body.root if isinstance(body, Walker) else ()
        self._r, self._j = len(root), len(root) + len(body.joints)
        if (there := tuple(model.joint(i).name for i in range(self._j))) != root + body.joints:
            raise ValueError(f"{body.name} has joints {root + body.joints}, its model {there}")
        self._gear = model.actuator_gear[:, 0].copy()  # N·m a unit of what a motor is told
        self._tau, self._stale = np.zeros((n, len(body.joints))), True
        self._nothing = [
            np.full((n, k), np.nan) for k in (3, 4, 6)
        ]  # a position, a quaternion, a velocity
        self._ahead: list[Array] = []  # what the servos shall be told, (n, substeps, j) each
        self._warned = self._fatal()
        self._broken = np.zeros(n, dtype=bool)
        self._fields = {
            name: (self.batch.expand(name), getattr(model, name).copy())
            for name in (*OBJECT_FIELDS, *JOINT_FIELDS)
            if scene.loose_object or name in JOINT_FIELDS
        }

    def write(self, task: Task, mask: NDArray[np.bool_] | None = None) -> None:
        """Set some worlds' physics, starting from the model's own."""
        rows = np.arange(self.n) if mask is None else np.flatnonzero(mask)
        if not len(rows):
            return
        self._catch_up()
        task = task.take(rows)
        values = {
            name: np.repeat(default[None], len(rows), 0)
            for name, (_, default) in self._fields.items()
        }
        if "joint.damping" in task.names:  # N·m·s/rad, of every joint
            values["dof_damping"][:, self._r : self._j] += task["joint.damping"][:, None]
        share = strength(task, self.scene.body.joints)
        for name in ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange"):
            values[name] *= share[..., None]
        if self.scene.loose_object:
            self._set_object(values, objects.parameters(task))
        for name, (field, _) in self._fields.items():
            field[rows] = values[name]
        self.batch.set_const(rows)

    def _set_object(self, values: dict[str, Array], p: dict[str, Array]) -> None:
        made_of = objects.parts(p)
        weight = objects.inertia(p, made_of)
        model = self.batch.model
        body, geoms = model.body("object").id, [model.geom(name).id for name in PARTS]
        values["geom_size"][:, geoms] = made_of.size
        values["geom_pos"][:, geoms] = made_of.pos
        half = np.concatenate([made_of.size[:, :2], made_of.size[:, 2:][..., [0, 0, 1]]], 1)
        values["geom_aabb"][:, geoms, 3:] = half
        values["geom_rbound"][:, geoms] = np.linalg.norm(half, axis=-1)
        values["body_mass"][:, body] = weight.mass
        values["body_ipos"][:, body] = weight.com
        values["body_inertia"][:, body] = weight.moments
        values["body_iquat"][:, body] = weight.quat
        values["pair_friction"][:, :, :2] = p["object.friction"][:, None, None]
        ratio = objects.damping_ratio(p["object.restitution"])
        omega = np.pi / STRIKE_TIME / np.sqrt(1 - ratio**2)
        blow = values["pair_solref"][
            :, len(PARTS) :
        ]  # direct form: -stiffness, -damping per unit mass
        blow[..., 0], blow[..., 1] = -(omega**2)[:, None], -(2 * ratio * omega)[:, None]

    def reset(self, start: Start, mask: NDArray[np.bool_] | None = None) -> None:
        """Put some worlds at their start."""
        rows = np.arange(self.n) if mask is None else np.flatnonzero(mask)
        if not len(rows):
            return
        self._catch_up()
        self.batch.reset(rows, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        self._qpos[rows, : self._j] = start.q[rows]
        if start.dq is not None:
            self._qvel[rows, : self._j] = start.dq[rows]
        if self.scene.loose_object:
            self._qpos[rows, self._j : self._j + 3] = start.object_pos[rows]
            self._qpos[rows, self._j + 3 :] = start.object_quat[rows]
        self._warned[rows] = self._fatal()[rows]
        self._tau[rows], self._broken[rows], self._stale = 0.0, False, True

    def step(self, command: Setpoint | Torque, substeps: int) -> None:
        """Hold the command for some substeps; a world that breaks down stays so until it is reset."""
        self._ahead.append(self.control(command, substeps))

    def _catch_up(self) -> None:
        """Let the physics run that was asked for: one call for many ticks, once somebody looks."""
        if not self._ahead:
            return
        control, self._ahead = np.concatenate(self._ahead, 1), []
        with self._reported():
            self.batch.rollout(control.shape[1], control, record=())
        self._tau = self._force * self._gear
        self._broken |= (self._fatal() > self._warned).any(-1)
        self._stale = True

    def _fatal(self) -> NDArray[np.int64]:
        """How often MuJoCo said that a world's numbers are lost, (n, kinds)."""
        return np.asarray(self.batch.warning[:, FATAL, 1])

    def control(self, command: Setpoint | Torque, substeps: int) -> Array:
        """What the actuators are told in each substep, (n, substeps, j): rad, or shares of a walker's gears.

        A setpoint is where to be when the tick ends; ahead of it by as much as damping towards dq asks for.
        """
        body = self.scene.body
        if not isinstance(body, ArmSpec):
            share = told(body, command, Torque).tau / self._gear
            share = np.where(
                np.isfinite(share), share, np.nan
            )  # MuJoCo would cut an infinite one to 1
            return np.repeat(share[:, None], substeps, 1)
        setpoint = told(body, command, Setpoint)
        ahead = (
            body.damping / body.stiffness - self.scene.timestep * np.arange(substeps)[::-1, None]
        )
        return np.asarray(setpoint.q[:, None] + setpoint.dq[:, None] * ahead)

    def read(self) -> Signals:
        """Fresh: whatever of an arm follows from positions and velocities is computed anew, once."""
        self._catch_up()
        arm = isinstance(self.scene.body, ArmSpec)
        if self._stale and arm:
            with self._reported():
                self.batch.forward(stage=int(mujoco.mjtStage.mjSTAGE_VEL))
            self._stale = False
        nowhere, unturned, unmoved = self._nothing
        loose = self.scene.loose_object
        return Signals(
            q=self._qpos[:, : self._j].copy(),
            dq=self._qvel[:, : self._j].copy(),
            tau=self._tau.copy(),
            tool_pos=self._tool_pos.copy() if arm else nowhere,
            tool_quat=self._tool_quat.copy() if arm else unturned,
            tool_vel=self._sensors[:, :3].copy() if arm else nowhere,
            object_pos=self._qpos[:, self._j : self._j + 3].copy() if loose else nowhere,
            object_quat=self._qpos[:, self._j + 3 :].copy() if loose else unturned,
            object_vel=self._sensors[:, 3:9].copy() if loose else unmoved,
            marker=nowhere,
            stamp=self._time.reshape(self.n).copy(),
        )

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """An error in some worlds, which stay as they were, breaks those alone: the others have run to the end."""
        try:
            yield
        except SimulationError as error:
            self._broken[np.asarray(error.ids)] = True

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Worlds whose physics broke down since their last reset."""
        self._catch_up()
        return self._broken.copy()

    def close(self) -> None:
        """Nothing outlives the batch."""


OBJECT_FIELDS = (
    "geom_size",
    "geom_pos",
    "geom_aabb",
    "geom_rbound",
    "body_mass",
    "body_ipos",
    "body_inertia",
    "body_iquat",
    "pair_friction",
    "pair_solref",
)
JOINT_FIELDS = ("dof_damping", "actuator_gainprm", "actuator_biasprm", "actuator_forcerange")
