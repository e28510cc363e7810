"""The half-cheetah runs forward with faulty actuators, nearly as in GrBAL's code."""

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from robots.world import Task
from sim.families.cheetah import CHEETAH, ForwardCheetah
from sim.families.splits import heldout
from sim.randomization import Parameter, Range, uniform

# Joints that are never faulty together in training, numbered from hip to foot, back leg first: the
# same joint of both legs, and successive numbers. Each joint is in two of the pairs.
HELDOUT_PAIRS = ((0, 3), (1, 4), (2, 5), (0, 1), (2, 3), (4, 5))


def fault_strength(train: Range) -> Parameter:
    """The factor of a faulty actuator's torque: 1 healthy, 0 dead, negative the other way."""
    meaning = "factor of a faulty actuator's torque; 0 dead, negative the other way"
    return Parameter("fault.strength", train, "1", meaning, (-1.0, 1.0))


class FaultyCheetah(ForwardCheetah):
    """Run forward with one or two faulty actuators; a subclass defines the fault.

    In GrBAL's code (Nagabandi, Clavera et al. 2019) one actuator is dead, and one joint is held
    out. Here held-out tasks have two faulty joints that are never faulty together in training: the
    pairs ``HELDOUT_PAIRS``. Training has the other 9 pairs, and each joint alone.

    Reward and duration are those of GrBAL's code. There an action lasts one step of 10 ms and an
    episode 1000 actions; here an action lasts five steps and an episode 200 actions.
    """

    episodes = 2
    # factor of each motor's torque: 1 healthy, 0 dead, negative where it turns the other way
    task_names = tuple(f"actuator.{joint}" for joint in CHEETAH.joints)

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """One or two faulty joints, with uniformly drawn strengths.

        Two joints that are faulty together in a held-out task are never faulty together in
        training.
        """
        pairs = rng.choice(_faulty_joints(split), n)  # (n, 2); twice the same joint: it alone
        strength = self.parameters[0].train.at(rng.random((n, 2)))
        rows = np.arange(n)
        values = np.ones((n, len(CHEETAH.joints)))
        for i in range(2):
            values[rows, pairs[:, i]] = strength[:, i]
        return Task(self.task_names, values, rows)


class CheetahCripple(FaultyCheetah):
    """Weak actuators, with 0 to 50 % of their torque."""

    name = "cheetah_cripple"
    parameters = (fault_strength(uniform(0.0, 0.5)),)
    min_speed = 3.0


class CheetahInverted(FaultyCheetah):
    """Actuators that turn the wrong way, with at least half of their torque.

    A policy that does not know which ones can hardly be robust to this fault: an action that drives
    a healthy cheetah forward drives a faulty one back.
    """

    name = "cheetah_inverted"
    parameters = (fault_strength(uniform(-1.0, -0.5)),)
    min_speed = 2.0


def _faulty_joints(split: str) -> NDArray[np.int64]:
    """Numbers of the joints that are faulty together, (k, 2); a single one is named twice."""
    if heldout(split):
        return np.array(HELDOUT_PAIRS)
    joints = range(len(CHEETAH.joints))
    every = combinations_with_replacement(joints, 2)
    return np.array([pair for pair in every if pair not in HELDOUT_PAIRS])
