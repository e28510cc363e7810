"""A toy family: a point on a line with a hidden goal."""

import numpy as np

from robots.actions import JointVelocity
from robots.arm import Body, Limits
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily

ONE = np.ones(1)
LIMITS = Limits(
    q_low=-3 * ONE,
    q_high=3 * ONE,
    dq=ONE,
    ddq=100 * ONE,
    jerk=1e4 * ONE,
    tau=ONE,
    tool_box=np.array([[-3.0, 3.0]] * 3),
    tool_speed=10.0,
    force=1.0,
    deadline=0.25,
)
BODY = Body("toy-point", ("x",), np.zeros(1), LIMITS)


class Toy(BaseFamily):
    """Go to a goal between -1 m and 1 m that is not observed."""

    name = "toy"
    body = BODY
    limits = LIMITS
    scene = Scene(BODY, timestep=0.1)
    action = JointVelocity(BODY)
    obs = Spec.of(("x", -2.0, 2.0, "m"))
    dt = 0.1
    tick = 0.1
    horizon = 5
    episodes = 2
    task_names = ("goal.x",)
    hidden_reward = True

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        low = 0.0 if split == "train" else -1.0
        return Task(self.task_names, rng.uniform(low, low + 1.0, (n, 1)), np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        return Start(np.zeros((len(task), 1)))

    def observe(self, signals: Signals) -> Array:
        return signals.q.copy()

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        return -abs(next_obs - task)[..., 0]

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        return abs(obs - task)[..., 0] <= 0.1

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        return {"distance_m": abs(obs - task)[..., 0]}
