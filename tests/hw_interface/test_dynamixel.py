"""The Dynamixel driver before its emulated bus: units and signs, refusals, and every fault through the real servo."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import emulated
import numpy as np
import pytest
from emulated import VIPERX, Paced

from hw_interface.control.controller import ArmController
from hw_interface.control.watchdog import Event, Mode, WatchdogConfig
from hw_interface.drivers import DRIVERS, dynamixel
from hw_interface.drivers.dynamixel_calibration import read_calibration
from hw_interface.emulators.dynamixel import Bus
from robots.catalog.panda import PANDA
from robots.signals import Command, Condition
from sim.families import FAMILIES
from sim.plant import Plant

FAMILY = FAMILIES["reach_viperx"]()
NOMINAL = json.loads(VIPERX.urdf.with_name("dynamixel.json").read_text())
TICK = 2 * np.pi / 4096  # rad
GONE = "the bus is unplugged"


def written(folder: Path, change: Callable[[dict[str, Any]], Any]) -> str:
    """A calibration file that differs from the maker's."""
    calibration = json.loads(json.dumps(NOMINAL))
    change(calibration)
    path = folder / "calibration.json"
    path.write_text(json.dumps(calibration))
    return str(path)


def mirrored(calibration: dict[str, Any]) -> None:
    calibration["servos"][0]["zero"] = 2030
    calibration["servos"][2].update(sign=-1, zero=1500)
    calibration["servos"][4].update(sign=-1, zero=2200, homing_offset=77)


@pytest.mark.parametrize("mode", ["position", "current"])
def test_angles_are_the_joints_whatever_the_zeros_and_signs(tmp_path: Path, mode: str) -> None:
    file = written(tmp_path, lambda c: (mirrored(c), c.update(mode=mode)))
    plant = Plant(VIPERX)
    with emulated.driven(physics=plant, calibration=file) as (driver, bus):
        driver.connect()
        driver.enable()
        start = plant.read()[0]
        np.testing.assert_allclose(driver.read().q, start, atol=TICK)
        goal = start + np.array([0.2, -0.1, 0.15, -0.2, 0.1, 0.3])
        for _ in range(2):
            driver.write(Command(goal, np.zeros(6)))
            for _ in range(200):
                state = driver.read()
        np.testing.assert_allclose(plant.read()[0], goal, atol=3 * TICK)
        np.testing.assert_allclose(state.q, goal, atol=3 * TICK)
        assert [bus.servos[i].get("goal_position") for i in (1, 4)] == [
            round(2030 + goal[0] / TICK),
            round(1500 - goal[2] / TICK),
        ]
        assert bus.servos[5].get("goal_position") == bus.servos[4].get("goal_position")


def test_speed_and_torque_have_the_joints_sign(tmp_path: Path) -> None:
    plant = Plant(VIPERX)
    with emulated.driven(physics=plant, calibration=written(tmp_path, mirrored)) as (driver, _):
        driver.connect()
        driver.enable()
        driver.write(Command(plant.read()[0] + 0.3, np.zeros(6)))
        for _ in range(5):
            state = driver.read()
        _, dq, tau = plant.read()
        assert (dq > 0.1).all()
        np.testing.assert_allclose(state.dq, dq, atol=0.03)
        np.testing.assert_allclose(state.tau, tau, atol=0.02)


def test_no_goal_is_rounded_past_a_limit() -> None:
    with emulated.driven() as (driver, bus):
        driver.connect()
        driver.enable()
        for q in (VIPERX.limits.q_low, VIPERX.limits.q_high, VIPERX.limits.q_high + 1):
            driver.write(Command(q, np.zeros(6)))
            driver.read()
        assert bus.goals == 4 * 6
        with pytest.raises(ValueError, match="finite"):
            driver.write(Command(np.full(6, np.nan), np.zeros(6)))
        assert bus.goals == 4 * 6


def test_a_tick_of_six_servos_and_their_shadows_fits_three_hundred_times_into_a_second() -> None:
    """At 1 Mbaud, ten bits a byte: what the wire alone allows."""
    with emulated.driven() as (driver, bus):
        driver.connect()
        driver.enable()
        hold, before = Command(driver.read().q, np.zeros(6)), bus.carried
        for _ in range(10):
            driver.read()
            driver.write(hold)
        driver.read()
        size = (bus.carried - before) / 10
    n, shadows = 6, 2
    ask, answer, tell = 14 + n + shadows, 8 + (n + shadows) * (4 + 10), 14 + n * (1 + 4)
    assert abs(size - (ask + answer + tell)) <= (ask + answer) / 10
    assert 10 * (ask + answer + tell) / 1e6 <= driver.dt <= 1 / 300


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.update(arm="panda"), "for the arm 'panda', not for 'viperx'"),
        (lambda c: c["servos"].pop(), "names the joints waist.*viperx has waist"),
        (lambda c: c["servos"][0].update(id=2), "id 2 stands twice"),
        (lambda c: c["servos"][0].update(shadow=3), "id 3 stands twice"),
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
    ],
)
def test_a_calibration_that_does_not_fit_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    options = dynamixel.DynamixelOptions("nowhere", written(tmp_path, change))
    with pytest.raises(ValueError, match=said):
        dynamixel.Dynamixel(VIPERX, None, options)


def test_what_is_no_calibration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give --port"):
        dynamixel.Dynamixel(VIPERX)
    with pytest.raises(ValueError, match=r"no calibration file .*panda/dynamixel.json"):
        read_calibration("", PANDA)
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(ValueError, match=r"c.json: .*truncated"):
        read_calibration(str(tmp_path / "c.json"), VIPERX)


def test_a_missing_client_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DRIVERS._entries, "dynamixel", "no_such_client:Dynamixel")
    with pytest.raises(ImportError, match=r"pip install 'pliant\[dynamixel\]'"):
        DRIVERS["dynamixel"]


@pytest.mark.parametrize(
    ("change", "kind", "said"),
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
    ],
)
def test_servos_that_are_not_as_calibrated_are_refused(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Bus], Any], kind: type[Exception], said: str
) -> None:
    with emulated.driven() as (driver, bus):
        change(bus)
        if bus.faults.mute:
            monkeypatch.setattr(dynamixel, "PATIENCE", 30.0)
        with pytest.raises(kind, match=said):
            driver.connect()
        driver.disconnect()
        assert bus.goals == 0


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match="nowhere"):
        dynamixel.Dynamixel(VIPERX, None, dynamixel.DynamixelOptions("nowhere")).connect()


def test_when_it_leaves_the_servos_hold_and_take_goals_again() -> None:
    with emulated.driven() as (driver, bus):
        driver.connect()
        driver.enable()
        assert bus.servos[1].get("bus_watchdog") == int(VIPERX.limits.deadline / 0.02)
        driver.stop()
        driver.disconnect()
        again = Paced(VIPERX, None, dynamixel.DynamixelOptions(bus.port))
        again.clock = driver.clock
        again.connect()
        assert all(servo.get("torque") for servo in bus.servos.values())
        again.enable()
        assert again.read().condition is Condition.READY
        again.disconnect()


class Desk:
    """The servo over the driver over the emulated bus, tick by tick."""

    def __init__(self, driver: Paced, bus: Bus) -> None:
        self.driver, self.bus, self.seen = driver, bus, list[Event]()
        self.servo = ArmController(
            FAMILY, driver, lambda event, _: self.seen.append(event), WatchdogConfig()
        )
        self.servo.start()
        self.now, self.number = 100.0, 0

    @property
    def mode(self) -> Mode:
        return self.servo.watchdog.mode

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.now += self.driver.dt
            self.servo.tick(self.now)

    def begin(self) -> None:
        self.servo.begin(FAMILY.ready, self.now)
        for _ in range(2000):
            self.ticks(1)
            if not self.servo.going:
                break
        assert self.mode is Mode.IDLE
        self.servo.watchdog.arm(self.now)

    def act(self, ticks: int = 32) -> None:
        self.number += 1
        self.servo.follow(self.number, self.now, np.array([0.5, -1.0, 0.5]))
        self.ticks(ticks)

    def pass_time(self, seconds: float) -> None:
        """At the bus alone."""
        for _ in range(round(seconds / 0.01)):
            self.driver.clock.now += 0.01
            self.bus.pass_time()


@contextmanager
def moving() -> Iterator[Desk]:
    with emulated.driven() as (driver, bus):
        desk = Desk(driver, bus)
        desk.begin()
        desk.act()
        assert desk.mode is Mode.RUNNING
        assert np.abs(desk.servo.gate.setpoint.dq).max() > 0.1
        yield desk
        driver.disconnect()


def mute(bus: Bus) -> None:
    bus.faults.mute = {6}


def corrupt(bus: Bus) -> None:
    bus.faults.corrupt = {2}


def silent(bus: Bus) -> None:
    bus.faults.silent = True


def overload(bus: Bus) -> None:
    bus.servos[4].overload()


def shadow_overload(bus: Bus) -> None:
    bus.servos[3].overload()


def gone(bus: Bus) -> None:
    bus.close()


FAULTS: dict[str, tuple[Callable[[Bus], None], Event]] = {
    "a mute servo": (mute, Event.LINK_LOST),
    "disturbed data": (corrupt, Event.LINK_LOST),
    "a silent bus": (silent, Event.LINK_LOST),
    "an overloaded servo": (overload, Event.ARM_ERROR),
    "an overloaded shadow": (shadow_overload, Event.ARM_ERROR),
    GONE: (gone, Event.DRIVER_FAILED),
}


def lose_patience(monkeypatch: pytest.MonkeyPatch, event: Event) -> None:
    """Where answers stay out for ever; where they come, a busy machine may take its time."""
    if event is Event.LINK_LOST:
        monkeypatch.setattr(dynamixel, "PATIENCE", 20.0)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_on_the_bus_latches_and_ends_at_rest(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    provoke, event = FAULTS[name]
    with moving() as desk:
        lose_patience(monkeypatch, event)
        provoke(desk.bus)
        desk.act()
        assert desk.mode is Mode.FAULT
        assert desk.seen == [event]
        desk.ticks(60)
        assert desk.servo.resting
        came = desk.bus.goals
        desk.act()  # a policy that goes on posting moves nothing
        assert desk.bus.goals == came
        if name != GONE:
            desk.pass_time(1.0)
            assert np.abs(desk.bus.physics.read()[1]).max() < 1e-2
        monkeypatch.setattr(dynamixel, "PATIENCE", 2000.0)


@pytest.mark.parametrize("name", [name for name in FAULTS if name != GONE])
def test_what_lasts_is_refused_after_clear_and_what_was_mended_goes_on(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    provoke, event = FAULTS[name]
    with moving() as desk:
        lose_patience(monkeypatch, event)
        provoke(desk.bus)
        desk.act()
        desk.ticks(60)
        desk.pass_time(0.5)
        desk.servo.watchdog.clear()
        with pytest.raises(ValueError, match="cannot be enabled"):
            desk.servo.begin(FAMILY.ready, desk.now)
        assert desk.mode is Mode.FAULT
        monkeypatch.setattr(dynamixel, "PATIENCE", 2000.0)
        desk.bus.faults.mute, desk.bus.faults.corrupt, desk.bus.faults.silent = set(), set(), False
        for servo in desk.bus.servos.values():
            if servo.get("hardware_error"):
                servo.reboot()
        desk.servo.watchdog.clear()
        desk.begin()
        desk.act()
        assert desk.mode is Mode.RUNNING


def test_one_lost_reading_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with moving() as desk:
        for provoke in (mute, corrupt):
            monkeypatch.setattr(dynamixel, "PATIENCE", 20.0)
            provoke(desk.bus)
            desk.ticks(1)
            desk.bus.faults.mute, desk.bus.faults.corrupt = set(), set()
            monkeypatch.setattr(dynamixel, "PATIENCE", 2000.0)
            desk.ticks(5)
        assert desk.mode is Mode.RUNNING
        assert desk.seen == []


def test_a_servo_process_that_slept_too_long_finds_the_bus_watchdog_tripped() -> None:
    with moving() as desk:
        desk.driver._health()  # only now has the bus heard the last goal
        desk.pass_time(VIPERX.limits.deadline)
        desk.driver._spoke -= (
            VIPERX.limits.deadline
        )  # it is the wall's time that the driver goes by
        desk.act()
        assert desk.seen == [Event.ARM_ERROR]
        desk.ticks(60)
        desk.servo.watchdog.clear()
        desk.begin()
        assert desk.mode is Mode.ARMED


def test_an_arm_that_nobody_writes_to_any_more_stops_by_itself() -> None:
    """As when the servo process was killed: the last goal lies ahead, and the bus falls silent."""
    with emulated.driven() as (driver, bus):
        driver.connect()
        driver.enable()
        driver.read()
        goal = VIPERX.home + np.array([1.5, 0, 0, 0, 0, 0])
        driver.write(Command(goal, np.zeros(6)))
        driver._health()
        for _ in range(100):
            driver.clock.now += 0.01
            bus.pass_time()
        assert bus.servos[1].tripped
        q, dq, _ = bus.physics.read()
        assert 0.1 < q[0] < 1.0
        assert np.abs(dq).max() < 1e-2
