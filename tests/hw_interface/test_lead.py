"""Commands that take account of where the joints were measured: a wrong reading moves nothing."""

import numpy as np
import pytest

from hw_interface.drivers.lead import BELIEVED, LEAD, held_positions, hold_back


def test_whatever_is_measured_a_command_is_between_the_last_one_and_the_wanted_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        q, last = rng.normal(0, 0.1, (2, 6))
        measured = rng.normal(0, 3.0, 6)
        sent = hold_back(q, last, measured)
        assert (sent >= np.minimum(q, last)).all()
        assert (sent <= np.maximum(q, last)).all()


def test_a_command_does_not_run_ahead_of_a_joint_that_does_not_follow() -> None:
    measured = np.zeros(2)
    sent = measured
    for tick in range(100):
        sent = hold_back(np.array([0.01, -0.01]) * tick, sent, measured)
    np.testing.assert_allclose(sent, [LEAD, -LEAD])


@pytest.mark.parametrize("side", [-1, 1])
def test_joints_are_held_where_they_are_unless_that_cannot_be(side: int) -> None:
    target = np.array([0.3, 0.3, 0.3])
    measured = target + side * np.array([0.01, 0.1, BELIEVED + 0.1])
    held = held_positions(target, measured, reached=0.05)
    assert held is not None
    np.testing.assert_array_equal(held, [target[0], measured[1], target[2]])
    assert held_positions(target, target + 0.01, reached=0.05) is None
    assert held_positions(target, target + side * 1.0, reached=0.05) is None
