"""What a policy that plans is told of its arm's latency."""

import numpy as np
import torch
from torch import Tensor

from robots.bodies import make_gate
from robots.world import Family

STARTS = 16  # episodes whose standstill is averaged, where they begin in different postures
TARGETS = ("m", "rad")  # units of actions that are positions to go to


def latency_in_decisions(family: Family, latency: float) -> float:
    """The latency of an arm in decisions of the family, as a plan should expect it.

    During a fraction of a decision the older action is still in effect. Where actions are
    velocities, the mean of the two describes their effect. Where they are target positions it does
    not, because the arm approaches both; there the nearest whole number predicts better
    (docs/experiments.md, "A known latency in the plan").

    Args:
        family: the tasks.
        latency: s from a setpoint to the motion.
    """
    decisions = latency / (family.dt * family.action_repeat)
    is_target = any(unit in TARGETS for unit in family.action.spec.units)
    return float(round(decisions)) if is_target else decisions


def standstill_at_start(family: Family) -> Tensor:
    """The action (a,) that is in effect when an episode begins: that of standing still.

    It is zero for velocities, and the start's own position for target positions.
    """
    rng = np.random.default_rng(0)
    start = family.start(rng, family.sample(rng, STARTS))
    gate = make_gate(family.body, family.limits, family.tick, STARTS)
    gate.reset(start.q, np.ones(STARTS, dtype=bool))
    actions = family.action.standstill(gate.setpoint)
    return torch.as_tensor(actions.mean(0))
