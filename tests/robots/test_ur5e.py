"""The UR5e against the numbers that Universal Robots publishes."""

import numpy as np

from robots.catalog.ur5e import UR5E
from robots.kinematics import Kinematics
from robots.signals import Array

# "DH parameters for calculations of kinematics and dynamics", UR5e, a row for each joint:
# a (m), d (m) and alpha (rad).
DH = (
    (0.0, 0.1625, np.pi / 2),
    (-0.425, 0.0, 0.0),
    (-0.3922, 0.0, 0.0),
    (0.0, 0.1333, np.pi / 2),
    (0.0, 0.0997, -np.pi / 2),
    (0.0, 0.0996, 0.0),
)
ROD = 0.14  # m, from the flange to the center of the striker's ball


def transform(theta: float, a: float, d: float, alpha: float) -> Array:
    """From one frame to the next, (4, 4), by Denavit and Hartenberg."""
    about_z = np.eye(4)
    about_z[:2, :2] = [[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]]
    about_x = np.eye(4)
    about_x[1:3, 1:3] = [[np.cos(alpha), -np.sin(alpha)], [np.sin(alpha), np.cos(alpha)]]
    about_x[:3, 3] = (a, 0.0, d)
    return about_z @ about_x


def test_the_tool_is_where_the_makers_parameters_have_it() -> None:
    limits = UR5E.limits
    configurations = np.random.default_rng(0).uniform(limits.q_low, limits.q_high, (50, 6))
    in_controllers_frame = []
    for q in configurations:
        flange = np.eye(4)
        for angle, (a, d, alpha) in zip(q, DH, strict=True):
            flange = flange @ transform(angle, a, d, alpha)
        in_controllers_frame.append(flange[:3, 3] + ROD * flange[:3, 2])
    half_turn = np.diag([-1.0, -1.0, 1.0])  # from the controller's frame to ours
    expected = np.array(in_controllers_frame) @ half_turn
    np.testing.assert_allclose(Kinematics(UR5E).position(configurations), expected, atol=1e-12)


def test_the_arm_is_never_asked_for_more_than_its_data_sheet_has() -> None:
    limits = UR5E.limits
    assert (np.abs([limits.q_low, limits.q_high]) <= 2 * np.pi).all()
    assert (limits.dq <= np.pi).all()
    assert (limits.tau <= [150, 150, 150, 28, 28, 28]).all()
