"""The family lift on the twin: the whole chain moves a gripper, and slipping bars are no fault."""

import numpy as np
import pytest
from fake import FakeDriver

from hw_interface.arm_world import ArmWorld
from hw_interface.devices import DevicePlan
from robots.catalog.panda_hand import FRANKA_HAND, PANDA_HAND
from robots.errors import BadArgumentError
from robots.signals import Array
from sim.families.lift import Lift

FAMILY = Lift()


def action_of(offset: float, force: float) -> Array:
    """The action (1, 2) that asks for a grasp in m and N."""
    spec = FAMILY.action.spec
    values = np.array([[offset, force]])
    return np.asarray(2 * (values - spec.low) / (spec.high - spec.low) - 1)


def test_a_bar_is_placed_and_one_that_slips_out_stops_nothing() -> None:
    world = ArmWorld(FAMILY, PANDA_HAND, "twin")
    try:
        task = FAMILY.sample(np.random.default_rng(1), 1, "heldout")
        com = float(task["object.com_x"][0])
        for beside in (0.0, -0.09 * np.sign(com)):  # at the center of mass; at the other end
            observed = world.reset(task)
            place = observed[0, 0] - FAMILY.zone.pick[0]
            offset = place + com if beside == 0.0 else beside
            step = world.step(action_of(offset, 15.0))
            assert step.success[0] == (beside == 0.0)
        assert world.events == []
        assert world.signals.q[0, -1] == pytest.approx(FRANKA_HAND.opened, abs=2e-3)
    finally:
        world.close()


def test_a_driver_that_moves_no_gripper_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="does not move the gripper franka_hand"):
        DevicePlan(PANDA_HAND, FAMILY.scene, FakeDriver, {})
