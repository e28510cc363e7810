"""The contract of drivers that move a gripper: a driver is tested by saying that it does."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import emulated
import emulated_feetech
import emulated_franka
import emulated_ur
import numpy as np
import pytest

from hw_interface.drivers import DRIVERS
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.driver import Driver
from robots.errors import MissingExtraError
from robots.gripper import Gripper
from robots.kinematics import Kinematics
from robots.safety import SafetyGate
from robots.scene import Fixture, Scene
from robots.signals import Array, Command, Condition, Verdict
from robots.world import Start
from sim.plant import Plant
from sim.twin import Twin, TwinOptions

OBJECT = 0.015  # m, half the width of what is between the fingers
FORCE = 8.0  # N, of each finger
FRANKA_FORCE = 30.0  # N, the gentlest that a Franka Hand has
STRONG = 25.0  # N: a 2F-85 presses with 20 N at least


@dataclass
class Hand:
    """A driver that is connected and enabled, with a gripper, and its commands."""

    driver: Driver
    outside: Callable[[], int]  # how many goals outside the limits have arrived
    force: float = FORCE  # N, of each finger, with which it grasps
    lag: float = 0.0  # s more, for the fingers to follow
    accuracy: float = 5e-4  # m, with which a finger goes where it is told
    # share by which a speed may be measured too high, where the clock is this busy computer's
    speed_error: float = 0.1

    def __post_init__(self) -> None:
        arm = self.driver.arm
        assert arm.gripper is not None
        self.gripper: Gripper = arm.gripper
        self.gate = SafetyGate(arm.limits, self.driver.capabilities.dt, 1)
        self.driver.enable()
        self.gate.reset(self.driver.read().q[None])
        self.fastest = 0.0  # m/s, of the fingers as they were measured
        self.strongest = 0.0  # N, the largest force of the motor that was measured

    def request(self, velocities: Array) -> int:
        """One tick of requested joint velocities (j,); returns the gate's verdict."""
        setpoint, verdict = self.gate(velocities[None])
        self.driver.write(Command(setpoint.q[0], setpoint.dq[0]))
        self.wait(1)
        return int(verdict[0])

    def move(self, width: float, seconds: float) -> None:
        """Move the fingers to a position, m, through the gate."""
        for _ in range(round((seconds + self.lag) / self.driver.capabilities.dt)):
            velocities = np.zeros(len(self.driver.arm.joints))
            velocities[-1] = 15 * (width - self.gate.setpoint.q[0, -1])
            self.request(velocities)

    def wait(self, ticks: int) -> None:
        for _ in range(ticks):
            self.state = self.driver.read()
            self.fastest = max(self.fastest, abs(self.state.dq[-1]))
            self.strongest = max(self.strongest, abs(self.state.tau[-1]))

    def grasp(self) -> None:
        """Close the fingers on the object."""
        squeeze = self.gripper.squeeze(OBJECT, np.array([self.force]))
        self.move(float(squeeze[0]), 0.9)

    @property
    def holds(self) -> bool:
        return self.gripper.has_grasped(self.state, self.force)


def twin_hand(arm: ArmSpec, held: bool) -> Iterator[Hand]:
    zone = arm.lift_zone
    assert zone is not None
    x, y, z = Kinematics(arm).position(zone.ready[None])[0].tolist()
    block = Fixture("block", "box", (0.01, OBJECT, 0.01), (x, y, z))
    twin = Twin(arm, Scene(arm, fixtures=(block,) if held else ()), TwinOptions())
    twin.connect()
    twin.engine.reset(Start(zone.ready[None]))
    twin.hold()
    yield Hand(twin, no_goals)
    twin.disconnect()


def no_goals() -> int:
    """Nothing counts the goals of a simulation."""
    return 0


def dynamixel_hand(arm: ArmSpec, held: bool) -> Iterator[Hand]:
    plant = plant_of(arm, held)
    with emulated.emulated_arm(plant, arm=arm) as (driver, bus):
        driver.connect()

        def outside() -> int:
            return bus.outside

        yield Hand(driver, outside)
        driver.disconnect()


def feetech_hand(arm: ArmSpec, held: bool) -> Iterator[Hand]:
    plant = plant_of(arm, held)
    with emulated_feetech.emulated_so101(plant, arm=arm) as (driver, bus):
        driver.connect()

        def outside() -> int:
            return bus.outside

        yield Hand(driver, outside)


def franka_hand(arm: ArmSpec, held: bool) -> Iterator[Hand]:
    pytest.importorskip("franky_sim", reason="needs the extra 'franka'")
    between = 2000 * OBJECT if held else 0  # mm
    emulated_hand = emulated_franka.emulated_hand(round(between))
    with emulated_franka.patient_driver(), emulated_hand as remote:
        kind = DRIVERS["franka"]
        driver: Driver = kind(arm, None, kind.Options(remote.address))
        driver.connect()

        def outside() -> int:
            return remote.do(emulated_franka.count_outside)

        yield Hand(driver, outside, FRANKA_FORCE, lag=1.0, accuracy=1e-3, speed_error=0.5)
        driver.disconnect()


def ur_hand(arm: ArmSpec, held: bool) -> Iterator[Hand]:
    pytest.importorskip("rtde_control", reason="needs the extra 'ur'")
    with emulated_ur.patient_driver(), emulated_ur.emulated_ur5e_2f85() as remote:
        if held:
            emulated_ur.RemotePlant(remote, emulated_ur.physics_of).put_between(OBJECT)
        kind = DRIVERS["ur"]
        driver: Driver = kind(emulated_ur.UR5E_2F85, None, kind.Options(remote.address))
        driver.connect()

        def outside() -> int:
            return remote.do(emulated_ur.count_outside)

        yield Hand(driver, outside, STRONG, lag=0.4)
        driver.disconnect()


def plant_of(arm: ArmSpec, held: bool) -> Plant:
    plant = Plant(arm)
    if held:
        plant.put_between(OBJECT)
    return plant


HANDS: dict[str, tuple[str, Callable[[ArmSpec, bool], Iterator[Hand]]]] = {
    "dynamixel": ("viperx_gripper", dynamixel_hand),
    "feetech": ("so101_gripper", feetech_hand),
    "franka": ("fr3_hand", franka_hand),
    "twin": ("viperx_gripper", twin_hand),
    "ur": ("ur5e_2f85", ur_hand),
}


@pytest.fixture(params=HANDS)
def hand(request: pytest.FixtureRequest) -> Iterator[Hand]:
    """With nothing between its fingers."""
    arm, make = HANDS[request.param]
    yield from make(ARMS[arm], False)


@pytest.fixture(params=HANDS)
def grip(request: pytest.FixtureRequest) -> Iterator[Hand]:
    """With an object between its fingers, which holds still."""
    arm, make = HANDS[request.param]
    for hand in make(ARMS[arm], True):
        hand.grasp()
        yield hand


def test_every_driver_that_moves_a_gripper_is_tested_here() -> None:
    for name in DRIVERS:
        with contextlib.suppress(MissingExtraError):
            assert DRIVERS[name].capabilities.gripper == (name in HANDS), name


def test_the_fingers_go_where_they_are_told_within_every_limit(hand: Hand) -> None:
    gripper = hand.gripper
    hand.move(gripper.opened + 0.02, 0.2)
    assert hand.state.q[-1] == pytest.approx(gripper.opened, abs=hand.accuracy)
    hand.move(gripper.closed - 0.02, 0.9)
    assert hand.state.q[-1] == pytest.approx(gripper.closed, abs=hand.accuracy)
    assert not hand.holds, "closed fingers hold nothing"
    middle = (gripper.closed + gripper.opened) / 2
    hand.move(middle, 0.7)
    assert hand.state.q[-1] == pytest.approx(middle, abs=hand.accuracy)
    assert hand.fastest < (1 + hand.speed_error) * gripper.speed
    assert hand.strongest <= gripper.force
    assert hand.outside() == 0


def test_a_request_that_is_not_finite_moves_no_finger(hand: Hand) -> None:
    hand.wait(20)
    before = hand.state.q[-1]
    for bad in (np.nan, np.inf):
        velocities = np.zeros(len(hand.driver.arm.joints))
        velocities[-1] = bad
        for _ in range(20):
            assert hand.request(velocities) & Verdict.DROPPED
    assert hand.state.q[-1] == pytest.approx(before, abs=2e-4)
    if hand.driver.capabilities.realtime:
        setpoint = hand.gate.setpoint.q[0].copy()
        setpoint[-1] = np.nan
        with pytest.raises(ValueError, match="finite"):
            hand.driver.write(Command(setpoint, np.zeros_like(setpoint)))


def test_an_object_is_grasped_with_the_force_that_was_asked_for_and_let_go(grip: Hand) -> None:
    assert grip.holds
    assert grip.state.q[-1] == pytest.approx(OBJECT, abs=1e-3)
    assert -grip.state.tau[-1] / 2 == pytest.approx(grip.force, rel=0.2)
    grip.move(grip.gripper.opened, 0.6)
    assert not grip.holds
    assert grip.state.q[-1] > OBJECT + 0.01


def test_a_stop_keeps_the_grip_and_so_does_enabling_again(grip: Hand) -> None:
    driver = grip.driver
    driver.stop()
    grip.wait(100)
    assert grip.holds
    assert grip.state.condition is not Condition.READY
    setpoint = grip.gate.setpoint
    opened = setpoint.q[0].copy()
    opened[-1] = grip.gripper.opened
    for _ in range(20):
        driver.write(Command(opened, np.zeros_like(opened)))
        grip.wait(1)
    assert grip.holds, "no command is followed"
    driver.enable()
    grip.wait(50)
    assert grip.holds
    assert grip.state.target is not None
    assert grip.state.target[-1] == pytest.approx(setpoint.q[0, -1], abs=5e-4)
    grip.request(np.zeros_like(opened))
    assert grip.holds


def test_a_new_connection_finds_the_grip_and_keeps_it(grip: Hand) -> None:
    driver = grip.driver
    if not driver.capabilities.realtime:
        return  # a simulation begins anew
    driver.disconnect()
    driver.connect()
    grip.wait(2)
    assert grip.holds
    driver.enable()
    grip.wait(50)
    assert grip.holds
