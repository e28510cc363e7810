"""Meta-World's tasks with its package's models, colors and lights."""

import mujoco
import numpy as np

from sim.metaworld.environment import PLACE_NAMES, TASK, TaskEnvironment
from sim.metaworld.names import TASKS
from sim.rendering.clip import Clip
from sim.rendering.stage import MAX_GEOMS, Stage

TABLE = (0.0, 0.6, 0.1)  # m, where the camera looks at
DISTANCE = 1.5  # m, from there
AZIMUTH = -40.0  # degrees: from the side on which the arm does not stand
ELEVATION = -30.0


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
        """One that looks down at the table."""
        camera = mujoco.MjvCamera()
        camera.lookat[:] = TABLE
        camera.distance = DISTANCE
        camera.azimuth = AZIMUTH
        camera.elevation = ELEVATION
        return camera

    def place(self, clip: Clip, i: int) -> None:
        """Put everything where it was at the i-th moment of a clip."""
        self.data.qpos[:] = clip.q[i, : self.model.nq]
        mujoco.mj_forward(self.model, self.data)
