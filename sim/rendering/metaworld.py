"""Meta-World's tasks as its package shows them: its models, colors, lights and a camera."""

import mujoco
import numpy as np

from sim.metaworld.environment import PLACE_NAMES, TASK, TaskEnvironment
from sim.metaworld.names import TASKS
from sim.rendering.clip import Clip
from sim.rendering.stage import MAX_GEOMS, Stage

CAMERA = "corner2"  # that Meta-World's own pictures are taken with


class MetaworldStage(Stage):
    """The model of a clip's task, with what the task has placed."""

    def __init__(self, clip: Clip) -> None:
        """Load the model."""
        environment = TaskEnvironment(TASKS[int(clip.task[TASK])])
        environment.reset(np.array([clip.task[name] for name in PLACE_NAMES]))
        self.model = environment.env.model
        self.data = mujoco.MjData(self.model)
        self.scene = mujoco.MjvScene(self.model, MAX_GEOMS)
        self._option = mujoco.MjvOption()

    def camera(self, clip: Clip, i: int) -> mujoco.MjvCamera:
        """One of the task's cameras."""
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = self.model.camera(CAMERA).id
        return camera

    def place(self, clip: Clip, i: int) -> None:
        """Put everything where it was at the i-th moment of a clip."""
        self.data.qpos[:] = clip.q[i, : self.model.nq]
        mujoco.mj_forward(self.model, self.data)
