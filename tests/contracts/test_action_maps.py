"""The contract of every action map: its standstill action leaves the body where it is."""

import numpy as np
import pytest

from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint
from robots.world import Family
from sim.families import FAMILIES, arms_for, make_family

N = 8
TICK = 0.01  # s
TICKS = 40  # of a random motion


def families_and_arms() -> list[tuple[str, str | None]]:
    pairs: list[tuple[str, str | None]] = []
    for name in sorted(FAMILIES):
        arms = arms_for(name)
        pairs += [(name, arm) for arm in arms]
        if not arms:
            pairs.append((name, None))
    return pairs


every_family_and_arm = pytest.mark.parametrize(("name", "arm"), families_and_arms())


def setpoint_at(q: Array) -> Setpoint:
    return Setpoint(q, np.zeros_like(q), np.zeros_like(q))


def after_a_motion(family: Family) -> Setpoint:
    """Where random actions take n bodies from the family's start."""
    rng = np.random.default_rng(0)
    start = family.start(rng, family.sample(rng, N))
    q = start.q[:, -len(family.body.joints) :]
    if not isinstance(family.body, ArmSpec):
        return setpoint_at(q)
    for _ in range(TICKS):
        action = rng.uniform(-1, 1, (N, len(family.action.spec)))
        q = q + TICK * family.action(action, setpoint_at(q))
    return setpoint_at(q)


@every_family_and_arm
def test_a_standstill_action_is_an_action_and_asks_for_no_motion(
    name: str, arm: str | None
) -> None:
    family = make_family(name, arm)
    setpoint = after_a_motion(family)
    action = family.action.standstill(setpoint)
    assert action.shape == (N, len(family.action.spec))
    assert (np.abs(action) <= 1).all()
    asked = family.action(action, setpoint)
    if not isinstance(family.body, ArmSpec):
        np.testing.assert_array_equal(asked, np.zeros_like(asked))
        return
    jacobian = Kinematics(ARMS[family.body.name]).jacobian(setpoint.q)
    velocity = np.einsum("nij,nj->ni", jacobian[:, :3], asked)
    assert np.abs(velocity).max() < 0.005, "m/s"


@every_family_and_arm
def test_a_standstill_action_is_of_each_body_alone(name: str, arm: str | None) -> None:
    family = make_family(name, arm)
    setpoint = after_a_motion(family)
    together = family.action.standstill(setpoint)
    for i in (0, N - 1):
        alone = family.action.standstill(setpoint_at(setpoint.q[i : i + 1]))
        np.testing.assert_allclose(alone[0], together[i], atol=1e-12)
