"""An arm with faulty joints: its tasks, and what it is worth to know the faults."""

from itertools import combinations

import numpy as np
import pytest

from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.signals import Array
from sim.families import arms_for, make_family
from sim.families.cripple_arm import CrippleArm, joints_that_move_the_tool
from sim.randomization import with_ranges
from sim.vec_world import VecWorld

TAKEN = arms_for("cripple_arm")
GAIN = 4.0  # 1/s, of the tool's way to the goal
DAMPING = 0.02**2 * np.eye(3)  # (m/rad)², of the least squares
every_arm = pytest.mark.parametrize("arm", TAKEN)


def gains_of(family: CrippleArm, n: int, split: str) -> Array:
    """The gains of n tasks, (n, j)."""
    values = family.sample(np.random.default_rng(0), n, split).values
    return values[:, : len(family.body.joints)]


def faulty_together(gains: Array) -> list[frozenset[int]]:
    """The joints of each task that do not move as commanded."""
    return [frozenset(np.flatnonzero(row != 1).tolist()) for row in gains]


def drive(family: CrippleArm, engine: str, n: int, knows: bool) -> Array:
    """Resolved-rate control for an episode of held-out tasks; success (n,).

    Joint velocities follow from the tool's by damped least squares, with the Jacobian of the
    commanded motion: that of the arm times the gains, or times 1 by who does not know them.
    """
    world = VecWorld(family, engine, n, seed=0)
    task = family.sample(np.random.default_rng(0), n, "heldout")
    kinematics = Kinematics(family.body)
    joints = len(family.body.joints)
    gains = task.values[:, :joints] if knows else np.ones((n, joints))
    obs = world.reset(task)
    for _ in range(family.horizon):
        q = obs[:, :joints]
        way = obs[:, joints + 6 :] - obs[:, joints : joints + 3]
        _, _, jacobian = kinematics.forward_jacobian(q)
        commanded = jacobian[:, :3] * gains[:, None]
        system = commanded @ commanded.swapaxes(1, 2) + DAMPING
        share = np.linalg.solve(system, GAIN * way[..., None])
        dq = (commanded.swapaxes(1, 2) @ share)[..., 0]
        action = dq / family.action.scale
        largest = np.abs(action).max(1, keepdims=True)
        step = world.step(action / np.maximum(largest, 1))
        obs = step.obs
    world.close()
    return step.success


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
@every_arm
def test_who_knows_the_gains_gets_there_and_who_does_not_goes_astray(arm: str, engine: str) -> None:
    family = make_family("cripple_arm", arm)
    assert isinstance(family, CrippleArm)
    n = 24
    informed = drive(family, engine, n, knows=True)
    blind = drive(family, engine, n, knows=False)
    assert informed.mean() >= 0.9
    assert blind.mean() <= 0.6


@every_arm
def test_joints_that_are_faulty_together_in_held_out_tasks_never_are_in_training(arm: str) -> None:
    family = CrippleArm(ARMS[arm])
    train = set(faulty_together(gains_of(family, 3000, "train")))
    heldout = set(faulty_together(gains_of(family, 3000, "heldout")))
    singles = {frozenset([joint]) for joint in family.faulty}
    pairs = {frozenset(pair) for pair in combinations(family.faulty, 2)}
    assert train | heldout == singles | pairs
    assert not train & heldout
    assert singles <= train
    for joint in family.faulty:
        assert sum(joint in pair for pair in heldout) == 2


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_one_of_two_faulty_joints_is_inverted_and_the_other_one_of_any_kind(split: str) -> None:
    gains = gains_of(CrippleArm(), 4000, split)
    faulty = (gains != 1).sum(1)
    assert set(faulty) == ({1, 2} if split == "train" else {2})
    values = gains[gains != 1]
    assert (((values >= -1) & (values <= -0.5)) | ((values >= 0) & (values <= 0.5))).all()
    both = gains[faulty == 2]
    assert (both.min(1) <= -0.5).all()
    weak = ((both >= 0) & (both <= 0.5)).any(1)
    assert weak.mean() == pytest.approx(0.5, abs=0.05)


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


def test_ranges_of_faults_and_goals_can_be_changed() -> None:
    ranges = {"fault.first": (0.0,), "fault.second": (0.2, 0.3), "target.z": (0.3, 0.4)}
    family = with_ranges(CrippleArm(), ranges)
    task = family.sample(np.random.default_rng(0), 500)
    gains = task.values[:, :7]
    faulty = gains[gains != 1]
    assert ((faulty == 0) | ((faulty >= 0.2) & (faulty <= 0.3))).all()
    assert (faulty == 0).any()
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
