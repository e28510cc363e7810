"""A robot on legs keeps a commanded velocity: reward, success and metric of such families.

Observations have the columns ``quat.x``, ``quat.y``, ``forward.velocity`` followed by
``left.velocity``, and ``command.forward`` followed by ``command.left``.
"""

import numpy as np

from robots.signals import Array, ArrayLike, Spec
from sim.families.base import BaseFamily
from sim.families.rewards import effort
from sim.families.splits import checkerboard
from sim.randomization import Parameter, values_at

NUM_COMMANDS = 2
FIELDS = 2  # of the checkerboard along each hidden number: low and high
EFFORT = 0.005  # weight of squared actions


def draw(
    rng: np.random.Generator,
    n: int,
    parameters: tuple[Parameter, ...],
    outside: str,
    split: str,
) -> Array:
    """The values (n, p) of tasks: commands, and hidden numbers on a checkerboard.

    Args:
        rng: source of randomness.
        n: number of tasks.
        parameters: first the commands, which both splits share.
        outside: the name of the one whose held-out range lies outside that of training.
        split: ``"train"`` or ``"heldout"``.
    """
    names = [parameter.name for parameter in parameters]
    column = names.index(outside)
    share = rng.random((n, len(parameters)))
    combined = [i for i in range(NUM_COMMANDS, len(parameters)) if i != column]
    share[:, combined] = checkerboard(rng, n, len(combined), split, FIELDS)
    values = values_at(parameters, share)
    values[:, column] = parameters[column].of(split).at(share[:, column])
    return values


class CommandedVelocity(BaseFamily):
    """Base class: the command is observed, and the reward is that of legged_gym."""

    obs: Spec
    deviation = 0.25  # m²/s², a squared error of the velocity at which its reward is 1/e
    max_error = 0.2  # m/s, of success; ours
    min_upright = 0.8  # of success: cosine of the torso's lean

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """exp(-|command - v|² / 0.25)·(1 + cos(lean)) / 2 - 0.005·|a|²."""
        squared = self.error(next_obs) ** 2
        tracking = 2.718281828459045 ** (-squared / self.deviation)
        return tracking * (1 + self.upright(next_obs)) / 2 - EFFORT * effort(applied)

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Upright, and within ``max_error`` m/s of the command at this instant."""
        return (self.error(obs) < self.max_error) & (self.upright(obs) > self.min_upright)

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """How far the velocity in the plane is from the command at this instant."""
        return {"error_mps": self.error(obs)}

    def error(self, obs: ArrayLike) -> ArrayLike:
        """Distance of the torso's velocity forward and left from the command, m/s."""
        forward = self.obs.index("forward.velocity")
        command = self.obs.index("command.forward")
        off = obs[..., forward : forward + 2] - obs[..., command : command + 2]
        return (off**2).sum(-1) ** 0.5

    def upright(self, obs: ArrayLike) -> ArrayLike:
        """Cosine of the angle between the torso's upward axis and the ground's, of unit length."""
        x = obs[..., self.obs.index("quat.x")]
        y = obs[..., self.obs.index("quat.y")]
        return 1 - 2 * (x**2 + y**2)
