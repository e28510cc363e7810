"""The Feetech driver over its emulated bus: units, signs, refusals, and every fault of the bus."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver_rig import BusRig, Change, write_calibration
from emulated import LONG
from emulated_feetech import SO101, PacedFeetech, emulated_so101

from hw_interface.control.events import Event, Mode
from hw_interface.drivers import DRIVERS, serial_bus
from hw_interface.drivers.feetech import TORQUE_CHECK, Feetech, FeetechOptions
from hw_interface.drivers.lead import LEAD
from hw_interface.drivers.servo_calibration import TICK
from hw_interface.emulators.feetech import FeetechEmulator
from robots.errors import ArmError, MissingExtraError
from robots.signals import Command, Condition
from sim.families.reach import Reach
from sim.plant import Plant

FAMILY = Reach(SO101)
NOMINAL = json.loads(SO101.urdf.with_name("feetech.json").read_text())
UNPLUGGED = "the bus is unplugged"
SHORT = 20.0  # ms, where answers stay away for ever
STILL = np.zeros(5)
OVERLOAD = 5  # bits of the status
OVERHEATING = 2
VOLTAGE = 0

Provocation = Callable[[FeetechEmulator], Any]


def mirror(calibration: dict[str, Any]) -> None:
    """Give some joints other zeros and signs."""
    servos = calibration["servos"]
    servos[0]["zero"] = 2030
    servos[2].update(sign=-1, zero=1500)
    servos[4].update(sign=-1, zero=2050, homing_offset=-77)


def test_angles_speeds_and_torques_have_the_joints_zeros_and_signs(tmp_path: Path) -> None:
    plant = Plant(SO101, SO101.home, gravity=False)
    with emulated_so101(plant, write_calibration(tmp_path, NOMINAL, mirror)) as (driver, bus):
        driver.connect()
        driver.enable()
        start, _, _ = plant.read()
        np.testing.assert_allclose(driver.read().q, start, atol=TICK)
        goal = start + np.array([0.15, -0.1, 0.15, -0.15, 0.1])
        driver.write(Command(goal, STILL))
        for _ in range(3):
            state = driver.read()
        _, dq, tau = plant.read()
        assert (np.abs(dq) > 0.1).all()
        assert (np.sign(tau) == np.sign(goal - start)).all()
        np.testing.assert_allclose(state.dq, dq, atol=TICK)
        np.testing.assert_allclose(state.tau, tau, atol=0.01)
        for _ in range(150):
            state = driver.read()
        q, _, _ = plant.read()
        np.testing.assert_allclose(q, goal, atol=2 * TICK)
        np.testing.assert_allclose(state.q, goal, atol=2 * TICK)
        assert bus.servos[1].get("goal_position") == round(2030 + goal[0] / TICK)
        assert bus.servos[3].get("goal_position") == round(1500 - goal[2] / TICK)


def test_no_goal_is_past_a_limit_nor_far_ahead_of_the_joint() -> None:
    """Where these servos go on to when nobody speaks to them any more."""
    limits = SO101.limits
    with emulated_so101() as (driver, bus):
        driver.connect()
        driver.enable()
        for goal in (limits.q_low, limits.q_high, limits.q_high + 1):
            q = driver.read().q
            driver.write(Command(goal, STILL))
            driver._read_health()  # its answer shows that the goal has arrived
            goals = [servo.get("goal_position") for servo in bus.servos.values()]
            ahead = np.abs(driver._to_angles(np.array(goals)) - q)
            assert ahead.max() <= LEAD + TICK
            assert ahead.max() > LEAD / 2
        heard = bus.goals
        with pytest.raises(ValueError, match="finite"):
            driver.write(Command(np.full(5, np.nan), STILL))
        assert bus.goals == heard


def test_an_arm_that_gets_no_more_commands_stands_at_its_last_goal() -> None:
    """As when the control process was killed: the servos have no watchdog."""
    with emulated_so101(Plant(SO101, SO101.home)) as (driver, bus):
        driver.connect()
        driver.enable()
        before = driver.read().q
        driver.write(Command(SO101.home + np.array([1.5, 0, 0, 0, 0]), STILL))
        driver._read_health()
        for _ in range(100):
            driver.clock.now += 0.01
            bus.pass_time()
        q, dq, _ = bus.physics.read()
        assert q[0] - before[0] == pytest.approx(LEAD, abs=2 * TICK)
        assert np.abs(dq).max() < 1e-2
        assert all(servo.get("torque") for servo in bus.servos.values())


def test_readings_do_not_grow_old_where_every_answer_comes_twice() -> None:
    """These servos have no clock: a reading does not tell how old it is."""
    with emulated_so101(Plant(SO101, SO101.home)) as (driver, bus):
        driver.connect()
        driver.enable()
        bus.faults.copies = 2
        goal = driver.read().q
        for _ in range(60):
            goal = goal + 0.005
            driver.write(Command(goal, STILL))
            driver.read()
        q, _, _ = bus.physics.read()
        assert np.abs(q - SO101.home).min() > 0.2
        np.testing.assert_allclose(driver.read().q, q, atol=0.02)


def test_a_servo_that_restarted_is_noticed_though_its_joint_stands() -> None:
    """It has no torque any more, and reports no fault."""
    with emulated_so101(Plant(SO101, SO101.home)) as (driver, bus):
        driver.connect()
        driver.enable()
        bus.servos[3].restart()
        states = [driver.read() for _ in range(2 * TORQUE_CHECK)]
        assert states[-1].condition is Condition.ERROR
        driver.stop()
        driver.enable()
        assert bus.servos[3].get("torque")
        states = [driver.read() for _ in range(2 * TORQUE_CHECK)]
        assert states[-1].condition is Condition.READY


def test_a_wild_reading_does_not_make_the_arm_leap() -> None:
    """A goal that is held back is held back at the last goal, not sent to where the joint seems."""
    with emulated_so101(Plant(SO101, SO101.home)) as (driver, bus):
        driver.connect()
        driver.enable()
        start = driver.read().q
        for ticks in (1000, -1000):
            bus.faults.glitches = dict.fromkeys(bus.servos, ticks)
            wild = driver.read().q
            assert np.abs(wild - start).min() > 1
            driver.write(Command(start + 0.01, STILL))
            driver._read_health()  # its answer shows that the goal has arrived
            arrived = np.array([servo.get("goal_position") for servo in bus.servos.values()])
            np.testing.assert_allclose(driver._to_angles(arrived), start, atol=0.01 + 2 * TICK)
            bus.faults.glitches = {}
            driver.read()


def test_a_tick_takes_less_than_a_third_of_its_time_on_the_wire() -> None:
    """Five servos at 1 Mbaud, ten bits per byte."""
    with emulated_so101() as (driver, bus):
        driver.connect()
        driver.enable()
        stay = Command(driver.read().q, STILL)
        before = bus.bytes_carried
        for _ in range(10):
            driver.write(stay)
            driver.read()
        size = (bus.bytes_carried - before) / 10
    read = 8 + 5
    answers = 5 * (6 + 15)
    write = 8 + 5 * (1 + 2)
    assert size == read + answers + write
    assert 10 * size / 1e6 <= driver.capabilities.dt / 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(arm="panda"), "for the arm 'panda', not for 'so101'"),
        (lambda c: c["servos"].pop(), "names the joints shoulder_pan.*so101 has shoulder_pan"),
        (lambda c: c["servos"][0].update(id=2), "id 2 occurs twice"),
        (lambda c: c["servos"][0].update(sign=0), r"servos\[0\].sign"),
        (lambda c: c["servos"][1].pop("zero"), "missing required field `zero`"),
        (lambda c: c["servos"][1].update(shadow=3), "unknown field `shadow`"),
        (lambda c: c["servos"][0].update(zero=100), "shoulder_pan would go from -1152 to 1352"),
        (lambda c: c["servos"][0].update(model="scs0009"), "no servo model 'scs0009' is known"),
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(
    tmp_path: Path, change: Change, message: str
) -> None:
    options = FeetechOptions("nowhere", write_calibration(tmp_path, NOMINAL, change))
    with pytest.raises(ValueError, match=message):
        Feetech(SO101, None, options)


def test_a_missing_port_or_client_names_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="give --port"):
        Feetech(SO101)
    with pytest.raises(OSError, match="nowhere"):
        Feetech(SO101, None, FeetechOptions("nowhere")).connect()
    monkeypatch.setitem(sys.modules, "scservo_sdk", None)  # so that importing it fails
    for module in ("feetech", "feetech_bus"):
        monkeypatch.delitem(sys.modules, f"hw_interface.drivers.{module}")
    with pytest.raises(MissingExtraError, match=r"pip install '/path/to/pliant\[feetech\]'"):
        DRIVERS["feetech"]


def narrow(bus: FeetechEmulator) -> None:
    bus.servos[2].set("highest_position", 3000)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            lambda bus: bus.faults.mute.add(4),
            OSError,
            r"servo 4 \(wrist_flex\) does not answer on .* at 1000000 baud",
        ),
        (lambda bus: bus.servos[5].set("model", 2825), RuntimeError, "model 2825, its calib.* 777"),
        (
            lambda bus: bus.servos[1].set("operating_mode", 1),
            RuntimeError,
            "operating mode 1, .* 0",
        ),
        (
            lambda bus: bus.servos[1].set("angular_resolution", 2),
            RuntimeError,
            "angular resolution",
        ),
        (
            lambda bus: bus.servos[3].set("homing_offset", 1 << 11 | 9),
            RuntimeError,
            r"servo 3 \(elbow_flex\) has the homing offset -9, its calibration 0",
        ),
        (narrow, RuntimeError, r"limits 0 to 3000; the joint moves from 911 to 3185"),
    ],
)
def test_servos_that_are_not_as_calibrated_are_refused(
    monkeypatch: pytest.MonkeyPatch, change: Provocation, kind: type[Exception], message: str
) -> None:
    with emulated_so101() as (driver, bus):
        change(bus)
        if bus.faults.mute:
            monkeypatch.setattr(serial_bus, "REPLY_MARGIN", 30.0)
        with pytest.raises(kind, match=message):
            driver.connect()
        driver.disconnect()
        assert bus.goals == 0


@pytest.mark.parametrize("name", ["goal_position", "goal_velocity", "acceleration", "torque"])
def test_a_write_that_was_lost_is_noticed_before_anything_moves(name: str) -> None:
    with emulated_so101() as (driver, bus):
        driver.connect()
        if name != "torque":
            bus.servos[3].set(name, 77)
        bus.faults.lost_writes.add((3, name))
        message = f"servo 3 cannot be enabled: it has the {name.replace('_', ' ')}"
        with pytest.raises(RuntimeError, match=message):
            driver.enable()
        assert not bus.servos[3].get("torque")
        q = driver.read().q
        driver.write(Command(q + 0.1, STILL))
        assert np.abs(driver.read().q - q).max() < 5e-3


def test_speed_and_torque_are_bounded_by_the_joints_limits() -> None:
    with emulated_so101() as (driver, bus):
        bus.servos[2].set("max_torque", 600)
        driver.connect()
        driver.enable()
        for servo in bus.servos.values():
            assert servo.get("goal_velocity") == np.ceil(3.0 * 4096 / (2 * np.pi))
        limits = [servo.get("torque_limit") for servo in bus.servos.values()]
        assert limits == [1000, 600, 1000, 1000, 1000]


def test_a_position_just_below_zero_is_not_read_as_a_far_one() -> None:
    """Its sign is in bit 15; read without it, the next goal would be at the other end."""
    with emulated_so101() as (driver, bus):
        driver.connect()
        bus.faults.frozen = {1}
        bus.servos[1].set("present_position", 1 << 15 | 4)
        assert driver.read().q[0] == pytest.approx((-4 - 2048) * TICK)
        assert driver._read_health()["present_position"][0] == 0
        bus.faults.frozen = set()


class Rig(BusRig[PacedFeetech]):
    """The controller over the driver over the emulated bus."""

    def __init__(self, driver: PacedFeetech, bus: FeetechEmulator) -> None:
        super().__init__(FAMILY, driver, bus)


@contextmanager
def moving_arm() -> Iterator[Rig]:
    with emulated_so101(Plant(SO101, FAMILY.ready)) as (driver, bus):
        rig = Rig(driver, bus)
        rig.begin()
        rig.act(20)
        assert rig.mode is Mode.RUNNING
        assert np.abs(rig.controller.gate.setpoint.dq).max() > 0.1
        yield rig


def mute(bus: FeetechEmulator) -> None:
    bus.faults.mute = {4}


def corrupt(bus: FeetechEmulator) -> None:
    bus.faults.corrupt = {2}


def silent(bus: FeetechEmulator) -> None:
    bus.faults.silent = True


def late(bus: FeetechEmulator) -> None:
    bus.faults.delay = 1.5e-3 * SHORT  # later than the driver waits, and so in the next tick


def frozen(bus: FeetechEmulator) -> None:
    bus.faults.frozen = {1, 2, 3, 4, 5}


def unplug(bus: FeetechEmulator) -> None:
    bus.close()


def overload(bus: FeetechEmulator) -> None:
    bus.servos[3].fault(OVERLOAD)


def overheat(bus: FeetechEmulator) -> None:
    bus.servos[2].fault(OVERHEATING)


def sag(bus: FeetechEmulator) -> None:
    bus.servos[5].fault(VOLTAGE)


def repair(bus: FeetechEmulator) -> None:
    """End every fault but a closed port."""
    bus.faults.mute = set()
    bus.faults.corrupt = set()
    bus.faults.silent = False
    bus.faults.frozen = set()
    bus.faults.delay = 0.0
    for servo in bus.servos.values():
        if servo.error:
            servo.restart()


STALE = "servos that repeat old positions"
FAULTS: dict[str, tuple[Provocation, Event]] = {
    "a mute servo": (mute, Event.LINK_LOST),
    "disturbed data": (corrupt, Event.LINK_LOST),
    "a silent bus": (silent, Event.LINK_LOST),
    "late answers": (late, Event.LINK_LOST),
    "an overloaded servo": (overload, Event.ARM_ERROR),
    "a servo that is too hot": (overheat, Event.ARM_ERROR),
    "too low a voltage": (sag, Event.ARM_ERROR),
    STALE: (frozen, Event.NOT_TRACKING),
    UNPLUGGED: (unplug, Event.DRIVER_FAILED),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_on_the_bus_latches_and_ends_at_rest(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """After ``clear`` a lasting fault that can be seen at rest is refused; a mended one goes on."""
    provoke, event = FAULTS[name]
    with moving_arm() as rig:
        if event is Event.LINK_LOST:  # elsewhere a busy machine may take its time
            monkeypatch.setattr(serial_bus, "REPLY_MARGIN", SHORT)
        provoke(rig.bus)
        for _ in range(6 if name == STALE else 1):
            rig.act(20)
        assert rig.mode is Mode.FAULT
        assert rig.events == [event]
        rig.come_to_rest()
        assert rig.controller.at_rest
        goals = rig.bus.goals
        rig.act(20)  # a policy that goes on posting moves nothing
        assert rig.bus.goals == goals
        if name == UNPLUGGED:
            return
        rig.pass_time(0.5)
        _, dq, _ = rig.bus.physics.read()
        assert np.abs(dq).max() < 1e-2
        rig.watchdog.clear()
        if name != STALE:
            with pytest.raises(ArmError, match="cannot be enabled"):
                rig.controller.begin_move(FAMILY.ready)
            assert rig.mode is Mode.FAULT
        monkeypatch.setattr(serial_bus, "REPLY_MARGIN", LONG)
        repair(rig.bus)
        rig.watchdog.clear()
        rig.begin()
        rig.act(20)
        assert rig.mode is Mode.RUNNING


def test_one_lost_reading_is_no_fault_and_answers_that_come_twice_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with moving_arm() as rig:
        for provoke in (mute, corrupt):
            monkeypatch.setattr(serial_bus, "REPLY_MARGIN", SHORT)
            provoke(rig.bus)
            rig.ticks(1)
            repair(rig.bus)
            monkeypatch.setattr(serial_bus, "REPLY_MARGIN", LONG)
            rig.ticks(5)
        rig.bus.faults.copies = 2
        rig.ticks(5)
        assert rig.mode is Mode.RUNNING
        assert rig.events == []


def test_a_soft_arm_is_not_lowered_by_a_stop_and_a_start() -> None:
    with emulated_so101(Plant(SO101, SO101.home)) as (driver, bus):
        driver.connect()
        driver.enable()
        for _ in range(100):
            state = driver.read()
        goals = [servo.get("goal_position") for servo in bus.servos.values()]
        sagged = np.abs(state.q - driver._to_angles(np.array(goals)))
        assert sagged.max() > 2 * TICK
        driver.stop()
        driver.enable()
        assert [servo.get("goal_position") for servo in bus.servos.values()] == goals


def test_a_driver_that_only_reads_sends_no_goal() -> None:
    """A servo without torque may have any goal; in some firmware a new one switches torque on."""
    with emulated_so101() as (driver, bus):
        bus.servos[2].set("goal_position", 100)
        driver.connect()
        driver.read()
        driver.disconnect()
        assert bus.goals == 0


def test_the_torque_is_off_once_it_is_said_to_be() -> None:
    with emulated_so101() as (driver, bus):
        driver.connect()
        driver.enable()
        driver.torque_off()
        assert not any(servo.get("torque") for servo in bus.servos.values())
        assert driver.read().condition is Condition.DISABLED


def test_no_goal_follows_once_the_torque_is_off() -> None:
    """The arm sinks away from its goals; a new goal would switch torque on in some firmware."""
    with emulated_so101() as (driver, bus):
        driver.connect()
        driver.enable()
        driver.torque_off()
        bus.servos[2].set("goal_position", 100)
        goals = bus.goals
        driver.disconnect()
        assert bus.goals == goals
