"""The contract of drivers that move a gripper: a driver is tested by saying that it does."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import emulated
import numpy as np
import pytest

from hw_interface.drivers import DRIVERS
from robots.catalog import ARMS
from robots.driver import Driver
from robots.errors import MissingExtraError
from robots.gripper import Gripper
from robots.safety import SafetyGate
from robots.scene import Scene
from robots.signals import Array, Command, Condition, Verdict
from sim.plant import Plant
from sim.twin import Twin, TwinOptions

OBJECT = 0.015  # m, half the width of what is between the fingers
FORCE = 8.0  # N, of each finger


@dataclass
class Hand:
    """A driver that is connected and enabled, with a gripper, and its commands."""

    driver: Driver
    put_between: Callable[[float | None], None]  # an object of this half width, m
    outside: Callable[[], int]  # how many goals outside the limits have arrived

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
        for _ in range(round(seconds / self.driver.capabilities.dt)):
            velocities = np.zeros(len(self.driver.arm.joints))
            velocities[-1] = 15 * (width - self.gate.setpoint.q[0, -1])
            self.request(velocities)

    def wait(self, ticks: int) -> None:
        for _ in range(ticks):
            self.state = self.driver.read()
            self.fastest = max(self.fastest, abs(self.state.dq[-1]))
            self.strongest = max(self.strongest, abs(self.state.tau[-1]))

    def grasp(self) -> None:
        """Close the fingers on an object."""
        self.put_between(OBJECT)
        squeeze = self.gripper.squeeze(OBJECT, np.array([FORCE]))
        self.move(float(squeeze[0]), 1.2)

    @property
    def holds(self) -> bool:
        return self.gripper.has_grasped(self.state, FORCE)


def twin_hand() -> Iterator[Hand]:
    arm = ARMS["viperx_gripper"]
    twin = Twin(arm, Scene(arm), TwinOptions())
    twin.connect()
    (drive,) = twin.engine._drives
    world = drive.world

    def put_between(half_width: float | None) -> None:
        assert arm.gripper is not None
        low = arm.gripper.closed if half_width is None else half_width
        finger = world.joints[len(arm.joints) - 1]
        world.client.changeDynamics(
            world.body, finger, jointLowerLimit=low, jointUpperLimit=arm.gripper.opened
        )

    def outside() -> int:
        return 0

    yield Hand(twin, put_between, outside)
    twin.disconnect()


def dynamixel_hand() -> Iterator[Hand]:
    arm = ARMS["viperx_gripper"]
    plant = Plant(arm)
    with emulated.emulated_arm(plant, arm=arm) as (driver, bus):
        driver.connect()

        def outside() -> int:
            return bus.outside

        yield Hand(driver, plant.put_between, outside)
        driver.disconnect()


HANDS: dict[str, Callable[[], Iterator[Hand]]] = {
    "dynamixel": dynamixel_hand,
    "twin": twin_hand,
}


@pytest.fixture(params=HANDS)
def hand(request: pytest.FixtureRequest) -> Iterator[Hand]:
    yield from HANDS[request.param]()


def test_every_driver_that_moves_a_gripper_is_tested_here() -> None:
    for name in DRIVERS:
        with contextlib.suppress(MissingExtraError):
            assert DRIVERS[name].capabilities.gripper == (name in HANDS), name


def test_the_fingers_go_where_they_are_told_within_every_limit(hand: Hand) -> None:
    gripper = hand.gripper
    middle = (gripper.closed + gripper.opened) / 2
    hand.move(middle, 1.0)
    assert hand.state.q[-1] == pytest.approx(middle, abs=5e-4)
    hand.move(gripper.opened + 0.02, 1.5)
    assert hand.state.q[-1] == pytest.approx(gripper.opened, abs=5e-4)
    hand.move(gripper.closed - 0.02, 1.5)
    assert hand.state.q[-1] == pytest.approx(gripper.closed, abs=5e-4)
    assert not hand.holds, "closed fingers hold nothing"
    assert hand.fastest < 1.1 * gripper.speed
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


def test_an_object_is_grasped_with_the_force_that_was_asked_for_and_let_go(hand: Hand) -> None:
    hand.grasp()
    assert hand.holds
    assert hand.state.q[-1] == pytest.approx(OBJECT, abs=1e-3)
    assert -hand.state.tau[-1] / 2 == pytest.approx(FORCE, rel=0.2)
    hand.move(hand.gripper.opened, 1.0)
    assert not hand.holds
    assert hand.state.q[-1] > OBJECT + 0.01


def test_a_stop_keeps_the_grip_and_so_does_enabling_again(hand: Hand) -> None:
    hand.grasp()
    driver = hand.driver
    driver.stop()
    hand.wait(100)
    assert hand.holds
    assert hand.state.condition is not Condition.READY
    setpoint = hand.gate.setpoint
    opened = setpoint.q[0].copy()
    opened[-1] = hand.gripper.opened
    for _ in range(20):
        driver.write(Command(opened, np.zeros_like(opened)))
        hand.wait(1)
    assert hand.holds, "no command is followed"
    driver.enable()
    hand.wait(50)
    assert hand.holds
    assert hand.state.target is not None
    assert hand.state.target[-1] == pytest.approx(setpoint.q[0, -1], abs=5e-4)
    hand.request(np.zeros_like(opened))
    assert hand.holds


def test_a_new_connection_finds_the_grip_and_keeps_it(hand: Hand) -> None:
    driver = hand.driver
    if not driver.capabilities.realtime:
        return  # a simulation begins anew
    hand.grasp()
    driver.disconnect()
    driver.connect()
    hand.wait(2)
    assert hand.holds
    driver.enable()
    hand.wait(50)
    assert hand.holds
