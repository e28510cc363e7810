"""An arm with faulty joints: its tasks, and what it is worth to know the faults."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from folding_arm import folding_arm

from benchmarks.cripple_gap import drive
from benchmarks.gate_search import DRIVER_TICKS
from robots.catalog import ARMS
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array
from sim.families import arms_for, make_family
from sim.families.cripple_arm import MIN_JOINTS, CrippleArm, joints_that_move_the_tool
from sim.randomization import with_ranges

TAKEN = arms_for("cripple_arm")
every_arm = pytest.mark.parametrize("arm", TAKEN)


def gains_of(family: CrippleArm, n: int, split: str) -> Array:
    """The gains of n tasks' joints that can be faulty, (n, k)."""
    values = family.sample(np.random.default_rng(0), n, split).values
    return values[:, : len(family.faulty)]


def faulty_together(gains: Array) -> list[frozenset[int]]:
    """The joints of each task that do not move as commanded."""
    return [frozenset(np.flatnonzero(row != 1).tolist()) for row in gains]


@pytest.mark.parametrize(
    ("arm", "engine"),
    # on PyBullet it takes seconds, so not every arm is tried there
    [*((arm, "mujoco") for arm in TAKEN), *((arm, "bullet") for arm in DRIVER_TICKS)],
)
def test_who_knows_the_gains_gets_there_and_who_does_not_goes_astray(arm: str, engine: str) -> None:
    family = make_family("cripple_arm", arm)
    assert isinstance(family, CrippleArm)
    n = 24
    informed, _ = drive(family, engine, n, "heldout", knows=True)
    blind, _ = drive(family, engine, n, "heldout", knows=False)
    assert informed.mean() >= 0.9
    assert blind.mean() <= 0.6


@every_arm
def test_joints_that_are_faulty_together_in_held_out_tasks_never_are_in_training(arm: str) -> None:
    family = CrippleArm(ARMS[arm])
    train = set(faulty_together(gains_of(family, 3000, "train")))
    heldout = set(faulty_together(gains_of(family, 3000, "heldout")))
    pairs = {frozenset(pair) for pair in combinations(range(len(family.faulty)), 2)}
    assert train | heldout == pairs
    assert not train & heldout
    for joint in range(len(family.faulty)):
        assert sum(joint in pair for pair in heldout) == 2


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_every_joint_is_inverted_and_weak_as_often(split: str) -> None:
    family = CrippleArm()
    gains = gains_of(family, 6000, split)
    inverted = (gains >= -1) & (gains <= -0.5)
    weak = (gains >= 0) & (gains <= 0.5)
    healthy = gains == 1
    assert (inverted.sum(1) == 1).all()
    assert (weak.sum(1) == 1).all()
    assert (healthy.sum(1) == len(family.faulty) - 2).all()
    for kind in (inverted, weak):
        np.testing.assert_allclose(kind.mean(0), 1 / len(family.faulty), atol=0.02)


@every_arm
def test_only_joints_that_move_the_tool_are_faulty(arm: str) -> None:
    family = CrippleArm(ARMS[arm])
    assert family.faulty == joints_that_move_the_tool(ARMS[arm], family.ready)
    position = Kinematics(family.body).position
    still = position(family.ready[None])
    for joint in range(len(family.body.joints)):
        turned = family.ready.copy()
        turned[joint] += 0.1
        moved = np.linalg.norm(position(turned[None]) - still)
        assert (moved > 0.007) == (joint in family.faulty)


def test_an_arm_with_too_few_joints_that_move_the_tool_is_refused(tmp_path: Path) -> None:
    arm = folding_arm(tmp_path)
    assert PANDA.reach_zone is not None
    zone = replace(PANDA.reach_zone, ready=arm.home)
    reason = f"'folding' has 3 joints that move the tool, {MIN_JOINTS} are needed"
    with pytest.raises(BadArgumentError, match=reason):
        CrippleArm(replace(arm, reach_zone=zone))


def test_ranges_of_faults_and_goals_can_be_changed() -> None:
    ranges = {"fault.inverted": (1.0,), "fault.weak": (0.0,), "marker.z": (0.3, 0.4)}
    family = with_ranges(CrippleArm(), ranges)
    task = family.sample(np.random.default_rng(0), 500)
    gains = task.values[:, : len(family.faulty)]
    assert ((gains == 0) | (gains == 1)).all()
    assert ((gains == 0).sum(1) == 1).all()
    heights = task["marker.z"]
    assert heights.min() >= 0.3
    assert heights.max() <= 0.4


def test_starts_lie_around_the_middle_posture_and_inside_the_limits() -> None:
    family = CrippleArm()
    task = family.sample(np.random.default_rng(0), 500)
    q = family.start(np.random.default_rng(0), task).q
    assert (np.abs(q - family.ready) <= 0.1).all()
    assert (q.std(0) > 0.04).all()
    assert (q >= family.limits.q_low).all()
    assert (q <= family.limits.q_high).all()
