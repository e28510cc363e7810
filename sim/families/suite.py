"""The tasks of dm_control's suite with hidden physics: ``suite/DOMAIN-TASK``.

Observation and reward are computed by dm_control's own code (``sim.suite.control_task``), so they
equal the suite's to the last digit. The reward is the observation's last column: it is therefore a
function of observations, and a planner can predict it like any other column.
"""

from typing import cast

import numpy as np

from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.splits import checkerboard
from sim.randomization import Parameter, values_at
from sim.suite.body import MotorControl, SuiteSignals, suite_body
from sim.suite.control_task import HORIZON, ControlTask
from sim.suite.factors import factors_of
from sim.suite.names import PREFIX
from sim.suite.targets import MARKER

REWARD = "reward"  # the last column of an observation
SPEED = 30.0  # m/s or rad/s, the scale of velocities
TOUCH = 8.0  # the scale of the suite's log(1 + force in N)
PLACE = 3.0  # m, rad or 1, the scale of everything else
FIELDS = 2  # of the checkerboard along each factor: low and high


class Suite(BaseFamily):
    """A task of dm_control's suite with hidden gravity, masses, damping, friction and gears."""

    horizon = HORIZON
    episodes = 2
    min_reward = 0.8  # of success, where the suite's largest is 1; ours, the suite defines none

    def __init__(self, domain: str, task: str) -> None:
        """``domain`` and ``task`` are the suite's names, such as walker and walk."""
        self.name = f"{PREFIX}{domain}-{task}"
        self._control = ControlTask(domain, task)
        model = self._control.model
        motors = tuple(model.actuator(i).name for i in range(model.nu))
        body = suite_body(domain, task, motors)
        self.body = body
        self.limits = body.limits
        self.scene = Scene(body, timestep=model.opt.timestep)
        self.action = MotorControl(body)
        self.dt = self._control.dt
        self.tick = self.dt
        self.obs = _obs_spec(self._control.columns)
        self.parameters: tuple[Parameter, ...] = factors_of(model)
        factor_names = tuple(parameter.name for parameter in self.parameters)
        target = self._control.target
        self.task_names = factor_names if target is None else factor_names + MARKER

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Factors drawn log-uniformly, and the suite's own target where there is one.

        In a held-out task an odd number of factors lie in the upper halves of their (logarithmic)
        ranges, in a training task an even number. Each factor is evenly distributed in both splits,
        and no combination of high and low factors is in both. With many factors, two tasks of one
        split are as far apart as two tasks of different splits.
        """
        share = checkerboard(rng, n, len(self.parameters), split, FIELDS)
        values = values_at(self.parameters, share)
        target = self._control.target
        if target is not None:
            places = target.draw(rng, n)
            values = np.concatenate([values, places], 1)
        return Task(self.task_names, values, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """As dm_control's ``initialize_episode`` draws it."""
        q, dq = self._control.start(rng, task)
        return Start(q, dq)

    def marker(self, task: Task) -> Array:
        """Position of the target, (n, 3) m; NaN where the task has none."""
        if self._control.target is None:
            return super().marker(task)
        return task.columns(*MARKER)

    def observe(self, signals: Signals) -> Array:
        """The suite's observation, flat, and its reward."""
        return self._control.observe(cast(SuiteSignals, signals), signals.marker)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """The suite's, in [0, 1]."""
        return next_obs[..., -1]

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """The reward of this state is at least ``min_reward``."""
        return obs[..., -1] >= self.min_reward

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """The last reward: the suite has no physical quantity that is common to all tasks."""
        return {"last_reward_1": obs[..., -1]}


def _obs_spec(columns: list[tuple[str, int]]) -> Spec:
    """The observation's columns with rough ranges, by the suite's names, and the reward."""
    described = []
    for name, index in columns:
        low, high = _range(name)
        described.append((f"{name}.{index}", low, high, "1"))
    return Spec.of(*described, (REWARD, 0.0, 1.0, "1"))


def _range(name: str) -> tuple[float, float]:
    """The range that scales an entry of the suite's observation."""
    if name == "touch":
        return 0.0, TOUCH
    scale = SPEED if "vel" in name else PLACE
    return -scale, scale
