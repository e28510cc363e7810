"""An arm whose links would meet the table: its driver never hears of it."""

import numpy as np
import pytest
from exact_links import ExactLinks
from fake import FAMILY, Rig
from push import Push

from hw_interface.control.controller import ArmController
from hw_interface.control.watchdog import Event, Mode, WatchdogConfig
from hw_interface.devices import Devices
from robots.actions import JointVelocity
from robots.catalog.panda import PANDA
from robots.clearance import Clearance
from robots.kinematics import Kinematics
from robots.signals import Array

# rad: on the straight line from home to here the tool stays in its box, and the elbow goes 0.2 m
# below the table. The first place is where it still has room.
UNDER_THE_TABLE = np.array([-2.274, -1.758, 2.664, -1.355, -0.329, 0.285, 1.399])
WAY = np.linspace(0, 1, 400)[:, None]


def line_under_the_table() -> Array:
    """Waypoints (k, j), from where the links have 5 cm of room."""
    line = PANDA.home + WAY * (UNDER_THE_TABLE - PANDA.home)
    clearance = Clearance(Kinematics(PANDA))
    slack = clearance.slack(line).min(0)
    return line[np.argmax(slack < 0.05) :]


class Anywhere(Push):
    """A policy that moves the joints, with all the room that the arm's own limits allow."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = PANDA.limits
        self.action = JointVelocity(PANDA)


class JointRig(Rig):
    """The fake arm, driven joint by joint."""

    def __init__(self, start: Array) -> None:
        super().__init__()
        self.driver.q = start.copy()
        devices = Devices(self.driver, self.controller.tracker)
        self.controller = ArmController(Anywhere(), devices, self._report, WatchdogConfig())
        self.watchdog = self.controller.watchdog
        self.controller.start()


def commanded(rig: Rig) -> Array:
    return np.array([command.q for command in rig.driver.commands])


def test_a_policy_cannot_push_the_elbow_into_the_table() -> None:
    line = line_under_the_table()
    rig = JointRig(line[0])
    rig.controller.begin_move(line[0])
    while rig.controller.mover.is_moving:
        rig.ticks(1)
    rig.watchdog.arm(rig.now)
    way = line[-1] - line[0]
    velocity = 0.3 * way / np.abs(way / PANDA.limits.dq).max()
    action = velocity / Anywhere().action.spec.high
    for _ in range(40):
        rig.seq += 1
        rig.controller.set_action(rig.seq, rig.now, action)
        rig.ticks(10)
    exact = ExactLinks(PANDA)
    q = commanded(rig)
    assert min(exact.smallest(sample)[0] for sample in q[::5]) > 0
    assert np.abs(q[-1] - line[0]).max() > 0.005, "it went as far as it may"
    assert np.abs(rig.driver.commands[-1].dq).max() < 0.05 * np.abs(velocity).max()
    assert rig.mode is Mode.RUNNING
    for _ in range(20):
        rig.seq += 1
        rig.controller.set_action(rig.seq, rig.now, -action)
        rig.ticks(10)
    assert np.abs(commanded(rig)[-1] - q[-1]).max() > 0.1, "and it comes out again"


def test_a_move_into_the_table_is_blocked_and_says_why() -> None:
    """Straight, as if no path had been planned."""
    line = line_under_the_table()
    rig = JointRig(line[0])
    rig.controller.begin_move(UNDER_THE_TABLE)
    while rig.controller.mover.is_moving:
        rig.ticks(1)
    assert rig.event_kinds == [Event.BLOCKED]
    assert "a link is close to the table" in rig.controller.mover.failure
    exact = ExactLinks(PANDA)
    assert min(exact.smallest(sample)[0] for sample in commanded(rig)[::5]) > 0


@pytest.mark.parametrize("gate", ["_move_gate", "_episode_gate"])
def test_both_gates_of_an_arm_keep_its_links_clear(gate: str) -> None:
    mover = Rig().controller.mover
    assert getattr(mover, gate)._links is not None
    assert FAMILY.limits is mover._episode_gate.limits
