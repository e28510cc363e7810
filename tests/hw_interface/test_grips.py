"""Grippers of arms of servos, through the whole controller: grasps, faults, and the family lift."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import emulated
import numpy as np
import pytest
import test_dynamixel
from emulated import LONG
from lift_rig import FORCE, LiftRig

from hw_interface.control.events import Event, Mode
from hw_interface.drivers import serial_bus
from robots.catalog import ARMS
from robots.signals import Condition
from sim.families.lift import HALF_WIDTH, Lift
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
        place_y = FAMILY.zone.place[1]
        for _ in range(40):
            held = rig.holds
            rig.act(0.1)
            if not rig.holds:
                break
        assert held, "it is held until it is let go"
        assert abs(rig.tool[1] - place_y) < 5e-3, "over the other place"
        rig.act(1.5)
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
            pass_time(rig, 0.5)
            assert rig.holds, name
            rig.controller.clear()
            rig.move(rig.controller.gate.setpoint.q[0])
            assert rig.holds, name


def pass_time(rig: LiftRig, seconds: float) -> None:
    """Let time pass at the bus alone, as if the computer had died."""
    for _ in range(round(seconds / 0.01)):
        rig.driver.clock.now += 0.01  # type: ignore[attr-defined]
        rig.bus.pass_time()
