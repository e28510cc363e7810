"""Which links the gate keeps apart, decided by the arm's own geometry."""

from pathlib import Path

import numpy as np
import pytest
from folding_arm import distance_of_links, folding_arm

from robots.bodies import make_arm_gate
from robots.clearance import Clearance
from robots.kinematics import Kinematics
from robots.safety import SafetyGate
from robots.signals import Array

DT = 0.002  # s
# rad/s: the hand folds onto the lower arm, the lower arm onto the upper one, and the hand, which is
# turned back half, is brought onto the upper arm
FOLDS = {
    (1, 2): np.array([0.0, 0.0, 2.0]),
    (0, 1): np.array([0.0, 2.0, 0.0]),
    (0, 2): np.array([0.0, 2.0, 0.9]),
}


def follow(gate: SafetyGate, start: Array, request: Array) -> Array:
    """Setpoints (t, j) while velocities ``request`` (j,) are requested for two seconds."""
    gate.reset(start[None])
    setpoints = []
    for _ in range(round(2.0 / DT)):
        setpoint, _ = gate(request[None])
        setpoints.append(setpoint.q[0])
    return np.array(setpoints)


@pytest.mark.parametrize("links", list(FOLDS))
def test_links_that_can_fold_onto_each_other_are_kept_apart(
    tmp_path: Path, links: tuple[int, int]
) -> None:
    arm = folding_arm(tmp_path)
    request = FOLDS[links]
    unguarded = SafetyGate(arm.limits, DT, 1, Kinematics(arm))
    guarded = make_arm_gate(arm, arm.limits, DT)
    free = follow(unguarded, arm.home, request)
    kept = follow(guarded, arm.home, request)
    assert min(distance_of_links(arm, q, *links) for q in free[::10]) < -0.02, "the provocation"
    assert min(distance_of_links(arm, q, *links) for q in kept[::10]) > 0.005
    assert np.abs(kept[-1] - arm.home).max() > 1.0, "and they come close"


def test_links_that_limits_keep_apart_are_not_checked(tmp_path: Path) -> None:
    """With small ranges of the joints the same links cannot meet."""
    folding = Clearance(Kinematics(folding_arm(tmp_path)))
    stretched = Clearance(Kinematics(folding_arm(tmp_path, range_of_joints=1.0)))
    assert len(folding.least) > folding.heights
    assert len(stretched.least) == stretched.heights
