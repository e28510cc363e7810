"""The Dynamixel driver over its emulated bus.

Units and signs, refusals, and every fault of the bus through the real controller.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver_rig import BusRig, Change, write_calibration
from emulated import LONG, VIPERX, PacedDynamixel, emulated_arm

from hw_interface.control.events import Event, Mode
from hw_interface.drivers import DRIVERS, serial_bus
from hw_interface.drivers.dynamixel import Dynamixel, DynamixelOptions
from hw_interface.drivers.dynamixel_calibration import read_calibration
from hw_interface.drivers.servo_calibration import TICK
from hw_interface.emulators.dynamixel import Bus
from robots.catalog.panda import PANDA
from robots.clearance import Clearance
from robots.errors import ArmError, MissingExtraError
from robots.kinematics import Kinematics
from robots.paths import plan_path
from robots.signals import Command, Condition
from sim.families.reach import Reach
from sim.plant import Plant

FAMILY = Reach(VIPERX)
NOMINAL = json.loads(VIPERX.urdf.with_name("dynamixel.json").read_text())
UNPLUGGED = "the bus is unplugged"
SHORT = 20.0  # ms, where answers stay away for ever

Provocation = Callable[[Bus], None]


def mirror(calibration: dict[str, Any]) -> None:
    """Give some joints other zeros and signs."""
    servos = calibration["servos"]
    servos[0]["zero"] = 2030
    servos[2].update(sign=-1, zero=1500)
    servos[4].update(sign=-1, zero=2200, homing_offset=77)


@pytest.mark.parametrize("mode", ["position", "current"])
def test_angles_are_the_joints_whatever_the_zeros_and_signs(tmp_path: Path, mode: str) -> None:
    def change(calibration: dict[str, Any]) -> None:
        mirror(calibration)
        calibration["mode"] = mode

    plant = Plant(VIPERX, VIPERX.home, gravity=False)
    with emulated_arm(plant, write_calibration(tmp_path, NOMINAL, change)) as (driver, bus):
        driver.connect()
        driver.enable()
        start, _, _ = plant.read()
        np.testing.assert_allclose(driver.read().q, start, atol=TICK)
        goal = start + np.array([0.2, -0.1, 0.15, -0.2, 0.1, 0.3])
        for _ in range(2):
            driver.write(Command(goal, np.zeros(6)))
            for _ in range(200):
                state = driver.read()
        q, _, _ = plant.read()
        np.testing.assert_allclose(q, goal, atol=3 * TICK)
        np.testing.assert_allclose(state.q, goal, atol=3 * TICK)
        goals = {number: servo.get("goal_position") for number, servo in bus.servos.items()}
        assert goals[1] == round(2030 + goal[0] / TICK)
        assert goals[4] == round(1500 - goal[2] / TICK)
        assert goals[5] == goals[4]


def test_speed_and_torque_have_the_joints_sign(tmp_path: Path) -> None:
    plant = Plant(VIPERX, VIPERX.home, gravity=False)
    with emulated_arm(plant, write_calibration(tmp_path, NOMINAL, mirror)) as (driver, _):
        driver.connect()
        driver.enable()
        q, _, _ = plant.read()
        driver.write(Command(q + 0.3, np.zeros(6)))
        for _ in range(5):
            state = driver.read()
        _, dq, tau = plant.read()
        assert (dq > 0.1).all()
        np.testing.assert_allclose(state.dq, dq, atol=0.03)
        np.testing.assert_allclose(state.tau, tau, atol=0.02)


def test_no_goal_is_rounded_past_a_limit() -> None:
    limits = VIPERX.limits
    with emulated_arm() as (driver, bus):
        driver.connect()
        driver.enable()
        for q in (limits.q_low, limits.q_high, limits.q_high + 1):
            driver.write(Command(q, np.zeros(6)))
            driver.read()
        assert bus.goals == 4 * 6
        with pytest.raises(ValueError, match="finite"):
            driver.write(Command(np.full(6, np.nan), np.zeros(6)))
        assert bus.goals == 4 * 6


def test_a_tick_takes_at_most_a_300th_of_a_second_on_the_wire() -> None:
    """Six servos and two shadows at 1 Mbaud, ten bits per byte."""
    with emulated_arm() as (driver, bus):
        driver.connect()
        driver.enable()
        stay = Command(driver.read().q, np.zeros(6))
        before = bus.bytes_carried
        for _ in range(10):
            driver.read()
            driver.write(stay)
        driver.read()
        size = (bus.bytes_carried - before) / 10
    joints = 6
    servos = 8
    read = 14 + servos
    answer = 8 + servos * (4 + 16)
    write = 14 + joints * (1 + 4)
    tick = read + answer + write  # bytes
    # eleven readings were made for ten writes
    assert abs(size - tick) <= (read + answer) / 10
    assert 10 * tick / 1e6 <= driver.capabilities.dt <= 1 / 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(arm="panda"), "for the arm 'panda', not for 'viperx'"),
        (lambda c: c["servos"].pop(), "names the joints waist.*viperx has waist"),
        (lambda c: c["servos"][0].update(id=2), "id 2 occurs twice"),
        (lambda c: c["servos"][0].update(shadow=3), "id 3 occurs twice"),
        (lambda c: c["servos"][0].update(id=300), r"<= 252.*servos\[0\].id"),
        (lambda c: c["servos"][0].update(sign=0), r"servos\[0\].sign"),
        (lambda c: c["servos"][1].pop("zero"), "missing required field `zero`"),
        (lambda c: c["servos"][1].update(offset=3), "unknown field `offset`"),
        (
            lambda c: c["servos"][0].update(zero=100),
            "with its zero at 100, waist would go from -1921 to 2121 ticks",
        ),
        (
            lambda c: c["servos"][0].update(model="ax-12"),
            "no servo model 'ax-12' is known; there are: xm430-w350",
        ),
        (lambda c: c.update(mode="velocity"), "mode"),
        (lambda c: c["servos"][0].update(drive_mode=4), "waist has the drive mode a time-based"),
        (lambda c: c["servos"][1].update(shadow_drive_mode=9), "shoulder has .* torque on by goal"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(
    tmp_path: Path, change: Change, message: str
) -> None:
    options = DynamixelOptions("nowhere", write_calibration(tmp_path, NOMINAL, change))
    with pytest.raises(ValueError, match=message):
        Dynamixel(VIPERX, None, options)


def test_a_missing_or_broken_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give --port"):
        Dynamixel(VIPERX)
    with pytest.raises(ValueError, match=r"no calibration file .*panda/dynamixel.json"):
        read_calibration("", PANDA)
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(ValueError, match=r"c.json: .*truncated"):
        read_calibration(str(tmp_path / "c.json"), VIPERX)


def test_a_missing_client_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dynamixel_sdk", None)  # so that importing it fails
    for module in ("dynamixel", "dynamixel_bus"):
        monkeypatch.delitem(sys.modules, f"hw_interface.drivers.{module}")
    with pytest.raises(MissingExtraError, match=r"pip install '/path/to/pliant\[dynamixel\]'"):
        DRIVERS["dynamixel"]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            lambda bus: bus.faults.mute.add(7),
            OSError,
            r"servo 7 \(wrist_angle\) does not answer on .* at 1000000 baud",
        ),
        (lambda bus: bus.faults.mute.add(3), OSError, r"servo 3 \(shoulder\) does not answer"),
        (
            lambda bus: bus.servos[8].set("model", 1120),
            RuntimeError,
            r"servo 8 .* model 1120, its calibration 1020",
        ),
        (
            lambda bus: bus.servos[1].set("drive_mode", 1),
            RuntimeError,
            "drive mode 1, its calibration 0",
        ),
        (
            lambda bus: bus.servos[1].set("homing_offset", -9),
            RuntimeError,
            "homing offset -9, its calibration 0",
        ),
        (
            lambda bus: bus.servos[6].set("operating_mode", 4),
            RuntimeError,
            "operating mode 4, its calibration 3",
        ),
        (
            lambda bus: bus.servos[3].set("model", 1020),
            RuntimeError,
            r"servo 3 \(shoulder\) has the model 1020, its calibration 1120",
        ),
        (
            lambda bus: bus.servos[3].set("drive_mode", 1),
            RuntimeError,
            r"servo 3 \(shoulder\) has the drive mode 1, its calibration 0",
        ),
        (
            lambda bus: bus.servos[5].set("drive_mode", 4),
            RuntimeError,
            r"servo 5 \(elbow\) has the drive mode 4, its calibration 0",
        ),
        (
            lambda bus: bus.servos[5].set("homing_offset", 200),
            RuntimeError,
            r"servo 5 \(elbow\) has the homing offset 200, its calibration 0",
        ),
        (
            lambda bus: bus.servos[5].set("operating_mode", 5),
            RuntimeError,
            r"servo 5 \(elbow\) has the operating mode 5, its calibration 3",
        ),
        (
            lambda bus: bus.servos[5].set("secondary_id", 2),
            RuntimeError,
            r"servo 5 \(elbow\) has the secondary id 2, its calibration 4",
        ),
        (
            lambda bus: bus.servos[6].set("secondary_id", 1),
            RuntimeError,
            r"servo 6 \(forearm_roll\) has the secondary id 1: it would follow that servo",
        ),
        (
            lambda bus: bus.servos[3].set("velocity_limit", 0),
            RuntimeError,
            r"servo 2 \(shoulder\) has the velocity limit 0",
        ),
    ],
)
def test_servos_that_are_not_as_calibrated_are_refused(
    monkeypatch: pytest.MonkeyPatch, change: Provocation, kind: type[Exception], message: str
) -> None:
    with emulated_arm() as (driver, bus):
        change(bus)
        if bus.faults.mute:
            monkeypatch.setattr(serial_bus, "REPLY_MARGIN", 30.0)
        with pytest.raises(kind, match=message):
            driver.connect()
        driver.disconnect()
        assert bus.goals == 0


def test_a_port_that_does_not_exist_is_named() -> None:
    with pytest.raises(OSError, match="nowhere"):
        Dynamixel(VIPERX, None, DynamixelOptions("nowhere")).connect()


def test_after_disconnect_the_servos_hold_and_can_be_used_again() -> None:
    with emulated_arm() as (driver, bus):
        driver.connect()
        driver.enable()
        assert bus.servos[1].get("bus_watchdog") == int(VIPERX.limits.deadline / 0.02)
        driver.stop()
        driver.disconnect()
        again = PacedDynamixel(VIPERX, None, DynamixelOptions(bus.port))
        again.clock = driver.clock
        again.connect()
        assert all(servo.get("torque") for servo in bus.servos.values())
        again.enable()
        assert again.read().condition is Condition.READY
        again.disconnect()


class Rig(BusRig[PacedDynamixel]):
    """The controller over the driver over the emulated bus."""

    def __init__(self, driver: PacedDynamixel, bus: Bus) -> None:
        super().__init__(FAMILY, driver, bus)


@contextmanager
def moving_arm() -> Iterator[Rig]:
    with emulated_arm(Plant(VIPERX, FAMILY.ready)) as (driver, bus):
        rig = Rig(driver, bus)
        rig.begin()
        rig.act()
        assert rig.mode is Mode.RUNNING
        assert np.abs(rig.controller.gate.setpoint.dq).max() > 0.1
        yield rig
        driver.disconnect()


def mute(bus: Bus) -> None:
    bus.faults.mute = {6}


def corrupt(bus: Bus) -> None:
    bus.faults.corrupt = {2}


def silent(bus: Bus) -> None:
    bus.faults.silent = True


def frozen(bus: Bus) -> None:
    bus.faults.frozen = {4}


def late(bus: Bus) -> None:
    bus.faults.delay = 1.5e-3 * SHORT  # later than the driver waits, and so in the next tick


def overload(bus: Bus) -> None:
    bus.servos[4].overload()


def shadow_overload(bus: Bus) -> None:
    bus.servos[3].overload()


def repair(bus: Bus) -> None:
    """End every fault but a closed port."""
    bus.faults.mute = set()
    bus.faults.corrupt = set()
    bus.faults.silent = False
    bus.faults.frozen = set()
    bus.faults.delay = 0.0
    for servo in bus.servos.values():
        if servo.get("hardware_error"):
            servo.reboot()


def unplug(bus: Bus) -> None:
    bus.close()


FAULTS: dict[str, tuple[Provocation, Event]] = {
    "a mute servo": (mute, Event.LINK_LOST),
    "disturbed data": (corrupt, Event.LINK_LOST),
    "a silent bus": (silent, Event.LINK_LOST),
    "a servo that repeats an old state": (frozen, Event.LINK_LOST),
    "late answers": (late, Event.LINK_LOST),
    "an overloaded servo": (overload, Event.ARM_ERROR),
    "an overloaded shadow": (shadow_overload, Event.ARM_ERROR),
    UNPLUGGED: (unplug, Event.DRIVER_FAILED),
}


def shorten_waiting(monkeypatch: pytest.MonkeyPatch, event: Event) -> None:
    """Where answers stay away, do not wait long; elsewhere a busy machine may take its time."""
    if event is Event.LINK_LOST:
        monkeypatch.setattr(serial_bus, "REPLY_MARGIN", SHORT)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_on_the_bus_latches_and_ends_at_rest(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    provoke, event = FAULTS[name]
    with moving_arm() as rig:
        shorten_waiting(monkeypatch, event)
        provoke(rig.bus)
        rig.act()
        assert rig.mode is Mode.FAULT
        assert rig.events == [event]
        rig.come_to_rest()
        assert rig.controller.at_rest
        goals = rig.bus.goals
        rig.act()  # a policy that goes on posting moves nothing
        assert rig.bus.goals == goals
        if name != UNPLUGGED:
            rig.pass_time(1.0)
            _, dq, _ = rig.bus.physics.read()
            assert np.abs(dq).max() < 1e-2
        monkeypatch.setattr(serial_bus, "REPLY_MARGIN", LONG)


@pytest.mark.parametrize("name", [name for name in FAULTS if name != UNPLUGGED])
def test_after_clear_a_lasting_fault_is_refused_and_a_mended_one_goes_on(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    provoke, event = FAULTS[name]
    with moving_arm() as rig:
        shorten_waiting(monkeypatch, event)
        provoke(rig.bus)
        rig.act()
        rig.come_to_rest()
        rig.pass_time(0.5)
        rig.watchdog.clear()
        with pytest.raises(ArmError, match="cannot be enabled"):
            rig.controller.begin_move(FAMILY.ready)
        assert rig.mode is Mode.FAULT
        monkeypatch.setattr(serial_bus, "REPLY_MARGIN", LONG)
        repair(rig.bus)
        rig.watchdog.clear()
        rig.begin()
        rig.act()
        assert rig.mode is Mode.RUNNING


def test_one_lost_reading_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with moving_arm() as rig:
        for provoke in (mute, corrupt):
            monkeypatch.setattr(serial_bus, "REPLY_MARGIN", SHORT)
            provoke(rig.bus)
            rig.ticks(1)
            repair(rig.bus)
            monkeypatch.setattr(serial_bus, "REPLY_MARGIN", LONG)
            rig.ticks(5)
        assert rig.mode is Mode.RUNNING
        assert rig.events == []


def test_a_servo_that_restarts_is_noticed_and_enabled_again() -> None:
    """It has lost its torque and its bounds, and answers as if nothing had happened."""
    with moving_arm() as rig:
        rig.bus.servos[6].reboot()
        rig.act()
        assert rig.events == [Event.LINK_LOST]
        rig.ticks(60)
        rig.watchdog.clear()
        rig.begin()
        assert rig.mode is Mode.ARMED
        assert rig.bus.servos[6].get("torque")


def test_answers_that_arrive_twice_change_nothing() -> None:
    with moving_arm() as rig:
        rig.bus.faults.copies = 2
        for _ in range(6):
            rig.act()
        q, _, _ = rig.bus.physics.read()
        np.testing.assert_allclose(rig.controller.state.q, q, atol=3 * TICK)
        assert rig.events == []
        assert rig.driver.bus.losses == 0


def test_a_control_process_that_slept_too_long_finds_the_bus_watchdog_tripped() -> None:
    deadline = VIPERX.limits.deadline
    with moving_arm() as rig:
        rig.driver._read_health()  # its answer shows that the bus has received the last goal
        rig.pass_time(deadline)
        rig.driver.bus.last_reply -= deadline  # the driver goes by the real clock
        rig.act()
        assert rig.events == [Event.ARM_ERROR]
        rig.come_to_rest()
        rig.watchdog.clear()
        rig.begin()
        assert rig.mode is Mode.ARMED


def test_an_arm_that_gets_no_more_commands_stops_by_itself() -> None:
    """As when the control process was killed: the last goal lies ahead, and the bus is silent."""
    with emulated_arm() as (driver, bus):
        driver.connect()
        driver.enable()
        driver.read()
        goal = VIPERX.home + np.array([1.5, 0, 0, 0, 0, 0])
        driver.write(Command(goal, np.zeros(6)))
        driver._read_health()
        for _ in range(100):
            driver.clock.now += 0.01
            bus.pass_time()
        assert bus.servos[1].watchdog_tripped
        q, dq, _ = bus.physics.read()
        assert 0.1 < q[0] < 1.0
        assert np.abs(dq).max() < 1e-2


def test_a_soft_arm_is_not_lowered_by_stops_and_starts() -> None:
    """Its servos sag under its weight; each of them goes on holding the goal that it had."""
    with emulated_arm() as (driver, bus):
        rig = Rig(driver, bus)
        rig.begin()
        rig.ticks(200)
        kinematics = Kinematics(VIPERX)
        before = kinematics.position(driver.read().q[None])[0, 2]
        setpoint = rig.controller.gate.setpoint.q[0].copy()
        for _ in range(6):
            rig.watchdog.fault(Event.OPERATOR_STOP)
            rig.ticks(60)
            rig.watchdog.clear()
            rig.controller.begin_move(rig.controller.gate.setpoint.q[0])
            rig.ticks(60)
        after = kinematics.position(driver.read().q[None])[0, 2]
        np.testing.assert_allclose(rig.controller.gate.setpoint.q[0], setpoint, atol=2 * TICK)
        assert np.abs(driver.read().q - setpoint).max() > 5 * TICK, "the arm sags"
        assert abs(after - before) < 2e-3
        driver.disconnect()


def test_a_joint_outside_its_limits_is_named_before_torque_is_switched_on() -> None:
    q = VIPERX.rest.copy()
    q[2] = 1.75
    with emulated_arm(Plant(VIPERX, q, gravity=False)) as (driver, bus):
        with pytest.raises(ArmError, match=r"joint elbow is at 1\.7"):
            Rig(driver, bus)
        assert not any(servo.get("torque") for servo in bus.servos.values())
        driver.disconnect()


def test_an_arm_that_is_parked_may_lose_its_torque_and_no_other_may() -> None:
    with emulated_arm(Plant(VIPERX, FAMILY.ready)) as (driver, bus):
        rig = Rig(driver, bus)
        rig.begin()
        rig.watchdog.end_episode()
        with pytest.raises(ArmError, match="not in its rest pose"):
            rig.controller.torque_off()
        clearance = Clearance(Kinematics(VIPERX))
        path = plan_path(clearance, FAMILY.ready, VIPERX.rest, np.random.default_rng(0))
        rig.controller.begin_move(path[1:])
        while rig.controller.mover.is_moving:
            rig.ticks(1)
        assert rig.controller.mover.failure == ""
        rig.controller.torque_off()
        rig.ticks(20)
        assert rig.events == []
        assert not any(servo.get("torque") for servo in bus.servos.values())
        driver.disconnect()
