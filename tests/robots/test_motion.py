"""Planned moves lead along straight lines."""

import numpy as np

from robots.catalog.panda import PANDA
from robots.motion import Move
from robots.signals import Setpoint


def test_a_move_stays_on_its_straight_line() -> None:
    """After a strike the straight way back leads over the table, and a bent one into it."""
    start = np.array([0.0064, 0.5587, 0.0084, -2.2558, -0.0022, 3.2321, -0.0003])
    goal = np.array([0.0, 0.05, 0.0, -2.93, 0.0, 2.98, 0.0])
    move = Move(PANDA.move_limits, start, goal)
    standing = Setpoint(start[None], np.zeros((1, 7)), np.zeros((1, 7)))
    dt = 1e-3
    q = start.copy()
    for tick in range(int(move.duration / dt)):
        q = q + dt * move(tick * dt, Setpoint(q[None], standing.dq, standing.ddq))[0]
        share = (q - start) @ (goal - start) / ((goal - start) @ (goal - start))
        np.testing.assert_allclose(q, start + share * (goal - start), atol=1e-4)
    np.testing.assert_allclose(q, goal, atol=5e-3)


def test_a_move_to_where_the_arm_stands_ends_at_once() -> None:
    move = Move(PANDA.move_limits, PANDA.home, PANDA.home)
    assert move.duration < 0.1
