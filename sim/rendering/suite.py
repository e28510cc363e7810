"""Bodies of dm_control's suite as dm_control shows them: its models, colors, lights and cameras."""

import mujoco
import numpy as np

from robots.scene import Scene
from robots.world import Task
from sim.engines.fixture_fields import FIXTURE_FIELDS, FixtureFields
from sim.engines.suite import suite_model
from sim.rendering.camera import aim
from sim.rendering.clip import Clip
from sim.rendering.stage import MAX_GEOMS, Stage
from sim.suite.body import SuiteBody
from sim.suite.targets import MARKER, TARGETS


class SuiteStage(Stage):
    """A task's own model, with target and fixtures as in the clip, as it is seen."""

    def __init__(self, body: SuiteBody, scene: Scene, clip: Clip) -> None:
        """Load the model of the clip's task."""
        self.model = suite_model(body, scene.fixtures)
        target = TARGETS.get(body.name)
        if target is not None:
            place = [clip.task[name] for name in MARKER]
            target.place(self.model, np.array(place))
        self._cameras = scene.cameras[:1]
        for own in self._cameras:
            self.model.vis.global_.fovy = np.degrees(own.field_of_view)
        self._place_fixtures(scene, clip)
        self.data = mujoco.MjData(self.model)
        self.scene = mujoco.MjvScene(self.model, MAX_GEOMS)
        self._option = mujoco.MjvOption()

    def _place_fixtures(self, scene: Scene, clip: Clip) -> None:
        """Move the fixtures of the model to where the clip's task has them."""
        task = Task(tuple(clip.task), np.array([list(clip.task.values())]), np.arange(1))
        fields = {name: getattr(self.model, name)[None] for name in FIXTURE_FIELDS}  # views
        FixtureFields(scene, self.model).write(fields, task)

    def camera(self, clip: Clip, i: int) -> mujoco.MjvCamera:
        """The scene's own camera, or the first one of the task's model."""
        if self._cameras:
            return aim(self._cameras[0], clip.q[i])
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        camera.fixedcamid = 0
        return camera

    def place(self, clip: Clip, i: int) -> None:
        """Put everything where it was at the i-th moment of a clip."""
        self.data.qpos[:] = clip.q[i]
        mujoco.mj_forward(self.model, self.data)
