"""Moves to a start from wherever an arm is found, through the gate of a move."""

from collections.abc import Container
from functools import cache

import numpy as np
import pytest

from benchmarks.gate_search import DRIVER_TICKS
from hw_interface.control.events import Event
from hw_interface.control.guided_move import Mover
from robots.catalog import ARMS
from robots.clearance import Clearance
from robots.errors import ArmError, BadArgumentError
from robots.kinematics import Kinematics
from robots.motion import check_measured
from robots.paths import BOX, FreeSpace, plan_path
from robots.signals import Array
from sim.families import arms_for
from sim.families.reach import Reach

STARTS = {name: Reach(ARMS[name]) for name in arms_for("reach")}
SLEEP = np.array([0.0, -1.85, 1.55, 0.0, 0.8, 0.0])  # rad, of the maker's vx300s.yaml
COUNT = 12
DT = 0.01  # s
SLACK = 1e-6  # m

every_arm = pytest.mark.parametrize("name", sorted(STARTS))


@cache
def arm_clearance(name: str) -> Clearance:
    """An arm's clearance; not before a test needs it, because workers import every test."""
    return Clearance(Kinematics(ARMS[name]))


def random_poses(name: str) -> Array:
    """Poses (COUNT, j) anywhere in the limits, with the arm clear of the table and of itself."""
    arm = ARMS[name]
    goal = STARTS[name].ready
    rng = np.random.default_rng(1)
    limits = arm.limits
    q = rng.uniform(limits.q_low, limits.q_high, (1000, len(arm.joints)))
    space = FreeSpace(arm_clearance(name), arm.move_limits, goal)
    in_the_way = space.violations(q)[:, BOX.stop :]
    above_table = Kinematics(arm).position(q)[:, 2] > 0
    return q[above_table & (in_the_way == 0).all(1)][:COUNT]


def drive(name: str, start: Array, stall_at: Container[int] = ()) -> tuple[Array, str]:
    """Move to the family's start; returns the setpoints (t, j), and why it did not arrive.

    ``stall_at``: ticks before which the control loop stalls, so that the arm comes to a stop.
    """
    arm = ARMS[name]
    family = STARTS[name]
    events: list[Event] = []
    mover = Mover(arm, family.limits, DT, lambda event, _: events.append(event))
    mover.gate.reset(start[None])
    path = plan_path(arm_clearance(name), start, family.ready, np.random.default_rng(0))
    mover.begin(path[1:])
    setpoints = [start]
    while mover.is_moving:
        if len(setpoints) in stall_at:
            mover.gate.reset(mover.gate.setpoint.q)
        setpoint, _ = mover.gate(mover.velocity())
        setpoints.append(setpoint.q[0].copy())
    return np.array(setpoints), mover.failure


@cache
def undisturbed_move(name: str) -> Array:
    """Joint positions (t, j) on the way from rest, which several tests compare with."""
    q, _ = drive(name, ARMS[name].rest)
    return q


@pytest.mark.parametrize("name", list(DRIVER_TICKS))  # it takes seconds; the planner is the same
def test_an_arm_arrives_from_wherever_it_is_found(name: str) -> None:
    arm = ARMS[name]
    goal = STARTS[name].ready
    poses = [arm.rest, np.zeros(len(arm.joints)), *random_poses(name)]
    space = FreeSpace(arm_clearance(name), arm.move_limits, goal)
    assert len(poses) == COUNT + 2
    for start in poses:
        q, failure = drive(name, np.clip(start, arm.limits.q_low, arm.limits.q_high))
        assert failure == ""
        np.testing.assert_allclose(q[-1], goal, atol=2e-3)
        growth = np.diff(space.violations(q), axis=0)
        assert growth.max() < 1e-3, "a violation has grown on the way"
        tool = Kinematics(arm).position(q)
        low, high = arm.move_limits.tool_box.T
        outside = np.maximum(low - tool, tool - high).max(1)
        assert (outside <= max(outside[0], 0.0) + SLACK).all()


def test_the_maker_s_sleep_pose_is_a_start() -> None:
    np.testing.assert_array_equal(ARMS["viperx"].rest, SLEEP)
    cradle_gave_way = SLEEP - np.array([0.0, 0.03, 0.0, 0.0, 0.0, 0.0])
    q, failure = drive("viperx", cradle_gave_way)
    assert failure == ""
    np.testing.assert_allclose(q[-1], STARTS["viperx"].ready, atol=2e-3)


@every_arm
@pytest.mark.parametrize("stall_at", [[30], [60], range(20, 200, 40)])
def test_a_move_goes_on_after_a_stall_of_the_loop(name: str, stall_at: Container[int]) -> None:
    arm = ARMS[name]
    undisturbed = undisturbed_move(name)
    q, failure = drive(name, arm.rest, stall_at)
    assert failure == ""
    np.testing.assert_allclose(q[-1], STARTS[name].ready, atol=2e-3)
    assert len(q) < 2 * len(undisturbed)


def test_the_same_seed_finds_the_same_path() -> None:
    goal = STARTS["panda"].ready
    start = random_poses("panda")[0]
    paths = []
    for _ in range(2):
        rng = np.random.default_rng(3)
        paths.append(plan_path(arm_clearance("panda"), start, goal, rng))
    np.testing.assert_array_equal(paths[0], paths[1])


@every_arm
def test_a_goal_that_the_arm_must_not_reach_is_refused(name: str) -> None:
    arm = ARMS[name]
    rng = np.random.default_rng(0)
    with pytest.raises(BadArgumentError, match="cannot move to"):
        plan_path(arm_clearance(name), arm.home, arm.limits.q_high + 1, rng)
    below = arm.home.copy()
    below[1] = arm.limits.q_high[1]  # the shoulder all the way forward
    with pytest.raises(BadArgumentError, match=r"outside|too close to the table"):
        plan_path(arm_clearance(name), arm.home, below, rng)


@pytest.mark.parametrize(
    ("joint", "shift", "reason"),
    [(0, 3.0, "x face of its box"), (1, 1.0, "table"), (1, -1.7, "x face of its box")],
)
def test_a_blocked_move_stands_and_says_why(joint: int, shift: float, reason: str) -> None:
    """Straight to a pose outside the box, as if no path had been planned."""
    arm = ARMS["viperx"]
    events: list[Event] = []
    mover = Mover(arm, arm.limits, DT, lambda event, _: events.append(event))
    mover._move_gate = mover.gate = mover._episode_gate  # with the box of an episode
    mover.gate.reset(arm.home[None])
    goal = arm.home.copy()
    goal[joint] += shift
    mover.begin(goal)
    while mover.is_moving:
        mover.gate(mover.velocity())
    assert events == [Event.BLOCKED]
    assert reason in mover.failure


def test_a_joint_beyond_its_limit_is_named() -> None:
    arm = ARMS["viperx"]
    q = arm.home.copy()
    q[2] = 1.75
    with pytest.raises(ArmError, match=r"joint elbow is at 1.75 rad, allowed are -1.76 to 1.6"):
        check_measured(arm, q)
    check_measured(arm, arm.home)
