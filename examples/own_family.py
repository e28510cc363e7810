"""A family defined in this file, trained by its path: nothing is registered.

    python examples/own_family.py

The task: keep a point at a hidden speed. What differs between tasks is the speed, and the reward
tells how far off it is.
"""

from pathlib import Path

import numpy as np

import pliant
from robots.actions import JointVelocity
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.families.point import POINT
from sim.families.splits import interleaved

RUN = Path("runs/example-speed")


class Speed(BaseFamily):
    """Move along x at a hidden speed between -1 and 1 m/s; reward is minus the error."""

    name = "speed"
    body = POINT  # a body that Pliant has; docs/add_your_own.md makes a new one
    limits = POINT.limits
    scene = Scene(POINT, timestep=0.1)
    action = JointVelocity(POINT)
    obs = Spec.of(("vx", -1, 1, "m/s"), ("vy", -1, 1, "m/s"))
    dt = 0.1
    tick = 0.1
    horizon = 10
    episodes = 2
    task_names = ("goal.speed",)
    hidden_reward = True

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """n speeds; held-out ones lie where no training speed does."""
        speed = 2 * interleaved(rng, n, split) - 1
        return Task(self.task_names, speed, np.arange(n))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """At rest in the middle."""
        return Start(np.zeros((len(task), 2)))

    def observe(self, signals: Signals) -> Array:
        """Velocity, (n, 2) m/s."""
        return signals.dq.copy()

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Minus the error of the speed, m/s."""
        return -abs(next_obs[..., 0] - task[..., 0])

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Within 0.1 m/s."""
        return abs(obs[..., 0] - task[..., 0]) <= 0.1

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Error of the speed in the last state, m/s."""
        return {"error_mps": abs(obs[..., 0] - task[..., 0])}


def main() -> None:
    """Train for a few seconds, and show two held-out tasks."""
    family = "own_family:Speed"  # this module and its class
    settings = {"schedule.meta_batch": 64, "gradient_steps": 2}
    if not RUN.exists():
        pliant.train("maml", family, RUN, iterations=3, settings=settings, references=False)
    policy = pliant.load(RUN)
    world = pliant.make(Speed(), n=2)  # the object serves as well as its path
    task = world.family.sample(world.rng, world.n, "heldout")
    trial = pliant.rollout(world, policy, task)
    for row in range(world.n):
        returns = " ".join(f"{value:.2f}" for value in trial.returns[:, row])
        print(f"speed {task.values[row, 0]:+.2f} m/s: return per episode {returns}")


if __name__ == "__main__":
    main()
