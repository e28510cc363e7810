"""The family carry on the twin: no tracker, low gains, and the payload of the task."""

from collections.abc import Iterator

import numpy as np
import pytest

from hw_interface.arm_world import ArmWorld
from hw_interface.control.events import Mode
from robots.catalog import ARMS
from robots.catalog.panda import PANDA
from robots.kinematics import Kinematics
from robots.signals import Array, Command, Signals, Verdict
from robots.world import Start, Task
from sim.families import make_family
from sim.families.carry import LARGEST_COM, LOWEST_GAIN, Carry
from sim.loaded_arm import mass_scales
from sim.twin import Twin, TwinOptions

FAMILY = Carry()
TOOL = slice(0, 3)  # columns of an observation
HEAVIEST = FAMILY.parameters[0].train.numbers[1]  # kg
LIGHTEST = FAMILY.parameters[0].allowed[0]
MIDDLE = np.zeros((1, 3))  # an action


def task_with(mass: float, family: Carry = FAMILY) -> Task:
    """A payload to the front, of ``mass`` kg, under the lowest gains."""
    scales = mass_scales(family.body, np.array([mass]), np.array([LARGEST_COM]))
    others = np.array([[LOWEST_GAIN, 2.0, 0.2, *family.zone.center]])
    return Task(family.task_names, np.concatenate([scales, others], 1), np.zeros(1, dtype=np.int64))


@pytest.fixture
def world() -> Iterator[ArmWorld]:
    made = ArmWorld(Carry(), PANDA, "twin")
    yield made
    made.close()


def as_action(tool: Array) -> Array:
    """The action that sends the tool to a position (..., 3) m."""
    spec = FAMILY.action.spec
    return np.asarray(2 * (tool - spec.low) / (spec.high - spec.low) - 1)


def setpoint_of_tool(world: ArmWorld) -> Array:
    """Where the gate's setpoint has the tool, (3,) m."""
    return np.asarray(Kinematics(PANDA).position(world.control.state["q_set"][None])[0])


def test_the_heaviest_payload_is_carried_to_the_end_of_every_episode(world: ArmWorld) -> None:
    """Also on the way back to the start; actions jump between the corners of their box."""
    rng = np.random.default_rng(0)
    for _ in range(2):
        world.reset(task_with(HEAVIEST))
        for _ in range(FAMILY.horizon):
            step = world.step(rng.choice([-1.0, 1.0], (1, 3)))
            assert not Verdict(int(step.verdict[0])) & (Verdict.FAULT | Verdict.HELD)
    assert world.events == []


def test_the_twin_carries_the_payload_of_the_task(world: ArmWorld) -> None:
    heights = []
    for mass in (LIGHTEST, HEAVIEST):
        world.reset(task_with(mass))
        for _ in range(5):
            step = world.step(MIDDLE)
        heights.append(step.obs[0, 2])
    light, heavy = heights
    assert light == pytest.approx(setpoint_of_tool(world)[2], abs=0.005)
    assert light - heavy > 0.06


def test_an_operator_s_stop_holds_the_payload_and_a_fresh_start_does_not_lower_it(
    world: ArmWorld,
) -> None:
    lowest = np.inf

    def look(shown: ArmWorld) -> None:
        nonlocal lowest
        lowest = min(lowest, shown.signals.tool_pos[0, 2])

    world.on_frame = look
    world.reset(task_with(HEAVIEST))
    for _ in range(8):
        before = world.step(MIDDLE).obs[0, 2]
    world.stop()
    for _ in range(6):
        world.step(MIDDLE)
    assert world.mode is Mode.FAULT
    assert lowest > before - 0.005
    world.clear()
    world.reset(task_with(HEAVIEST))
    world.step(MIDDLE)
    assert [event["event"] for event in world.events] == ["OPERATOR_STOP", "CLEARED"]


def test_an_observation_that_is_not_trusted_sends_the_tool_nowhere_else(world: ArmWorld) -> None:
    """An action that asks the tool to stay keeps it; one that moves it moves it less."""
    world.reset(task_with(LIGHTEST))
    begin = setpoint_of_tool(world)
    observe = world.family.observe

    def unusual(signals: Signals) -> Array:
        obs = observe(signals)
        obs[0, FAMILY.obs.index("error.x")] = 0.15 * 9  # nine half ranges from the middle
        return obs

    world.family.observe = unusual  # type: ignore[method-assign]
    world.reset(task_with(LIGHTEST))
    for _ in range(2):
        step = world.step(as_action(begin)[None])
    assert Verdict.LIMITED in Verdict(int(step.verdict[0]))
    assert np.linalg.norm(setpoint_of_tool(world) - begin) < 1e-3
    there = begin + np.array([0.0, 0.02, 0.0])
    world.step(as_action(there)[None])
    moved = setpoint_of_tool(world) - begin
    assert 0.002 < moved[1] < 0.018
    assert np.abs(moved[[0, 2]]).max() < 1e-3


def test_what_is_applied_while_an_operator_holds_is_where_the_tool_is(world: ArmWorld) -> None:
    world.reset(task_with(LIGHTEST))
    world.step(as_action(FAMILY.zone.center + np.array([0.0, 0.06, 0.05]))[None])
    world.hold()
    for _ in range(2):
        held = world.step(MIDDLE)
    assert Verdict.HELD in Verdict(int(held.verdict[0]))
    np.testing.assert_allclose(held.applied[0], as_action(setpoint_of_tool(world)), atol=0.02)


@pytest.mark.parametrize("arm", ["panda", "ur5e", "viperx"])
def test_a_stop_under_load_holds_the_arm_where_it_is(arm: str) -> None:
    family = make_family("carry", arm)
    assert isinstance(family, Carry)
    still = np.zeros(len(family.ready))
    heaviest = family.parameters[0].train.numbers[1]
    twin = Twin(ARMS[arm], family.scene, TwinOptions(noise=0.0))
    twin.connect()
    twin.enable()
    twin.engine.reset(Start(family.ready[None]))
    twin.placer.place(task_with(heaviest, family), Start(family.ready[None]))
    for _ in range(250):
        twin.write(Command(family.ready, still))
        sagged = twin.read()
    assert np.abs(sagged.q - family.ready).max() > 0.05
    twin.stop()
    for _ in range(250):
        stopped = twin.read()
    np.testing.assert_allclose(stopped.q, sagged.q, atol=1e-3)
    twin.enable()
    assert stopped.target is not None
    for _ in range(50):
        twin.write(Command(stopped.target, still))  # where the gate begins
        enabled = twin.read()
    twin.disconnect()
    np.testing.assert_allclose(enabled.q, sagged.q, atol=1e-3)
