"""An arm that meets something: it lets go, holds there, and is left so."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import emulated
import numpy as np
import pytest
from fake import FAMILY, READY, FakeDriver, Rig, assert_within_limits, replaced
from test_dynamixel import Rig as BusRig

from hw_interface.control.events import Event, Mode
from hw_interface.control.guided_move import is_standing
from hw_interface.control.retreat import (
    ARRIVED_TOLERANCE,
    DURATION,
    SETTLING,
    TEST_AGAIN,
    Retreat,
)
from hw_interface.drivers import serial_bus
from hw_interface.drivers.servo_calibration import TICK
from hw_interface.emulators.dynamixel import Bus
from robots.catalog.panda import PANDA
from robots.driver import REACHED
from robots.errors import ArmError
from robots.kinematics import Kinematics
from robots.signals import Array, Command, Condition, JointState, Setpoint
from sim.families.reach import Reach
from sim.plant import Plant

VIPERX = emulated.VIPERX
START = Reach(VIPERX).ready  # rad: the arms stand there already, and need not go there first


def press(rig: Rig, stiffness: float = 600.0) -> None:
    """Move on against a wall until there is a fault; nothing is written after it yet."""
    rig.move()
    rig.driver.stiffness = stiffness
    rig.driver.wall = rig.driver.q.copy()
    for _ in range(500):
        rig.act(-0.4, ticks=1)
        if rig.mode is Mode.FAULT:
            return


@pytest.mark.parametrize(
    ("stiffness", "event"), [(600.0, Event.TORQUE_LIMIT), (10.0, Event.NOT_TRACKING)]
)
def test_a_blocked_arm_lets_go_before_its_driver_is_stopped(stiffness: float, event: Event) -> None:
    rig = Rig()
    press(rig, stiffness)
    assert rig.event_kinds == [event]
    driver = rig.driver
    pressed_in = np.abs(driver.goal - driver.q).max()
    deepest = 0.0
    while driver.calls[-1] != "stop":
        distance = np.abs(driver.commands[-1].q - driver.q).max()
        deepest = max(deepest, distance)
        rig.ticks(1)
    assert distance <= 2 * ARRIVED_TOLERANCE
    assert deepest < 1.5 * pressed_in, "it brakes, but presses on no further than that"
    assert_within_limits(driver)
    rig.ticks(50)
    assert driver.calls[-1] == "stop"


def test_an_arm_that_presses_at_rest_is_not_moved() -> None:
    """Below its torque limit, so that there is no fault yet; weight alone takes less."""
    rig = Rig()
    limits = FAMILY.limits
    rig.driver.disturb = replaced(tau=0.9 * limits.tau * np.eye(7)[2])
    rig.ticks(20)
    assert rig.event_kinds == []
    with pytest.raises(ArmError, match=r"contact: joint3 presses with 90% of its torque limit"):
        rig.controller.begin_move(READY)
    rig.driver.disturb = replaced(tau=0.6 * limits.tau)
    rig.ticks(1)
    rig.begin()


def test_a_servo_that_presses_at_rest_is_not_moved() -> None:
    plant = emulated.BlockablePlant(VIPERX)
    with emulated.emulated_arm(plant) as (driver, bus):
        rig = BusRig(driver, bus)
        plant.block()
        for _ in range(9):
            plant._wall -= 0.01  # rad: slowly, so that the way there takes no torque
            rig.ticks(30)
        assert rig.events == []
        with pytest.raises(ArmError, match="contact: waist presses"):
            rig.begin()
        plant.block(False)
        rig.ticks(60)
        rig.begin()


READINGS = {
    "motors": replaced(condition=Condition.DISABLED),
    "limits: joint1": replaced(q=READY + np.array([9.0, 0, 0, 0, 0, 0, 0])),
    "tracking: joint7": replaced(q=READY + np.array([0, 0, 0, 0, 0, 0, 0.2])),
}


@pytest.mark.parametrize("check", READINGS)
def test_every_check_before_a_move_is_named(check: str) -> None:
    rig = Rig()
    rig.controller.state = READINGS[check](rig.controller.state)
    with pytest.raises(ArmError, match=f"may not move yet: .*{check}"):
        rig.controller.begin_move(READY)
    assert rig.driver.commands == []


@pytest.mark.parametrize("distance", [0.01, 0.1, 0.5])
def test_an_arm_lets_go_no_faster_than_it_can_brake(distance: float) -> None:
    """v² ≤ 2·a·d, with half the acceleration limit for a."""
    limits = FAMILY.limits
    zero = np.zeros((1, 7))
    setpoint = Setpoint(READY[None], zero, zero)
    retreat = Retreat(limits, Kinematics(PANDA))
    velocity = retreat(setpoint, READY - distance * np.eye(7)[1], False, now=0.0)
    assert velocity[0, 1] < 0
    assert velocity[0, 1] ** 2 <= limits.ddq[1] * distance * (1 + 1e-9)
    assert np.count_nonzero(velocity) == 1


def test_an_arm_in_error_holds_where_it_is() -> None:
    rig = Rig()
    rig.move()
    rig.driver.wall = rig.driver.q.copy()
    rig.act(-0.4, ticks=3)
    rig.driver.disturb = replaced(condition=Condition.ERROR)
    rig.ticks(300)
    assert rig.event_kinds == [Event.ARM_ERROR]
    assert np.abs(rig.driver.commands[-1].q - rig.driver.q).max() <= 2 * ARRIVED_TOLERANCE
    assert_within_limits(rig.driver)


def test_an_arm_that_is_pushed_back_gives_way_while_its_torque_is_too_high() -> None:
    rig = Rig()
    press(rig, stiffness=2000.0)
    rig.ticks(10)
    rig.driver.wall[0] -= 0.08
    rig.driver.q = np.minimum(rig.driver.q, rig.driver.wall)
    rig.ticks(250)
    assert rig.driver.calls[-1] == "stop"
    remaining = rig.driver.commands[-1].q - rig.driver.q
    limit = FAMILY.limits.tau / rig.driver.stiffness
    assert (np.abs(remaining) <= limit).all()
    assert_within_limits(rig.driver)


def test_an_arm_that_is_pushed_on_and_on_is_stopped_all_the_same() -> None:
    rig = Rig()
    press(rig)
    direction = np.where(np.arange(7) == 1, 1e-3, 0.0)
    ticks = 0

    def pushed(state: JointState) -> JointState:
        nonlocal ticks
        ticks += 1
        return replace(state, q=state.q + ticks * direction, tau=2 * FAMILY.limits.tau)

    rig.driver.disturb = pushed
    rig.ticks(round(DURATION / rig.driver.capabilities.dt) + 5)
    assert rig.driver.calls[-1] == "stop"
    assert_within_limits(rig.driver, tool=False)


def distance_to_goal(bus: Bus) -> float:
    """The largest distance of a servo from its goal, rad."""
    ticks = []
    for servo in bus.group.leaders:
        ticks.append(servo.get("goal_position") - servo.get("present_position"))
    return float(np.abs(ticks).max() * TICK)


def test_dynamixel_servos_do_not_press_after_a_fault_of_contact_nor_after_disconnect() -> None:
    plant = emulated.BlockablePlant(VIPERX, START)
    with emulated.emulated_arm(plant) as (driver, bus):
        rig = BusRig(driver, bus)
        rig.begin()
        plant.block()
        for seq in range(1, 2000):
            rig.controller.set_action(seq, rig.now, np.array([0.0, 1.0, 0.0]))
            rig.ticks(1)
            if rig.mode is Mode.FAULT:
                break
        assert rig.events[0] in (Event.NOT_TRACKING, Event.TORQUE_LIMIT)
        _, _, pressing = plant.read()
        assert pressing[0] > 0.2 * VIPERX.limits.tau[0]
        rig.ticks(round(DURATION / driver.capabilities.dt) + 5)
        assert rig.controller.at_rest
        for _ in range(2):
            _, _, tau = plant.read()
            assert abs(tau[0]) < 0.02 * VIPERX.limits.tau[0]
            assert distance_to_goal(bus) < REACHED  # it sags under its weight
            driver.disconnect()
            rig.pass_time(1.0)
        assert not any(servo.get("bus_watchdog") for servo in bus.group.leaders)


def press_at_the_bus(driver: emulated.PacedDynamixel, plant: emulated.BlockablePlant) -> None:
    """Command the first joint far beyond a wall."""
    driver.connect()
    driver.enable()
    q = driver.read().q
    plant.block()
    driver.write(Command(q + 0.15 * (np.arange(6) == 0), np.zeros(6)))
    for _ in range(100):
        driver.read()


LITTLE = 0.03  # rad, too little for a fault of contact, and for a driver's stop


@pytest.mark.parametrize("event", [Event.OPERATOR_STOP, Event.POLICY_DIED, Event.SILENT])
def test_a_joint_that_presses_sideways_is_released_after_any_fault(event: Event) -> None:
    plant = emulated.BlockablePlant(VIPERX, START)
    with emulated.emulated_arm(plant) as (driver, bus):
        rig = BusRig(driver, bus)
        rig.begin()
        plant.block()
        push(rig, [0.0, 0.3, 0.0], 0, LITTLE)
        braked = rest_after(rig, event)
        assert rig.events == [event]
        _, _, tau = plant.read()
        assert abs(tau[0]) < 0.02 * VIPERX.limits.tau[0]
        after = rig.controller.gate.setpoint.q[0]
        assert after[0] < braked[0] - 0.8 * LITTLE
        np.testing.assert_allclose(after[1:], braked[1:], atol=1e-3)
        driver.disconnect()


@pytest.mark.parametrize("distance", [0.006, 0.009, 0.012, 0.016])
def test_no_more_press_stays_than_is_documented(distance: float) -> None:
    """Of a joint without weight or load: 0.01 rad times its servo's stiffness."""
    plant = emulated.BlockablePlant(VIPERX, START)
    with emulated.emulated_arm(plant) as (driver, bus):
        rig = BusRig(driver, bus)
        rig.begin()
        plant.block()
        push(rig, [0.0, 0.3, 0.0], 0, distance)
        rest_after(rig, Event.OPERATOR_STOP)
        _, _, tau = plant.read()
        assert abs(tau[0]) < 1.1 * 0.01 * VIPERX.stiffness[0]
        driver.disconnect()


def push(rig: BusRig, action: list[float], joint: int, distance: float) -> None:
    """Repeat an action until the setpoint of a joint has moved by ``distance`` rad."""
    begin = rig.controller.gate.setpoint.q[0, joint]
    while abs(rig.controller.gate.setpoint.q[0, joint] - begin) < distance:
        rig.seq += 1
        rig.controller.set_action(rig.seq, rig.now, np.array(action))
        rig.ticks(1)
    assert rig.mode is Mode.RUNNING


def rest_after(rig: BusRig, event: Event | None) -> Array:
    """Let the arm come to rest after a fault, or where it is None at the end of the session.

    Returns:
        The setpoint (j,) rad once it had braked.
    """
    if event is None:
        rig.controller.leave()
    else:
        rig.watchdog.fault(event)
    while not is_standing(rig.controller.gate.setpoint):
        rig.ticks(1)
    braked = rig.controller.gate.setpoint.q[0]
    longest = SETTLING + TEST_AGAIN + DURATION
    for _ in range(round(longest / rig.driver.capabilities.dt) + 5):
        if not rig.controller.at_rest:
            rig.ticks(1)
    assert rig.controller.at_rest
    rig.ticks(60)
    return braked


ENDS = {"fault": Event.OPERATOR_STOP, "end of the session": None}
presses = pytest.mark.parametrize(
    ("ends", "distance"), [("fault", LITTLE), ("end of the session", 0.06)]
)


@contextmanager
def blocked(plant: emulated.CeilingPlant | emulated.WallPlant) -> Iterator[BusRig]:
    """An arm that stands at its start, with what it may meet just before it."""
    with emulated.emulated_arm(plant) as (driver, bus):
        rig = BusRig(driver, bus)
        rig.begin()
        rig.ticks(60)
        plant.block()
        yield rig


@presses
def test_a_joint_that_presses_upward_is_released(ends: str, distance: float) -> None:
    """It stands below its setpoint, as if it sagged."""
    plant = emulated.CeilingPlant(VIPERX, START)
    with blocked(plant) as rig:
        push(rig, [0.0, 0.0, 0.4], plant.shoulder, distance)
        rest_after(rig, ENDS[ends])
        assert plant.pressing < 0.02 * VIPERX.limits.tau[plant.shoulder]
        q, _, _ = plant.read()
        held = rig.controller.gate.setpoint.q[0]
        assert np.abs(held - q).max() < REACHED, "and it is held there"
        rig.driver.disconnect()
        assert plant.pressing < 0.02 * VIPERX.limits.tau[plant.shoulder]


@presses
def test_a_joint_that_presses_downward_is_released(ends: str, distance: float) -> None:
    """What lies below it then carries the weight."""
    plant = emulated.FloorPlant(VIPERX, START)
    with blocked(plant) as rig:
        push(rig, [0.0, 0.0, -0.4], plant.shoulder, distance)
        rest_after(rig, ENDS[ends])
        _, _, tau = plant.read()
        assert abs(tau[plant.shoulder]) < 0.02 * VIPERX.limits.tau[plant.shoulder]
        rig.driver.disconnect()


@pytest.mark.parametrize("ends", ENDS)
def test_a_tool_that_presses_on_a_wall_with_several_joints_releases_it(ends: str) -> None:
    plant = emulated.WallPlant(VIPERX, START)
    with blocked(plant) as rig:
        push(rig, [0.5, 0.0, 0.0], plant.wrist, 0.08)
        before = plant.force
        assert before > 15.0
        rest_after(rig, ENDS[ends])
        assert plant.force < 0.2 * before, "little but what its weight leans on the wall"
        rig.driver.disconnect()


@pytest.mark.parametrize("ends", ENDS)
def test_a_joint_that_carries_a_load_is_not_lowered(ends: str) -> None:
    """Its torque is above its weight's too, but its servo alone supports it."""
    plant = emulated.CeilingPlant(VIPERX, START)
    with emulated.emulated_arm(plant) as (driver, bus):
        rig = BusRig(driver, bus)
        rig.begin()
        plant.load(1.0)
        rig.ticks(100)
        push(rig, [0.0, 0.0, 0.4], plant.shoulder, LITTLE)
        braked = rest_after(rig, ENDS[ends])
        after = rig.controller.gate.setpoint.q[0]
        np.testing.assert_allclose(after, braked, atol=1e-3)
        driver.disconnect()


# N·m that a load puts on a joint of a ViperX which stands at its home pose, against the joint's own
# weight of -2.2 N·m where it has one, and which no joint's weight explains
LOADS = {"against its weight": (2, 7.0), "without weight": (0, 3.0)}


def stop_and_enable(rig: BusRig, ends: str) -> None:
    """Let the arm come to rest, and enable it again where its motors hold it."""
    rest_after(rig, ENDS[ends])
    rig.watchdog.leaving = False
    rig.controller.clear()
    rig.controller.begin_move(rig.controller.gate.setpoint.q[0])
    while rig.controller.mover.is_moving:
        rig.ticks(1)
    rig.ticks(30)


@pytest.mark.parametrize(("ends", "load"), list(zip(ENDS, LOADS, strict=True)))
def test_a_joint_with_any_load_stands_where_it_stood_after_four_stops(ends: str, load: str) -> None:
    joint, torque = LOADS[load]
    plant = emulated.PulledPlant(VIPERX)
    with emulated.emulated_arm(plant) as (driver, bus):
        rig = BusRig(driver, bus)
        rig.begin()
        plant.pull(joint, torque)
        rig.ticks(200)
        stop_and_enable(rig, ends)  # its setpoint becomes a whole number of the servo's units
        before, _, tau = plant.read()
        setpoint = rig.controller.gate.setpoint.q[0]
        assert abs(setpoint[joint] - before[joint]) > 0.02, "it stands off its setpoint"
        assert tau[joint] * torque < -0.5 * torque**2, "by its load"
        for _ in range(4):
            stop_and_enable(rig, ends)
            after, _, _ = plant.read()
            np.testing.assert_allclose(after, before, atol=1e-3)
        np.testing.assert_allclose(rig.controller.gate.setpoint.q[0], setpoint, atol=1e-3)
        driver.disconnect()


@pytest.mark.parametrize("direction", [(0.5, -1.0, 0.5), (-0.5, 0.5, 1.0), (0.0, 0.5, -1.0)])
def test_an_arm_that_is_stopped_on_its_way_again_and_again_does_not_creep(
    direction: tuple[float, float, float],
) -> None:
    """Its servos sag under its weight, and lag behind while it moves."""
    with emulated.emulated_arm(Plant(VIPERX, START)) as (driver, bus):
        rig = BusRig(driver, bus)
        rig.begin()
        for seq in range(1, 6):
            rig.controller.set_action(seq, rig.now, np.array(direction))
            rig.ticks(12)
            assert rig.mode is Mode.RUNNING
            braked = rest_after(rig, Event.OPERATOR_STOP)
            after = rig.controller.gate.setpoint.q[0]
            np.testing.assert_allclose(after, braked, atol=2 * TICK)
            assert np.abs(driver.read().q - after).max() > 5 * TICK, "the arm sags"
            rig.controller.clear()
            rig.controller.begin_move(after)
            while rig.controller.mover.is_moving:
                rig.ticks(1)
            rig.watchdog.arm(rig.now)
        driver.disconnect()


def release_contact(state: JointState, setpoint: Array, holds_weight: bool = False) -> Array:
    """The joint velocities (j,) of a Panda in which only those joints move that may press."""
    retreat = Retreat(PANDA.limits, Kinematics(PANDA), holds_weight)
    zero = np.zeros((1, 7))
    return retreat.release_contact(Setpoint(setpoint[None], zero, zero), state, 0.0)[0]


def test_a_joint_that_sags_keeps_its_setpoint_however_far_and_one_that_is_held_up_does_not() -> (
    None
):
    weight = Kinematics(PANDA).gravity(READY[None])[0]
    carries = np.abs(weight) > 1.0
    assert 1 < carries.sum() < 7
    below = np.where(carries, -0.04 * np.sign(weight), 0.0)
    still = JointState(READY, np.zeros(7), np.zeros(7), 0.0)
    assert not release_contact(still, READY - below).any(), "it sags: with a payload far below"
    pushed = release_contact(still, READY + below)
    np.testing.assert_array_equal(pushed != 0, carries)
    np.testing.assert_array_equal(np.sign(pushed[carries]), -np.sign(below[carries]))


def test_a_joint_that_still_moves_keeps_its_setpoint() -> None:
    waist = np.eye(7)[0]
    still = JointState(READY, np.zeros(7), np.zeros(7), 0.0)
    assert release_contact(still, READY + 0.03 * waist)[0] < 0
    moving = replace(still, dq=0.1 * waist)
    assert not release_contact(moving, READY + 0.03 * waist).any()


@pytest.mark.parametrize("torque", ["unknown", "high", "of its weight"])
def test_a_joint_below_its_setpoint_is_tested_where_its_weight_does_not_explain_its_torque(
    torque: str,
) -> None:
    weight = Kinematics(PANDA).gravity(READY[None])[0]
    joint = int(np.abs(weight).argmax())
    up = np.sign(weight[joint]) * np.eye(7)[joint]
    tau = {"unknown": np.full(7, np.nan), "high": 2 * weight, "of its weight": 1.2 * weight}[torque]
    state = JointState(READY, np.zeros(7), tau, 0.0)
    for distance in (0.012, 0.04):
        lowered = release_contact(state, READY + distance * up) @ up
        assert bool(lowered < 0) is (torque != "of its weight")
    assert not release_contact(state, READY + 0.005 * up).any(), "it is hardly below it"


def test_a_fault_of_contact_while_the_arm_leaves_goes_back_to_where_it_is_measured() -> None:
    """Though its joints were judged before, and none pressed on anything."""
    zero = np.zeros((1, 7))
    setpoint = Setpoint(READY[None], zero, zero)
    retreat = Retreat(PANDA.limits, Kinematics(PANDA))
    still = JointState(READY, np.zeros(7), np.zeros(7), 0.0)
    assert not retreat.release_contact(setpoint, still, 0.0).any()
    assert retreat.ended(True, 0.0)
    pushed_to = READY - 0.1 * np.eye(7)[0]
    velocity = retreat(setpoint, pushed_to, False, 0.01)
    assert velocity[0, 0] < 0
    assert not retreat.ended(True, 0.01)


def test_joints_are_judged_once_they_stand_and_not_later_than_after_a_while() -> None:
    zero = np.zeros((1, 7))
    setpoint = Setpoint(READY[None], zero, zero)
    retreat = Retreat(PANDA.limits, Kinematics(PANDA))
    waist = np.eye(7)[0]
    moving = JointState(READY - 0.03 * waist, 0.1 * np.eye(7)[6], np.zeros(7), 0.0)
    for now in (0.0, 0.9 * SETTLING):
        assert not retreat.release_contact(setpoint, moving, now).any()
        assert not retreat.ended(True, now)
    velocity = retreat.release_contact(setpoint, moving, 1.1 * SETTLING)
    assert np.flatnonzero(velocity[0]).tolist() == [0]


def test_of_an_arm_without_known_masses_every_far_joint_is_tested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Kinematics, "gravity", lambda self, q: np.zeros_like(q))
    still = JointState(READY, np.zeros(7), np.zeros(7), 0.0)
    assert (release_contact(still, READY + 0.03) < 0).all()
    assert not release_contact(still, READY + 0.008).any()


def test_where_the_controller_holds_the_weight_every_joint_goes_back() -> None:
    """Also one below its setpoint whose weight explains its torque, and one hardly below it."""
    weight = Kinematics(PANDA).gravity(READY[None])[0]
    still = JointState(READY, np.zeros(7), weight, 0.0)
    below = 0.004 * np.where(weight < 0, -1.0, 1.0)
    assert not release_contact(still, READY + below).any()
    back = release_contact(still, READY + below, holds_weight=True)
    np.testing.assert_array_equal(np.sign(back), -np.sign(below))


class StiffDriver(FakeDriver):
    """One whose arm's controller compensates gravity."""

    capabilities = replace(FakeDriver.capabilities, holds_weight=True)


@pytest.mark.parametrize("driver", [StiffDriver(), FakeDriver()])
def test_a_small_press_is_released_where_the_controller_holds_the_weight(
    driver: FakeDriver,
) -> None:
    rig = Rig(driver=driver)
    rig.begin()
    driver.wall = driver.q - 0.008
    driver.q = np.minimum(driver.q, driver.wall)
    rig.controller.leave()
    rig.ticks(300)
    assert driver.calls[-1] == "stop"
    remaining = np.abs(driver.commands[-1].q - driver.q)
    released = remaining <= 2 * ARRIVED_TOLERANCE
    assert released.all() if driver.capabilities.holds_weight else not released.any()


@pytest.mark.parametrize("event", [Event.MEASUREMENT_NOT_FINITE, Event.LINK_LOST])
def test_no_contact_is_released_where_the_readings_are_in_doubt(event: Event) -> None:
    rig = Rig()
    rig.move()
    rig.watchdog.fault(event)
    assert not rig.watchdog.may_release_contact
    rig.watchdog.clear()
    assert not rig.watchdog.may_release_contact
    rig.watchdog.fault(Event.OPERATOR_STOP)
    assert rig.watchdog.may_release_contact


@pytest.mark.parametrize("verb", ["stop", "disconnect"])
def test_dynamixel_servos_let_go_also_when_one_of_them_is_mute(
    monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    plant = emulated.BlockablePlant(VIPERX)
    with emulated.emulated_arm(plant) as (driver, bus):
        press_at_the_bus(driver, plant)
        assert distance_to_goal(bus) > 0.1
        monkeypatch.setattr(serial_bus, "REPLY_MARGIN", 20.0)
        bus.faults.mute = {6}
        if verb == "stop":
            driver.stop()
        driver.disconnect()
        emulated.seconds_to_rest(bus, driver.clock)
        assert distance_to_goal(bus) < REACHED


def test_a_servo_that_carries_weight_keeps_its_goal_at_a_stop() -> None:
    """Or the arm would sink a little with every stop."""
    plant = emulated.BlockablePlant(VIPERX)
    with emulated.emulated_arm(plant) as (driver, bus):
        driver.connect()
        driver.enable()
        q = driver.read().q
        plant.block()
        driver.write(Command(q + 0.03 * (np.arange(6) == 0), np.zeros(6)))
        for _ in range(100):
            driver.read()
        goal = bus.servos[1].get("goal_position")
        driver.stop()
        driver.disconnect()
        assert bus.servos[1].get("goal_position") == goal


def test_disconnect_leaves_the_watchdog_of_a_moving_arm_armed() -> None:
    with emulated.emulated_arm() as (driver, bus):
        driver.connect()
        driver.enable()
        q = driver.read().q
        driver.write(Command(q + 0.8 * (np.arange(6) == 0), np.zeros(6)))
        for _ in range(60):
            driver.read()
        _, dq, _ = bus.physics.read()
        assert dq[0] > 0.5
        driver.disconnect()
        armed = [servo.get("bus_watchdog") for servo in bus.group.leaders]
        assert armed == [int(VIPERX.limits.deadline / 0.02)] * 6
        assert emulated.seconds_to_rest(bus, driver.clock) < 2 * VIPERX.limits.deadline
        assert distance_to_goal(bus) < REACHED


def test_a_link_that_breaks_while_a_joint_presses_lets_it_go() -> None:
    plant = emulated.BlockablePlant(VIPERX)
    with emulated.emulated_arm(plant) as (driver, bus):
        press_at_the_bus(driver, plant)
        bus.faults.silent = True
        seconds = emulated.seconds_to_rest(bus, driver.clock)
        assert seconds < 2 * VIPERX.limits.deadline
        rest = VIPERX.limits.deadline + 0.1
        driver.clock.now += rest
        bus.pass_time()
        assert distance_to_goal(bus) < REACHED
        bus.faults.silent = False


def test_a_fault_that_is_cleared_while_the_arm_lets_go_leaves_nothing_pressing() -> None:
    rig = Rig()
    press(rig, stiffness=10.0)
    assert rig.event_kinds == [Event.NOT_TRACKING]
    rig.controller.clear()
    rig.ticks(100)
    assert rig.mode is Mode.IDLE
    assert rig.driver.calls[-1] == "stop"
    np.testing.assert_array_equal(rig.driver.goal, rig.driver.q)
    rig.driver.wall[...] = np.inf
    rig.begin()


@pytest.mark.parametrize(("distance", "is_parked"), [(0.04, True), (0.06, False)])
def test_an_arm_is_parked_near_its_rest_pose_alone(distance: float, is_parked: bool) -> None:
    mover = Rig().controller.mover
    q = PANDA.rest + distance * np.eye(7)[0]
    mover.gate.reset(q[None])
    assert mover.is_parked(q) is is_parked


def test_motors_stay_on_where_the_joints_are_not_in_the_rest_pose() -> None:
    """The setpoint is; something holds the arm away from it, and it would fall."""
    rig = Rig()
    rig.controller.begin_move(rig.driver.arm.rest)
    while rig.controller.mover.is_moving:
        rig.ticks(1)
    assert rig.controller.mover.is_parked(rig.driver.q)
    rig.driver.q = rig.driver.q - 0.13 * (np.arange(7) == 1)
    rig.ticks(1)
    with pytest.raises(ArmError, match="not in its rest pose"):
        rig.controller.torque_off()
    assert "torque_off" not in rig.driver.calls
    rig.driver.q = rig.driver.arm.rest.copy()
    rig.ticks(1)
    rig.controller.torque_off()
    assert rig.driver.calls[-1] == "torque_off"
