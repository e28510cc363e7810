"""What is measured in MuJoCo's simulations: views into their memory. Axes: n worlds, j joints."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from robots.scene import LooseObject, Scene
from robots.signals import Array, ObjectMotion, Signals
from sim.engines.base import first_object
from sim.engines.mujoco_joints import JointColumns
from sim.scene_model import ROOT_ACCELERATION, TOOL_VELOCITY, velocity_name

# How much of what follows from a state MuJoCo computes.
NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)
VELOCITY_STAGE = int(mujoco.mjtStage.mjSTAGE_VEL)
ACCELERATION_STAGE = int(mujoco.mjtStage.mjSTAGE_ACC)

ROOT = 1  # MuJoCo's number of a walker's first body; 0 is the world

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


class SignalViews:
    """Views of every measurement, which MuJoCo updates in place.

    Attributes:
        qpos: (n, nq) MuJoCo's positions.
        q: (n, j) positions of the root and driven joints.
        dq: (n, j) their velocities.
        views: every measured signal of the body by its name, ``q`` and ``dq`` too.
        objects: every object by its name.
        stage: how much MuJoCo has to compute of a new state before the views are fresh.
    """

    def __init__(
        self, batch: Batch, model: mujoco.MjModel, scene: Scene, columns: JointColumns
    ) -> None:
        """Bind the signals of n simulations.

        Args:
            batch: the simulations.
            model: theirs.
            scene: that the model was compiled from.
            columns: of the body's joints.
        """
        self._batch = batch
        self._model = model
        qpos = batch.bind("qpos")
        qvel = batch.bind("qvel")
        time = batch.bind("time")
        n = len(time)
        self.qpos: Array = qpos
        self.q: Array = qpos[:, columns.positions]
        self.dq: Array = qvel[:, columns.velocities]
        self.stage = NO_STAGE
        self.views: dict[str, Array] = {
            "q": self.q,
            "dq": self.dq,
            "stamp": time.reshape(n),
        }
        if self._has_sensor(TOOL_VELOCITY):
            self._bind_tool()
        self.objects: dict[str, ObjectMotion] = {}
        for item in scene.objects:
            first = int(model.joint(item.name).qposadr[0])
            self._bind_object(item, qpos[:, first : first + 7])
        if self._has_sensor(ROOT_ACCELERATION):
            self._bind_contacts()
        widths = OPTIONAL_SIGNALS.items()
        self._nan = {name: np.full((n, width), np.nan) for name, width in widths}

    def _bind_tool(self) -> None:
        tool = self._model.sensor(TOOL_VELOCITY).objid[0]
        self.views["tool_pos"] = self._batch.bind("xpos")[:, tool]
        self.views["tool_quat"] = self._batch.bind("xquat")[:, tool]
        self.views["tool_vel"] = self._sensor_columns(TOOL_VELOCITY, 3)
        self.stage = VELOCITY_STAGE

    def _bind_object(self, item: LooseObject, pose: Array) -> None:
        """``pose`` is the free joint's part of qpos, (n, 7)."""
        velocity = self._sensor_columns(velocity_name(item), 6)
        self.objects[item.name] = ObjectMotion(pose[:, :3], pose[:, 3:], velocity)
        self.stage = VELOCITY_STAGE

    def _bind_contacts(self) -> None:
        """MuJoCo computes the forces of contacts for the sensor of the root's acceleration."""
        self.views["center_of_mass"] = self._batch.bind("subtree_com")[:, ROOT]
        self.views["contact_forces"] = self._batch.bind("cfrc_ext")[:, ROOT:]
        self.stage = ACCELERATION_STAGE

    def _has_sensor(self, name: str) -> bool:
        number = mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_SENSOR, name)
        return bool(number >= 0)

    def _sensor_columns(self, name: str, width: int) -> Array:
        """A view (n, width) of the readings that begin with a sensor's."""
        address = int(self._model.sensor(name).adr[0])
        readings = self._batch.bind("sensordata")
        return np.asarray(readings[:, address : address + width])

    def read(self, tau: Array) -> Signals:
        """Copies of all views, with the motors' torques (n, j); no later call changes them."""
        everything = np.arange(len(tau))
        objects = {}
        for name, motion in self.objects.items():
            objects[name] = motion.take(everything)
        fields = self._nan | first_object(objects)
        for name, view in self.views.items():
            fields[name] = view.copy()
        return Signals(tau=tau.copy(), **fields, objects=objects)
