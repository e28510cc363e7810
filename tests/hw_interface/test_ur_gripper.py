"""An arm of Universal Robots with a Robotiq gripper, through the whole controller.

Grasps of the family lift, and what a fault of the arm or of the gripper does to the grip.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
from emulated_ur import (
    UR5E_2F85,
    Remote,
    RemotePlant,
    emulated_ur5e_2f85,
    patient_driver,
    physics_of,
)
from lift_rig import LiftRig

from hw_interface.control.events import Event, Mode
from hw_interface.emulators.ur import URCAP, UrEmulator
from robots.errors import BadArgumentError
from robots.signals import Command, Condition
from sim.families.lift import HALF_WIDTH, Lift

pytest.importorskip("rtde_control", reason="needs the extra 'ur'")

from hw_interface.drivers.ur import Ur
from hw_interface.drivers.ur_options import UrOptions

FAMILY = Lift(UR5E_2F85)


@contextmanager
def driven() -> Iterator[tuple[Ur, Remote]]:
    """A driver that is not yet connected, and its controller."""
    with patient_driver(), emulated_ur5e_2f85() as remote:
        driver = Ur(UR5E_2F85, None, UrOptions(remote.address))
        try:
            yield driver, remote
        finally:
            driver.disconnect()


@contextmanager
def lifting() -> Iterator[LiftRig]:
    """The arm, which carries what it has grasped."""
    with driven() as (driver, remote):
        rig = LiftRig(FAMILY, driver, remote, RemotePlant(remote, physics_of))
        rig.move(FAMILY.zone.ready)
        rig.grasp()
        assert np.abs(rig.controller.gate.setpoint.dq).max() > 0.05, "it moves"
        yield rig


def cut_gripper(emulator: UrEmulator) -> None:
    emulator.cut(URCAP)


def overheat(emulator: UrEmulator) -> None:
    gripper = emulator.controller.gripper
    assert gripper is not None
    gripper.fault = 0x08


def cool_down(emulator: UrEmulator) -> None:
    gripper = emulator.controller.gripper
    assert gripper is not None
    gripper.fault = 0


def lose_activation(emulator: UrEmulator) -> None:
    gripper = emulator.controller.gripper
    assert gripper is not None
    gripper.reset()


def count_activations(emulator: UrEmulator) -> int:
    gripper = emulator.controller.gripper
    assert gripper is not None
    return gripper.activations


def protective_stop(emulator: UrEmulator) -> None:
    emulator.controller.protective_stop()


def end_program(emulator: UrEmulator) -> None:
    emulator.controller.stop_program()


def cut_arm(emulator: UrEmulator) -> None:
    emulator.faults.frozen = True


def test_an_object_is_taken_from_one_place_to_the_other() -> None:
    """The commands and the states of lift; what becomes of a bar is not simulated here."""
    with lifting() as rig:
        rig.carry(60)
        rig.act(0.7)
        assert rig.controller.state.q[-1] == pytest.approx(0.0425, abs=1e-3)
        assert rig.events == []
        assert rig.mode is Mode.RUNNING


def release(emulator: UrEmulator) -> None:
    emulator.controller.release()


def mend_nothing(emulator: UrEmulator) -> None:
    """For a fault that is over at once."""


class Fault(NamedTuple):
    """A fault in motion, its event, what the user is told, and what ends it."""

    provoke: Callable[[UrEmulator], None]
    event: Event
    words: str = ""
    mend: Callable[[UrEmulator], None] = mend_nothing


FAULTS = {
    "the gripper's link is cut": Fault(
        cut_gripper, Event.ARM_ERROR, "is lost: its connection was closed"
    ),
    "the gripper is too hot": Fault(
        overheat, Event.ARM_ERROR, "reports a fault: it is too hot", cool_down
    ),
    "a protective stop": Fault(protective_stop, Event.ARM_STOPPED, "", release),
    "a program that was stopped": Fault(end_program, Event.ARM_ERROR),
}


def await_fault(rig: LiftRig) -> None:
    """Let the arm go on until the fault is noticed, and then come to rest."""
    for _ in range(50):
        rig.act(0.1)
        if rig.mode is not Mode.RUNNING:
            break
    rig.come_to_rest()


def test_no_fault_of_the_arm_or_the_gripper_opens_the_gripper(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each fault in turn, while the arm carries something; it goes on once the fault is mended."""
    with lifting() as rig:
        for name, fault in FAULTS.items():
            rig.events.clear()
            rig.bus.do(fault.provoke)
            await_fault(rig)
            assert rig.events == [fault.event], name
            assert rig.holds, name
            assert fault.words in capfd.readouterr().err, name
            rig.bus.do(fault.mend)
            rig.ticks(20)  # until it is measured
            rig.controller.clear()
            rig.move(rig.controller.gate.setpoint.q[0])
            assert rig.holds, name
            rig.act(0.1)
            assert rig.mode is Mode.RUNNING, name
        rig.events.clear()
        monkeypatch.setattr("hw_interface.drivers.ur.PATIENCE", 0.05)
        rig.bus.do(cut_arm)
        await_fault(rig)
        assert rig.events == [Event.LINK_LOST]
        rig.driver.disconnect()
        assert rig.holds


def test_an_arm_whose_gripper_is_not_activated_does_not_move() -> None:
    with driven() as (driver, remote):
        remote.do(lose_activation)
        driver.connect()
        with pytest.raises(RuntimeError, match="not activated: activate it at the pendant"):
            driver.enable()
        stay = driver.read()
        assert stay.condition is Condition.DISABLED
        driver.write(Command(stay.q, np.zeros(7)))
        assert remote.do(count_activations) == 0


def test_a_grip_is_not_lost_by_a_command_that_is_not_finite() -> None:
    with driven() as (driver, remote):
        RemotePlant(remote, physics_of).put_between(HALF_WIDTH)
        driver.connect()
        driver.enable()
        before = driver.read().q
        bad = before.copy()
        bad[-1] = np.nan
        with pytest.raises(BadArgumentError, match="finite"):
            driver.write(Command(bad, np.zeros(7)))
        assert driver.read().q[-1] == pytest.approx(before[-1], abs=1e-4)


def test_the_grippers_options_are_checked() -> None:
    options = UrOptions("10.0.0.1", gripper_counts=(230.0, 3.0))
    with pytest.raises(BadArgumentError, match="POS of its open and of its closed fingers"):
        Ur(UR5E_2F85, None, options)
