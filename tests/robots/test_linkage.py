"""Linkages between a servo and the fingers that it moves: their geometry, rates and inverses."""

import math

import numpy as np
import pytest

from robots.catalog import ARMS
from robots.gripper import Gripper
from robots.linkage import Crank, Linkage, largest_ratio

LINKED = [name for name in ARMS if ARMS[name].gripper is not None and ARMS[name].gripper.linkage]


def gripper_of(name: str) -> tuple[Gripper, Linkage]:
    gripper = ARMS[name].gripper
    assert gripper is not None
    assert gripper.linkage is not None
    return gripper, gripper.linkage


def test_a_crank_and_its_rod_end_at_the_finger() -> None:
    """Both bars are drawn from the axis; the rod's end lies on the rail."""
    crank = Crank(radius=0.022, rod=0.036, inset=0.0135)
    for angle in (-0.4, 0.0, 0.5, 1.3):
        pin = 0.022 * np.array([math.sin(angle), math.cos(angle)])
        end = np.array([crank.position(angle) + 0.0135, 0.0])
        assert np.linalg.norm(end - pin) == pytest.approx(0.036)
        assert end[0] > pin[0]


@pytest.mark.parametrize("name", LINKED)
def test_angle_and_ratio_are_inverse_and_derivative_of_the_position(name: str) -> None:
    gripper, linkage = gripper_of(name)
    largest = largest_ratio(linkage, gripper.closed, gripper.opened)
    step = 1e-6
    for position in np.linspace(gripper.closed, gripper.opened, 9):
        angle = linkage.angle(float(position))
        assert linkage.position(angle) == pytest.approx(position, abs=1e-12)
        slope = (linkage.position(angle + step) - linkage.position(angle - step)) / (2 * step)
        assert linkage.ratio(angle) == pytest.approx(slope, rel=1e-6)
        assert 0 < linkage.ratio(angle) <= largest


@pytest.mark.parametrize("name", LINKED)
def test_a_position_out_of_reach_has_the_nearest_angle(name: str) -> None:
    _, linkage = gripper_of(name)
    for position in (-1.0, 1.0):
        assert np.isfinite(linkage.angle(position))
    assert linkage.angle(1.0) > linkage.angle(0.02) > linkage.angle(-1.0)
