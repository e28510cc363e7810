"""What ToolPosition asks of the joints."""

import numpy as np

from robots.catalog.panda import PANDA
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint
from robots.tool_position import ToolPosition

BOX = np.array([[0.4, 0.55], [-0.15, 0.15], [0.2, 0.45]])
SPEED = 0.4  # m/s
TIME = 0.1  # s
TICK = 0.01  # s
POSITIONS = ToolPosition(PANDA, PANDA.limits, BOX, SPEED, TIME)
KINEMATICS = Kinematics(PANDA)


def setpoint(q: Array) -> Setpoint:
    return Setpoint(q, np.zeros_like(q), np.zeros_like(q))


def test_the_tool_goes_to_the_place_and_stays() -> None:
    assert PANDA.reach_zone is not None
    actions = np.array([[0.0, 0.0, 0.0], [0.8, -0.9, 0.5], [-1.0, 1.0, -3.0]])
    low, high = BOX.T
    places = (low + high) / 2 + np.clip(actions, -1, 1) * (high - low) / 2
    q = np.tile(PANDA.reach_zone.ready, (3, 1))
    before, _, _ = KINEMATICS.forward_jacobian(q)
    for _ in range(150):
        q = q + TICK * POSITIONS(actions, setpoint(q))
        tool, _, _ = KINEMATICS.forward_jacobian(q)
        assert (np.abs(tool - before) <= 1.05 * SPEED * TICK).all()
        before = tool
    np.testing.assert_allclose(tool, places, atol=2e-3)


def test_it_says_where_its_actions_send_the_tool() -> None:
    assert POSITIONS.spec.names == ("tool.x", "tool.y", "tool.z")
    np.testing.assert_allclose(POSITIONS.spec.low, BOX[:, 0])
    np.testing.assert_allclose(POSITIONS.spec.high, BOX[:, 1])


def test_an_action_that_is_nan_asks_for_nan() -> None:
    assert PANDA.reach_zone is not None
    q = np.tile(PANDA.reach_zone.ready, (2, 1))
    actions = np.array([[np.nan, 0.0, 0.0], [0.0, 0.0, 0.0]])
    asked = POSITIONS(actions, setpoint(q))
    assert np.isnan(asked[0]).any()
    assert np.isfinite(asked[1]).all()
