"""One task of dm_control's suite: its own code observes, rewards and begins episodes.

Axes: n worlds, o columns of an observation.
"""

import warnings

import mujoco
import numpy as np

from robots.signals import Array
from robots.world import Task
from sim.suite.body import SuiteSignals
from sim.suite.factors import model_fields, scaled_fields, write_fields
from sim.suite.targets import TARGETS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for a screen, which is not needed
    from dm_control import suite

SEEDS = 2**32  # that dm_control's RandomState takes
HORIZON = 1000  # actions of an episode, of every task of the suite


class ControlTask:
    """Asks a task of dm_control about states that are simulated elsewhere.

    It holds a ``Physics`` of dm_control, whose positions, velocities, sensors, control signals and
    target are set to those of one world after the other; nothing is stepped in it but what
    dm_control itself steps before an episode.

    Attributes:
        model: MuJoCo's, as it is in the task's episodes.
        dt: s between two actions.
        columns: the observation's, as (name, index) of each number.
    """

    def __init__(self, domain: str, task: str) -> None:
        """Load the task."""
        environment = suite.load(domain, task, task_kwargs={"random": 0})
        self._task = environment.task
        self._physics = environment.physics
        self.target = TARGETS.get(f"{domain}-{task}")
        first = environment.reset()  # some tasks complete their model when an episode begins
        self.model: mujoco.MjModel = self._physics.model.ptr
        self.dt = float(environment.control_timestep())
        self._data: mujoco.MjData = self._physics.data.ptr
        self._defaults = model_fields(self.model)
        self.columns = []
        for name, value in first.observation.items():
            for index in range(np.size(value)):
                self.columns.append((name, index))

    def observe(self, signals: SuiteSignals, target: Array) -> Array:
        """The task's observations and, in the last column, its rewards, (n, o + 1).

        Args:
            signals: of n worlds.
            target: (n, 3) m, its place; not used where the task has none.
        """
        assert signals.sensors is not None
        assert signals.control is not None
        data = self._data
        rows = np.empty((len(signals), len(self.columns) + 1))
        for i, row in enumerate(rows):
            data.qpos[:] = signals.q[i]
            data.qvel[:] = signals.dq[i]
            data.ctrl[:] = signals.control[i]
            data.sensordata[:] = signals.sensors[i]
            if self.target is not None:
                self.target.place(self.model, target[i])
            self._update()
            row[:-1] = self._observation()
            row[-1] = self._task.get_reward(self._physics)
        return rows

    def _update(self) -> None:
        """Compute what follows from positions, and the sensors of positions with it.

        The other sensors stay: those of velocities depend on masses, which this model may not have,
        and those of contacts belong, in dm_control too, to the last substep.
        """
        mujoco.mj_kinematics(self.model, self._data)
        mujoco.mj_sensorPos(self.model, self._data)

    def _observation(self) -> Array:
        parts = self._task.get_observation(self._physics).values()
        flat = [np.ravel(part) for part in parts]
        return np.concatenate(flat)

    def start(self, rng: np.random.Generator, task: Task) -> tuple[Array, Array]:
        """Positions (n, nq) and velocities (n, nv) at which episodes of n tasks begin.

        dm_control draws them itself, with the task's physics, from a seed that ``rng`` gives.
        """
        seeds = rng.integers(SEEDS, size=len(task))
        fields = scaled_fields(self.model, self._defaults, task)
        q = []
        dq = []
        for i, seed in enumerate(seeds.tolist()):
            own = {name: value[i] for name, value in fields.items()}
            write_fields(self.model, own)
            mujoco.mj_setConst(self.model, self._data)
            self._task.random.seed(seed)
            with self._physics.reset_context():
                self._task.initialize_episode(self._physics)
            q.append(self._data.qpos.copy())
            dq.append(self._data.qvel.copy())
        return np.stack(q), np.stack(dq)
