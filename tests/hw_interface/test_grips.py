"""Grippers of arms of servos, through the whole controller: grasps, faults, and the family lift."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import emulated
import numpy as np
import pytest
import test_dynamixel
import test_feetech
from driver_rig import BusRig, write_calibration
from emulated import LONG
from emulated_feetech import emulated_so101
from lift_rig import FORCE, LiftRig

from hw_interface.control.events import Mode
from hw_interface.drivers import serial_bus
from hw_interface.drivers.dynamixel_calibration import read_calibration
from hw_interface.drivers.servo_gripper import LARGEST_SHARE, LEAST_FORCE
from robots.catalog import ARMS
from robots.signals import Command, Condition
from sim.families.lift import HALF_WIDTH, Lift
from sim.families.reach import Reach
from sim.plant import Plant

VIPERX = ARMS["viperx_gripper"]
FAMILY = Lift(VIPERX)


@contextmanager
def lifting_viperx() -> Iterator[LiftRig]:
    """The arm over the place where it picks."""
    plant = Plant(VIPERX, FAMILY.zone.ready)
    with emulated.emulated_arm(plant, arm=VIPERX) as (driver, bus):
        rig = LiftRig(FAMILY, driver, bus, plant)
        rig.move(FAMILY.zone.ready)
        yield rig
        driver.disconnect()


def test_a_viperx_takes_an_object_from_one_place_to_the_other() -> None:
    """The commands and the states of lift; what becomes of a bar is not simulated here."""
    with lifting_viperx() as rig:
        rig.grasp()
        gripper = VIPERX.gripper
        assert gripper is not None
        assert gripper.has_grasped(rig.controller.state, FORCE)
        rig.carry(40)
        rig.act(0.7)
        assert rig.controller.state.q[-1] == pytest.approx(gripper.opened, abs=1e-3)
        assert rig.events == []
        assert rig.mode is Mode.RUNNING
        assert rig.bus.outside == 0


FAULTS = [name for name in test_dynamixel.FAULTS if name != test_dynamixel.UNPLUGGED]


def test_no_fault_of_a_dynamixel_bus_opens_the_gripper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault in turn, while the arm stands with what it holds."""
    with lifting_viperx() as rig:
        rig.grasp()
        for name in FAULTS:
            provoke, event = test_dynamixel.FAULTS[name]
            rig.events.clear()
            test_dynamixel.shorten_waiting(monkeypatch, event)
            provoke(rig.bus)
            rig.act(0.1)
            assert rig.mode is Mode.FAULT, name
            assert rig.events == [event], name
            rig.come_to_rest()
            assert rig.holds, name
            monkeypatch.setattr(serial_bus, "REPLY_MARGIN", LONG)
            test_dynamixel.repair(rig.bus)
            pass_time(rig.driver, rig.bus, 0.5)
            assert rig.holds, name
            rig.controller.clear()
            rig.move(rig.controller.gate.setpoint.q[0])
            assert rig.holds, name


# The pose in which reach begins, with fingers that grasp what is between them.
SO101 = ARMS["so101_gripper"]
SQUEEZE = HALF_WIDTH - 2 * FORCE / SO101.stiffness[-1]
NO_HAND = ARMS["so101"].reach_zone
assert NO_HAND is not None
GRASPING_SO101 = replace(
    SO101, reach_zone=replace(NO_HAND, ready=np.append(NO_HAND.ready, SQUEEZE))
)
AT_REST = [
    name for name in test_feetech.FAULTS if name not in (test_feetech.UNPLUGGED, test_feetech.STALE)
]


def test_no_fault_of_a_feetech_bus_opens_the_gripper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault in turn, while the arm stands with what it holds."""
    family = Reach(GRASPING_SO101)
    plant = Plant(SO101, np.append(family.ready[:-1], 0.03))
    plant.put_between(HALF_WIDTH)
    with emulated_so101(plant, arm=GRASPING_SO101) as (driver, bus):
        rig = BusRig(family, driver, bus)
        rig.begin()
        rig.ticks(100)
        assert holds(bus)
        for name in AT_REST:
            provoke, event = test_feetech.FAULTS[name]
            rig.events.clear()
            test_dynamixel.shorten_waiting(monkeypatch, event)
            provoke(bus)
            rig.ticks(20)
            assert rig.events == [event], name
            rig.come_to_rest()
            pass_time(driver, bus, 0.3)
            assert holds(bus), name
            monkeypatch.setattr(serial_bus, "REPLY_MARGIN", LONG)
            test_feetech.repair(bus)
            rig.controller.clear()
            rig.begin()
            assert holds(bus), name


def holds(bus: Any) -> bool:
    q, _, tau = bus.physics.read()
    return abs(q[-1] - HALF_WIDTH) < 1e-3 and bool(-tau[-1] / 2 > FORCE / 2)


def pass_time(driver: Any, bus: Any, seconds: float) -> None:
    """Let time pass at the bus alone, as if the computer had died."""
    for _ in range(round(seconds / 0.01)):
        driver.clock.now += 0.01
        bus.pass_time()


def test_fingers_hold_on_when_nobody_speaks_to_the_bus() -> None:
    with emulated.emulated_arm(full_plant(), arm=VIPERX) as (driver, bus):
        grip(driver)
        pass_time(driver, bus, 2.0)
        waist = bus.servos[1]
        assert waist.watchdog_tripped, "the other servos have stopped"
        assert holds(bus)


def test_an_overloaded_gripper_is_a_fault() -> None:
    with emulated.emulated_arm(full_plant(), arm=VIPERX) as (driver, bus):
        grip(driver)
        assert holds(bus)
        bus.servos[9].overload()
        pass_time(driver, bus, 0.1)
        assert not holds(bus), "it has switched its torque off"
        assert driver.read().condition is Condition.ERROR
        driver.stop()
        with pytest.raises(RuntimeError, match="servo 9 reports overload"):
            driver.enable()


def test_a_gripper_without_its_bound_gets_no_torque() -> None:
    with emulated.emulated_arm(arm=VIPERX) as (driver, bus):
        driver.connect()
        bus.faults.lost_writes = {(9, "goal_current")}
        with pytest.raises(
            RuntimeError, match="servo 9 cannot be enabled: it has the goal current"
        ):
            driver.enable()
        assert not any(servo.get("torque") for servo in bus.servos.values())


def test_a_gripper_whose_force_could_not_be_bounded_is_refused(tmp_path: Path) -> None:
    assert VIPERX.gripper is not None
    nominal = json.loads(VIPERX.gripper.urdf.with_name("dynamixel.json").read_text())

    def change(calibration: dict[str, Any]) -> None:
        del calibration["servos"][-1]["mode"]

    path = write_calibration(tmp_path, nominal, change)
    with pytest.raises(ValueError, match="finger_left needs the mode current"):
        read_calibration(path, VIPERX)
    no_servo = replace(VIPERX, gripper=replace(VIPERX.gripper, linkage=None))
    with pytest.raises(ValueError, match="viperx_fingers has no servo"):
        read_calibration("", no_servo)


def test_the_force_of_a_grip_is_the_springs_within_its_bounds() -> None:
    """The current that the servo may use, at every position of the fingers."""
    gripper = VIPERX.gripper
    assert gripper is not None
    assert gripper.linkage is not None
    with emulated.emulated_arm(arm=VIPERX) as (driver, bus):
        driver.connect()
        driver.enable()
        unit = 2.69e-3 * 4.1 / 2.3  # N·m per unit of current
        state = driver.read()
        for setpoint in (0.04, 0.03, gripper.closed):
            goal = state.q.copy()
            goal[-1] = setpoint
            driver.write(Command(goal, np.zeros(7)))
            driver._read_health()  # its answer shows that the bus has received the write
            spring = gripper.stiffness * (state.q[-1] - setpoint)
            expected = min(max(spring, LEAST_FORCE), LARGEST_SHARE * gripper.force)
            lever = gripper.linkage.ratio(gripper.linkage.angle(state.q[-1]))
            current = bus.servos[9].get("goal_current")
            assert current * unit / lever == pytest.approx(expected, abs=2.0)
        assert expected == LARGEST_SHARE * gripper.force


def test_a_tick_fits_on_the_wire_also_when_the_force_of_the_grip_changes() -> None:
    """Seven servos and two shadows at 1 Mbaud, ten bits per byte."""
    with emulated.emulated_arm(arm=VIPERX) as (driver, bus):
        driver.connect()
        driver.enable()
        goal = driver.read().q
        driver._read_health()  # its answer shows that the bus has received what was written
        before = bus.bytes_carried
        for k in range(10):
            goal[-1] = 0.04 - 0.01 * (k % 2)
            driver.read()
            driver.write(Command(goal, np.zeros(7)))
        written = bus.bytes_carried - before
        tick = 260 + 17  # bytes
        assert 0.9 * tick < written / 10 <= tick
        assert driver.capabilities.dt > 10 * tick / 1e6


def full_plant() -> Plant:
    plant = Plant(VIPERX, FAMILY.zone.ready)
    plant.put_between(HALF_WIDTH)
    return plant


def grip(driver: emulated.PacedDynamixel) -> None:
    """Close the fingers on the object, without a gate."""
    driver.connect()
    driver.enable()
    goal = driver.read().q
    goal[-1] = HALF_WIDTH - 2 * FORCE / driver.arm.stiffness[-1]
    for _ in range(250):
        driver.write(Command(goal, np.zeros(7)))
        driver.read()
