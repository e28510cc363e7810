"""The contract of every driver with the controller: a driver is tested by being registered."""

from collections.abc import Callable, Iterator
from typing import cast

import emulated
import emulated_feetech
import emulated_franka
import emulated_ur
import numpy as np
import pytest

from hw_interface.drivers import DRIVERS
from hw_interface.emulators import EMULATORS
from robots.driver import REACHED, Driver, SimulatedArm
from robots.safety import SafetyGate
from robots.signals import Command, Condition
from sim.families import FAMILIES
from sim.twin import Twin

FAMILY = FAMILIES["slide"]()


# puts a wall before the first joint, where it is (True), or takes it away; gravity does not load
# this joint
Block = Callable[[bool], None]


def block_nothing(blocked: bool) -> None:
    """For a driver of an arm that the tests cannot touch."""


# The driver ros2 has two ways to stream commands.
@pytest.fixture(params=[*sorted(DRIVERS), "ros2 trajectory"])
def blockable(request: pytest.FixtureRequest) -> Iterator[tuple[Driver, Block]]:
    if request.param == "dynamixel":
        plant = emulated.BlockablePlant(emulated.VIPERX)
        with emulated.emulated_arm(plant) as (dynamixel, _):
            dynamixel.connect()
            yield dynamixel, plant.block
            dynamixel.disconnect()
        return
    if request.param == "feetech":
        plant = emulated.BlockablePlant(emulated_feetech.SO101)
        with emulated_feetech.emulated_so101(plant) as (feetech, _):
            feetech.connect()
            yield feetech, plant.block
        return
    if request.param == "franka":
        pytest.importorskip("franky_sim", reason="needs the extra 'franka'")
        with emulated_franka.patient_driver(), emulated_franka.emulated_franka() as remote:
            yield from connected_franka(remote)
        return
    if request.param.startswith("ros2"):
        pytest.importorskip("cyclonedds", reason="needs the extra 'ros2'")
        from emulated_ros2 import VIPERX, emulated_ros2

        plant = emulated.BlockablePlant(VIPERX, VIPERX.home)
        stream = {"stream": "trajectory"} if "trajectory" in request.param else {}
        with emulated_ros2(plant, stream) as (ros2, _):
            ros2.connect()
            yield ros2, plant.block
        return
    if request.param == "ur":
        pytest.importorskip("rtde_control", reason="needs the extra 'ur'")
        with emulated_ur.patient_driver(), emulated_ur.emulated_ur() as remote:
            yield from connected_ur(remote)
        return
    kind = DRIVERS[request.param]
    made: Driver = kind(FAMILY.body, FAMILY.scene, kind.Options())
    made.connect()
    yield made, make_block(made)
    made.disconnect()


def connected_ur(remote: emulated_ur.Remote) -> Iterator[tuple[Driver, Block]]:
    def block(blocked: bool) -> None:
        remote.do(emulated_ur.put_wall if blocked else emulated_ur.take_wall_away)

    kind = DRIVERS["ur"]
    driver: Driver = kind(emulated_ur.UR5E, None, kind.Options(remote.address))
    driver.connect()
    yield driver, block
    driver.disconnect()


def connected_franka(remote: emulated_ur.Remote) -> Iterator[tuple[Driver, Block]]:
    def block(blocked: bool) -> None:
        remote.do(emulated_franka.put_wall if blocked else emulated_franka.take_wall_away)

    kind = DRIVERS["franka"]
    driver: Driver = kind(emulated_franka.FR3, None, kind.Options(remote.address))
    driver.connect()
    yield driver, block
    driver.disconnect()


def make_block(driver: Driver) -> Block:
    if not isinstance(driver, Twin):
        return block_nothing
    (drive,) = driver.engine._drives
    world = drive.world
    limits = driver.arm.limits

    def block(blocked: bool) -> None:
        highest = driver.read().q[0] if blocked else limits.q_high[0]
        world.client.changeDynamics(
            world.body,
            world.joints[0],
            jointLowerLimit=limits.q_low[0],
            jointUpperLimit=highest,
        )

    return block


@pytest.fixture
def driver(blockable: tuple[Driver, Block]) -> Driver:
    return blockable[0]


def make_gate(driver: Driver) -> SafetyGate:
    """A gate that begins where the arm is."""
    gate = SafetyGate(driver.arm.limits, driver.capabilities.dt, 1)
    gate.reset(driver.read().q[None])
    return gate


def swing(driver: Driver, ticks: int) -> float:
    """Move the last joints through the gate and back.

    Returns the largest distance between setpoint and reading, rad.
    """
    gate = make_gate(driver)
    largest = 0.0
    for k in range(ticks):
        velocity = np.zeros((1, len(driver.arm.joints)))
        velocity[0, -2:] = 0.4 * np.sin(2 * np.pi * k / ticks)
        setpoint, _ = gate(velocity)
        driver.write(Command(setpoint.q[0], setpoint.dq[0]))
        error = np.abs(driver.read().q - setpoint.q[0]).max()
        largest = max(largest, float(error))
    return largest


def read_several(driver: Driver, count: int) -> None:
    for _ in range(count):
        driver.read()


def test_its_capabilities_are_known_from_its_class(driver: Driver) -> None:
    capabilities = type(driver).capabilities
    assert capabilities.dt > 0
    assert "position" in capabilities.commands


def test_a_reading_is_whole_finite_and_ready_once_enabled(driver: Driver) -> None:
    driver.enable()
    state = driver.read()
    assert state.condition is Condition.READY
    for value in (state.q, state.dq, state.tau):
        assert value.shape == (len(driver.arm.joints),)
    assert np.isfinite(state.q).all()
    assert np.isfinite(state.dq).all()
    assert np.isfinite(state.tau).all() == type(driver).capabilities.torque
    assert (state.q >= driver.arm.limits.q_low).all()
    assert (state.q <= driver.arm.limits.q_high).all()


def test_a_wrench_is_measured_where_it_is_promised_and_only_there(driver: Driver) -> None:
    driver.enable()
    wrench = driver.read().wrench
    assert wrench.shape == (6,)
    assert np.isfinite(wrench).all() == type(driver).capabilities.wrench


def test_the_stamp_advances_with_every_reading_commanded_or_not(driver: Driver) -> None:
    """The watchdog takes a stamp that stands still for a lost link."""
    stamps = [driver.read().stamp for _ in range(3)]
    driver.enable()
    stay = Command(driver.read().q, np.zeros(len(driver.arm.joints)))
    for _ in range(3):
        driver.write(stay)
        stamps.append(driver.read().stamp)
    driver.stop()
    stamps += [driver.read().stamp for _ in range(3)]
    assert (np.diff(stamps) > 0).all()


def test_a_reading_does_not_change_later(driver: Driver) -> None:
    driver.enable()
    state = driver.read()
    copy = state.q.copy()
    swing(driver, 50)
    np.testing.assert_array_equal(state.q, copy)


def test_setpoints_that_passed_the_gate_are_followed(driver: Driver) -> None:
    driver.enable()
    assert swing(driver, 500) < 0.02


def test_an_arm_that_is_not_enabled_does_not_move(driver: Driver) -> None:
    q = driver.read().q
    for _ in range(50):
        driver.write(Command(q + 0.2, np.ones_like(q)))
    assert np.abs(driver.read().q - q).max() < 5e-3


def test_a_stop_in_full_motion_comes_to_rest_and_stays_until_enabled(driver: Driver) -> None:
    driver.enable()
    gate = make_gate(driver)
    velocity = np.zeros((1, len(driver.arm.joints)))
    velocity[0, -1] = 1.0
    for _ in range(200):
        setpoint, _ = gate(velocity)
        driver.write(Command(setpoint.q[0], setpoint.dq[0]))
        driver.read()
    driver.stop()
    driver.stop()
    read_several(driver, 100)
    q = driver.read().q
    assert driver.read().condition is not Condition.READY
    for _ in range(100):
        driver.write(Command(setpoint.q[0] + 0.2, setpoint.dq[0]))
        state = driver.read()
    assert np.abs(state.q - q).max() < 5e-3
    assert np.abs(state.dq).max() < 1e-2
    driver.enable()
    assert driver.read().condition is Condition.READY
    assert np.abs(driver.read().q - q).max() < 5e-3


def press(driver: Driver, block: Block, speed: float) -> float:
    """Drive the first joint against a wall for half a second at ``speed`` rad/s, and stand.

    Returns the distance of its setpoint from where it was, rad.
    """
    start = driver.read().q
    block(True)
    gate = make_gate(driver)
    velocity = np.zeros((1, len(start)))
    for wanted in (speed, 0.0):
        velocity[0, 0] = wanted
        for _ in range(round(0.5 / driver.capabilities.dt)):
            setpoint, _ = gate(velocity)
            driver.write(Command(setpoint.q[0], setpoint.dq[0]))
            driver.read()
    return float(setpoint.q[0, 0] - start[0])


def carries_weight(driver: Driver) -> bool:
    """Whether the arm's controller compensates gravity, so that no joint sags."""
    for name in EMULATORS:
        if type(driver).__name__.lower() == name:
            return EMULATORS[name].holds_weight
    return False


def test_where_nothing_sags_a_stop_ends_a_small_press_too(
    blockable: tuple[Driver, Block],
) -> None:
    driver, block = blockable
    if not carries_weight(driver):
        return  # such a press cannot be told from a joint that sags
    driver.enable()
    assert 0.02 < press(driver, block, 0.06) < 0.04
    driver.stop()
    read_several(driver, 300)
    before = driver.read()
    block(False)
    read_several(driver, 200)
    assert np.abs(driver.read().q - before.q).max() < 0.008


def test_after_a_stop_no_joint_is_pulled_towards_a_goal_that_it_has_not_reached(
    blockable: tuple[Driver, Block],
) -> None:
    """A joint presses against a wall; when the wall goes, the joint stays."""
    driver, block = blockable
    driver.enable()
    assert press(driver, block, 0.4) > 2 * REACHED
    driver.stop()
    read_several(driver, 300)  # a controller may take half a second to let go
    before = driver.read()
    block(False)
    read_several(driver, 200)
    after = driver.read()
    assert np.abs(after.q - before.q).max() < REACHED
    assert np.abs(after.dq).max() < 1e-2
    driver.disconnect()
    driver.connect()
    assert np.abs(driver.read().q - after.q).max() < REACHED


def test_a_simulated_arm_places_the_object_where_its_tracker_measures_it(driver: Driver) -> None:
    if driver.capabilities.realtime:
        return  # a real arm's tracker and placer are devices of their own
    arm = cast(SimulatedArm, driver)
    arm.enable()
    rng = np.random.default_rng(0)
    for split in ("train", "heldout"):
        task = FAMILY.sample(rng, 1, split)
        start = FAMILY.start(rng, task)
        assert start.object_pos is not None
        before = arm.read().q
        arm.placer.place(task, start)
        measured = arm.tracker.read()
        assert np.abs(measured.pos - start.object_pos[0]).max() < 5e-3
        assert np.isclose(np.linalg.norm(measured.quat), 1)
        assert np.abs(arm.read().q - before).max() < 5e-3, "the arm stays where it is"
