"""An arm with a faulty joint: its gate guards what is commanded, its watchdog what is measured."""

from collections.abc import Iterator

import numpy as np
import pytest

from hw_interface.arm_world import ArmWorld
from hw_interface.control.events import Mode
from robots.catalog.panda import PANDA
from robots.signals import Array, Command, Verdict
from robots.world import Start, Task
from sim.families.cripple_arm import CrippleArm
from sim.twin import Twin

FAMILY = CrippleArm()
J = len(PANDA.joints)
DT = Twin.capabilities.dt


def task_with(gain: float) -> Task:
    """A task in which the first joint moves by ``gain`` times what is commanded."""
    gains = np.ones(len(FAMILY.faulty))
    gains[0] = gain
    values = np.concatenate([gains, FAMILY.zone.center])
    return Task(FAMILY.task_names, values[None], np.zeros(1, dtype=np.int64))


def turn(joint: int) -> Array:
    """The action that turns a joint at half of its speed, (1, j)."""
    action = np.zeros((1, J))
    action[0, joint] = 0.5
    return action


@pytest.fixture
def world() -> Iterator[ArmWorld]:
    world = ArmWorld(FAMILY, PANDA)
    yield world
    world.close()


@pytest.mark.parametrize("gain", [0.0, -1.0])
def test_a_joint_that_does_not_follow_stops_the_arm(world: ArmWorld, gain: float) -> None:
    """At 0.15 rad between setpoint and joint, also where the policy would have adapted."""
    obs = world.reset(task_with(gain))
    for _ in range(FAMILY.horizon):
        step = world.step(turn(0))
        if world.mode is not Mode.RUNNING:
            break
    assert Verdict.FAULT in Verdict(int(step.verdict[0]))
    assert world.events[-1]["event"] == "NOT_TRACKING"
    commanded = 0.15 / (1 - gain)  # rad, where setpoint and joint are so far apart
    turned = step.obs[0, 0] - obs[0, 0]
    # the setpoint then goes to where the joint is, and an inverted one runs away from it
    assert abs(turned) == pytest.approx(abs(gain) * commanded, abs=0.03)


def test_an_arm_whose_fault_is_not_commanded_runs_on(world: ArmWorld) -> None:
    obs = world.reset(task_with(0.0))
    for _ in range(FAMILY.horizon):
        step = world.step(turn(2))
    assert world.events == []
    assert step.obs[0, 2] - obs[0, 2] > 0.3
    assert step.obs[0, 0] == pytest.approx(obs[0, 0], abs=1e-3)


def test_an_inverted_joint_that_is_stopped_stays_where_it_is() -> None:
    twin = Twin(PANDA, FAMILY.scene)
    twin.connect()
    twin.enable()
    twin.placer.place(task_with(-1.0), Start(PANDA.rest[None]))
    target = PANDA.rest.copy()
    for _ in range(50):
        target[0] += 2e-3
        twin.write(Command(target, np.zeros(J)))
        twin.read()
    moved = twin.read().q[0] - PANDA.rest[0]
    assert moved < -0.05
    twin.stop()
    readings = [twin.read().q[0] for _ in range(50)]
    twin.disconnect()
    np.testing.assert_allclose(np.array(readings) - PANDA.rest[0], moved, atol=0.01)
