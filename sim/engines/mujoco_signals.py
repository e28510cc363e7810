"""What is measured in MuJoCo's simulations: views into their memory. Axes: n worlds, j joints."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from robots.rotations import cross
from robots.scene import Scene, SceneObject
from robots.signals import Array, Indices, ObjectMotion, Pose, Signals
from sim.engines.base import first_object, missing_signals
from sim.engines.mujoco_jointed import ObjectOnJoint
from sim.engines.mujoco_joints import JointColumns
from sim.scene_contents import velocity_name
from sim.scene_model import ROOT_ACCELERATION, TOOL_ACCELERATION, TOOL_VELOCITY

# How much of what follows from a state MuJoCo computes.
NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)
VELOCITY_STAGE = int(mujoco.mjtStage.mjSTAGE_VEL)
ACCELERATION_STAGE = int(mujoco.mjtStage.mjSTAGE_ACC)

ROOT = 1  # MuJoCo's number of a walker's first body; 0 is the world


class SignalViews:
    """Views of every measurement, which MuJoCo updates in place.

    Attributes:
        qpos: (n, nq) MuJoCo's positions.
        q: (n, j) positions of the root and driven joints.
        dq: (n, j) their velocities.
        views: every measured signal of the body by its name, ``q`` and ``dq`` too.
        objects: every object by its name.
        jointed: the objects on joints, by their names.
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
        self.jointed: dict[str, ObjectOnJoint] = {}
        for item in scene.objects:
            self._bind_object(item)
        if self._has_sensor(ROOT_ACCELERATION):
            self._bind_contacts()
        self._contacts: ToolContacts | None = None
        if self._has_sensor(TOOL_ACCELERATION):
            self._contacts = ToolContacts(batch, model)
            self.stage = ACCELERATION_STAGE
        self._missing = missing_signals(n)

    def _bind_tool(self) -> None:
        tool = self._model.sensor(TOOL_VELOCITY).objid[0]
        self.views["tool_pos"] = self._batch.bind("xpos")[:, tool]
        self.views["tool_quat"] = self._batch.bind("xquat")[:, tool]
        self.views["tool_vel"] = self._sensor_columns(TOOL_VELOCITY, 3)
        self.stage = VELOCITY_STAGE

    def _bind_object(self, item: SceneObject) -> None:
        """The pose of a free object is a part of qpos; that of one on a joint follows from it."""
        velocity = self._sensor_columns(velocity_name(item), 6)
        first = int(self._model.joint(item.name).qposadr[0])
        if not item.joints:
            pos = self.qpos[:, first : first + 3]
            quat = self.qpos[:, first + 3 : first + 7]
        else:
            body = self._model.body(item.name).id
            pos = self._batch.bind("xpos")[:, body]
            quat = self._batch.bind("xquat")[:, body]
            self.jointed[item.name] = ObjectOnJoint(item, self.qpos[:, first])
        self.objects[item.name] = ObjectMotion(pos, quat, velocity)
        self.stage = VELOCITY_STAGE

    def object_motions(self) -> list[ObjectMotion]:
        """Every object where qpos has it; velocities are old until MuJoCo computes them."""
        motions = []
        for name, motion in self.objects.items():
            if name in self.jointed:
                pos, quat = self.jointed[name].pose()
                motion = ObjectMotion(pos, quat, motion.vel)
            motions.append(motion)
        return motions

    def place(self, name: str, pose: Pose, rows: Indices) -> None:
        """Put an object of some worlds at its pose (n, ...)."""
        if name in self.jointed:
            self.jointed[name].put(pose, rows)
            return
        motion = self.objects[name]
        motion.pos[rows] = pose.pos[rows]
        if pose.quat is not None:
            motion.quat[rows] = pose.quat[rows]

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
        fields = self._missing | first_object(objects)
        for name, view in self.views.items():
            fields[name] = view.copy()
        if self._contacts is not None:
            fields["wrench"] = self._contacts.wrench()
        return Signals(tau=tau.copy(), **fields, objects=objects)


class ToolContacts:
    """What the tools of n arms touch: like sensors in their wrists.

    The bodies that the last joint before the tool moves are felt together.
    """

    def __init__(self, batch: Batch, model: mujoco.MjModel) -> None:
        """Find the bodies in a model with ``TOOL_ACCELERATION``."""
        tool = int(model.sensor(TOOL_VELOCITY).objid[0])
        weld = model.body_weldid
        self._bodies = np.flatnonzero(weld == weld[tool])
        root = model.body_rootid[tool]
        self._forces = batch.bind("cfrc_ext")  # torque, force at the center of mass
        self._center = batch.bind("subtree_com")[:, root]
        self._tool = batch.bind("xpos")[:, tool]

    def wrench(self) -> Array:
        """Force N and torque N·m (n, 6) of the tools on what they touch.

        At the origin of the tool's frame, along the axes of the world.
        """
        on_arm = self._forces[:, self._bodies].sum(1)
        force = on_arm[:, 3:]
        lever = self._center - self._tool
        torque = on_arm[:, :3] + cross(lever, force)
        result: Array = -np.concatenate([force, torque], 1)
        return result
