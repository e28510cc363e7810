"""Bodies of dm_control's suite as dm_control shows them: its models, colors, lights and cameras."""

import mujoco
import numpy as np

from sim.rendering.clip import Clip
from sim.rendering.stage import MAX_GEOMS, Stage
from sim.suite.body import SuiteBody
from sim.suite.control_task import ControlTask
from sim.suite.targets import MARKER


class SuiteStage(Stage):
    """A task's own model, its target where the clip's task has it, seen by its first camera."""

    def __init__(self, body: SuiteBody, clip: Clip) -> None:
        """Load the model of the clip's task."""
        control = ControlTask(body.domain, body.task)
        self.model = control.model
        if control.target is not None:
            place = [clip.task[name] for name in MARKER]
            control.target.place(self.model, np.array(place))
        self.data = mujoco.MjData(self.model)
        self.scene = mujoco.MjvScene(self.model, MAX_GEOMS)
        self._option = mujoco.MjvOption()

    def camera(self, clip: Clip, i: int) -> mujoco.MjvCamera:
        """The first camera of the task's model."""
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = 0
        return camera

    def place(self, clip: Clip, i: int) -> None:
        """Put everything where it was at the i-th moment of a clip."""
        self.data.qpos[:] = clip.q[i]
        mujoco.mj_forward(self.model, self.data)
