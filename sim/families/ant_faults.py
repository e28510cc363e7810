"""The ant runs forward with a dead leg, nearly as in GrBAL's code."""

import numpy as np

from robots.signals import ArrayLike
from robots.world import Task
from sim.families.ant import ANT, VELOCITY_X, Ant
from sim.randomization import Parameter, categorical

# Legs by the number in their joints' names: GrBAL's code trains on its legs 0, 1 and 2 and tests 3.
LEG = Parameter(
    "fault.leg",
    categorical(1, 2, 3),
    "1",
    "number of the dead leg",
    choices=(1, 2, 3, 4),
    heldout=categorical(4),
)


class AntCripple(Ant):
    """Run forward with one leg whose two motors are dead.

    As in GrBAL's code (Nagabandi, Clavera et al. 2019), three legs are trained on and the fourth is
    held out. There the dead leg is also shrunk, so that it hardly touches the ground, the ant is
    rllab's, and an action lasts one step of 20 ms. Here the leg hangs limp, the ant is Gymnasium's,
    and an action lasts 50 ms.
    """

    name = "ant_cripple"
    episodes = 2
    # factor of each motor's torque: 1 healthy, 0 dead
    task_names = tuple(f"actuator.{joint}" for joint in ANT.joints)
    parameters = (LEG,)
    min_speed = 1.0  # m/s, of success; ours, the literature defines none

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """One of the first three legs is dead in training, the fourth in held-out tasks."""
        legs = self.parameters[0].of(split)
        dead = legs.draw(rng, n).astype(np.int64)
        values = np.ones((n, len(ANT.joints)))
        rows = np.arange(n)
        for part in ("hip", "ankle"):
            columns = [ANT.joints.index(f"{part}_{leg}") for leg in dead]
            values[rows, columns] = 0.0
        return Task(self.task_names, values, rows)

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """v + 0.05: neither effort nor contacts cost anything."""
        return self.mean_velocity(obs, next_obs) + 0.05

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Forward at more than ``min_speed`` m/s at this instant."""
        return obs[..., VELOCITY_X] > self.min_speed

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Forward speed at this instant."""
        return {"speed_mps": obs[..., VELOCITY_X]}
