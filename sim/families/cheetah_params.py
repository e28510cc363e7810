"""The half-cheetah runs forward with a hidden mass and damping: one of CaDM's families."""

from dataclasses import replace

import numpy as np

from robots.actions import JointTorque
from robots.scene import Scene
from robots.signals import Array
from robots.world import Task
from sim.families.cheetah import CHEETAH, ForwardCheetah
from sim.families.splits import heldout
from sim.randomization import Parameter, categorical, uniform

BODY = replace(CHEETAH, needs_mujoco=True)  # PyBullet's half-cheetah has one mass and damping
TRAINED = categorical(0.75, 0.85, 1.0, 1.15, 1.25)  # CaDM's factors, for mass and damping
# CaDM's test ranges, two moderate and two extreme: both factors come from the same range.
HELDOUT = uniform(0.2, 0.3, 0.4, 0.5, 1.5, 1.6, 1.7, 1.8)
MASS = Parameter(
    "body.mass_scale", TRAINED, "1", "factor of all masses", (0.05, 20.0), heldout=HELDOUT
)
DAMPING = Parameter(
    "joint.damping_scale", TRAINED, "1", "factor of all dampings", (0.0, 20.0), heldout=HELDOUT
)


class CheetahParams(ForwardCheetah):
    """Run forward with scaled masses and dampings: one factor for each of the two.

    As in CaDM's code (Lee et al. 2020), held-out factors lie outside the training range, and the
    factor of the masses does not change the moments of inertia. There an episode has 1000 actions;
    here it has 200, and starts as in Gymnasium.
    """

    name = "cheetah_params"
    body = BODY
    scene = Scene(BODY, timestep=0.01)
    action = JointTorque(BODY)
    episodes = 2
    task_names = ("body.mass_scale", "joint.damping_scale")
    parameters = (MASS, DAMPING)
    min_speed = 2.0
    effort_weight = 0.1

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Each factor from CaDM's five in training; held out, both from one of its four ranges."""
        draw = self._heldout_factors if heldout(split) else self._trained_factors
        factors = draw(rng, n)
        return Task(self.task_names, factors, np.arange(n))

    def _trained_factors(self, rng: np.random.Generator, n: int) -> Array:
        """Factors (n, 2) of mass and damping."""
        values = [parameter.train.numbers for parameter in self.parameters]
        counts = [len(own) for own in values]
        index = rng.integers(counts, size=(n, 2))
        columns = []
        for own, chosen in zip(values, index.T, strict=True):
            columns.append(np.take(own, chosen))
        return np.stack(columns, -1)

    def _heldout_factors(self, rng: np.random.Generator, n: int) -> Array:
        """Factors (n, 2) of mass and damping, both from intervals of one index."""
        intervals = [parameter.of("heldout").intervals for parameter in self.parameters]
        most = max(len(own) for own in intervals)
        index = rng.integers(most, size=n)
        share = rng.random((n, 2))
        columns = []
        for own, at in zip(intervals, share.T, strict=True):
            low, high = own[index % len(own)].T  # the shorter list begins again
            columns.append(low + (high - low) * at)
        return np.stack(columns, -1)
