"""MuJoCo with the models of dm_control's suite. Axes: n worlds, k ticks, j motors."""

from functools import singledispatch

import mujoco
import numpy as np
from mujoco.batch import Batch

from robots.arm import Body
from robots.errors import BadArgumentError
from robots.scene import Fixture, Scene
from robots.signals import Array, Mask, Setpoint, Torque
from robots.world import Start, Task
from sim.engines.base import (
    is_registered,
    require_command,
    require_known_physics,
    require_support,
    world_indices,
)
from sim.engines.fixture_fields import FIXTURE_FIELDS, FixtureFields
from sim.engines.mujoco import MujocoEngine
from sim.engines.mujoco_joints import JOINT_FIELDS, JointColumns, set_joints
from sim.engines.mujoco_signals import VELOCITY_STAGE, SignalViews
from sim.suite.body import SuiteBody, SuiteSignals
from sim.suite.control_task import ControlTask
from sim.suite.factors import (
    SCALED_FIELDS,
    SLOPE_X,
    SLOPE_Y,
    factors_of,
    model_fields,
    scaled_fields,
)
from sim.suite.grounds import EDITABLE, model_with_fixtures


@singledispatch
def suite_model(body: Body, fixtures: tuple[Fixture, ...]) -> mujoco.MjModel:
    """The model of a body of dm_control's suite; BadArgumentError for any other body.

    Only those in ``EDITABLE`` take fixtures.
    """
    raise BadArgumentError(f"{body.name} is no body of dm_control's suite")


@suite_model.register
def _(body: SuiteBody, fixtures: tuple[Fixture, ...]) -> mujoco.MjModel:
    if fixtures:
        return model_with_fixtures(body.name, fixtures)
    return ControlTask(body.domain, body.task).model


class SuiteEngine(MujocoEngine):
    """An Engine over MuJoCo for the bodies of dm_control's suite, with dm_control's own models.

    Its signals are ``SuiteSignals``. Motors may drive tendons, and joints may have no motor.
    """

    @staticmethod
    def supports(scene: Scene) -> bool:
        """The suite's bodies without objects; a few of them take fixtures."""
        if scene.objects or not is_registered(suite_model, scene.body):
            return False
        return not scene.fixtures or scene.body.name in EDITABLE

    def load(self, scene: Scene, n: int) -> None:
        """Make n simulations of dm_control's model.

        Raises:
            BadArgumentError: the engine does not support the scene.
        """
        require_support(self, scene)
        self.scene = scene
        self.n = n
        model = suite_model(scene.body, scene.fixtures)
        self._model = model
        threads = min(self._threads, n)
        # Each simulation keeps an MjData of its own: where they share one, the sensors of forces
        # would be those of another simulation once positions and velocities are computed anew.
        self.batch = Batch(model, n, nthread=threads, persistent=True)
        self._signals = SuiteViews(self.batch, model, scene)
        self._force = self.batch.bind("actuator_force")
        self._contact_steps = None
        self._velocities = slice(model.nv)
        self._tau = np.zeros((n, model.nu))
        self._is_stale = True
        self._watch_warnings()
        self._known = [parameter.name for parameter in factors_of(model)]
        self._known += [SLOPE_X, SLOPE_Y]
        self._fields = {}
        self._defaults = {}
        self._expand(JOINT_FIELDS)
        self._defaults |= model_fields(model)
        self._fields |= {name: self.batch.expand(name) for name in SCALED_FIELDS}
        self._fixture_fields = FixtureFields(scene, model)
        if scene.fixtures:
            self._expand(FIXTURE_FIELDS)
        self._gear = self._fields["actuator_gear"][:, :, 0]  # N·m or N per unit of control

    def write(self, task: Task, mask: Mask | None = None) -> None:
        """Set some worlds' physics, starting from the model's own values."""
        require_known_physics(self.scene.body, task, self._known)
        rows = world_indices(mask, self.n)
        if not len(rows):
            return
        task = task.take(rows)
        values = scaled_fields(self._model, self._defaults, task)
        set_joints(values, self.scene.body, self._velocities, task)
        self._fixture_fields.write(values, task)
        for name, value in values.items():
            self._fields[name][rows] = value
        self.batch.set_const(rows)
        self._is_stale = True

    def reset(self, start: Start, mask: Mask | None = None) -> None:
        """Put some worlds at their start, and compute what their sensors read there."""
        super().reset(start, mask)
        rows = world_indices(mask, self.n)
        if len(rows):
            with self._errors_reported():
                self.batch.forward(rows)

    def _control(self, command: Setpoint | Torque, model: mujoco.MjModel, substeps: int) -> Array:
        """The control signals of all substeps of all ticks in a row, (n, k·substeps, j).

        One that is infinite becomes NaN, which MuJoCo reports: it would clip infinity to 1.
        """
        torque = require_command(self.scene.body, command, Torque)
        signal = np.where(np.isfinite(torque.tau), torque.tau, np.nan)
        by_world = signal.swapaxes(0, 1)
        return np.repeat(by_world, substeps, 1)


class SuiteViews(SignalViews):
    """Views of all positions and velocities, of the sensors, and of the control signals."""

    def __init__(self, batch: Batch, model: mujoco.MjModel, scene: Scene) -> None:
        """Bind the signals of n simulations."""
        positions = slice(model.nq)
        velocities = slice(model.nv)
        columns = JointColumns(positions, velocities, velocities)
        super().__init__(batch, model, scene, columns)
        self._sensors = batch.bind("sensordata")
        self._controls = batch.bind("ctrl")
        self._activations = batch.bind("act")
        self.stage = VELOCITY_STAGE  # as dm_control: the sensors of forces stay as they were

    def read(self, tau: Array) -> SuiteSignals:
        """Copies of all views; no later call changes them."""
        signals = super().read(tau)
        sensors = self._sensors.copy()
        return SuiteSignals(
            **vars(signals),
            sensors=sensors,
            control=self._controls.copy(),
            activation=self._activations.copy(),
        )
