"""The driver of Universal Robots arms over an emulated controller, by the client library ur_rtde.

Refusals, and every fault through the real controller of the control process.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pytest
from driver_rig import DriverRig
from emulated_ur import UR5E, Remote, emulated_ur, patient_driver

from hw_interface.control.events import Event, Mode
from hw_interface.drivers import DRIVERS
from hw_interface.drivers.payload import Payload
from hw_interface.drivers.ur_modes import RobotMode, RuntimeState, SafetyMode
from hw_interface.drivers.ur_options import UrOptions
from hw_interface.emulators.ur import UrEmulator
from hw_interface.emulators.ur_program import Order
from robots.catalog import ARMS
from robots.errors import ArmError, BadArgumentError, MissingExtraError
from robots.signals import Array, Command, Condition
from sim.families.reach import Reach

pytest.importorskip("rtde_control", reason="needs the extra 'ur'")

from hw_interface.drivers import ur, ur_link
from hw_interface.drivers.ur import Ur

FAMILY = Reach(UR5E)
LONG = 5.0  # s, for a measurement on a busy machine

Provocation = Callable[[UrEmulator], None]


class Seen(NamedTuple):
    """What a test asks of the emulated controller."""

    goals: int
    q: Array
    dq: Array
    runtime_state: RuntimeState
    safety_mode: SafetyMode
    robot_mode: RobotMode
    order: int
    messages: list[str]


def see(emulator: UrEmulator) -> Seen:
    controller = emulator.controller
    q, dq, _ = controller.state
    return Seen(
        emulator.goals,
        q,
        dq,
        controller.runtime_state,
        controller.safety_mode,
        controller.robot_mode,
        controller.order,
        controller.messages,
    )


def protective_stop(emulator: UrEmulator) -> None:
    emulator.controller.protective_stop()


def emergency_stop(emulator: UrEmulator) -> None:
    emulator.controller.emergency_stop()


def release(emulator: UrEmulator) -> None:
    emulator.controller.release()


def release_brakes(emulator: UrEmulator) -> None:
    emulator.controller.release_brakes()


def switch_off(emulator: UrEmulator) -> None:
    emulator.controller.power_off()


def slow_down(emulator: UrEmulator) -> None:
    emulator.controller.slider = 0.5


def full_speed(emulator: UrEmulator) -> None:
    emulator.controller.slider = 1.0


def end_program(emulator: UrEmulator) -> None:
    emulator.controller.stop_program()


def run_program(emulator: UrEmulator) -> None:
    emulator.controller.upload("def palletize():\nend\n")


def local_control(emulator: UrEmulator) -> None:
    emulator.controller.remote_control = False


def be_another_arm(emulator: UrEmulator) -> None:
    emulator.controller.arm = ARMS["viperx"]


def refuse_watchdog(emulator: UrEmulator) -> None:
    emulator.controller.refuses_watchdog = True


def freeze(emulator: UrEmulator) -> None:
    emulator.faults.frozen = True


def deafen(emulator: UrEmulator) -> None:
    emulator.faults.deaf = True


def mend_link(emulator: UrEmulator) -> None:
    emulator.faults.frozen = False


def press_on(emulator: UrEmulator) -> None:
    """Something pushes the tool up with 50 N."""
    emulator.controller.force[:3] = [10.0, 20.0, 50.0]


def press_no_more(emulator: UrEmulator) -> None:
    emulator.controller.force[:] = 0.0


@pytest.fixture(autouse=True)
def _patient() -> Iterator[None]:
    with patient_driver(LONG):
        yield


@contextmanager
def driven_ur() -> Iterator[tuple[Ur, Remote]]:
    """A driver that is not yet connected, and its controller."""
    with emulated_ur() as remote:
        driver = Ur(UR5E, None, UrOptions(remote.address))
        try:
            yield driver, remote
        finally:
            driver.disconnect()


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Rig(DriverRig[Ur]):
    """The controller over the driver over the emulated arm, one tick per measurement."""

    def __init__(self, driver: Ur, remote: Remote) -> None:
        self.remote = remote
        super().__init__(FAMILY, driver)

    def begin(self, longest: int = 3000) -> None:
        super().begin(longest)

    def go_on(self) -> None:
        """Clear, and begin from where the arm is."""
        before = self.remote.do(see).q
        self.watchdog.clear()
        self.controller.begin_move(FAMILY.ready)
        np.testing.assert_allclose(self.controller.gate.setpoint.q[0], before, atol=1e-3)
        self.begin()
        self.act()

    def act(self, ticks: int = 50) -> None:
        super().act(ticks)

    def come_to_rest(self) -> None:
        for _ in range(3000):
            self.ticks(1)
            if self.controller.at_rest:
                break
        assert self.controller.at_rest
        wait_until(self.stands)

    def program_has_ended(self) -> bool:
        return self.remote.do(see).runtime_state is RuntimeState.STOPPED

    def stands(self) -> bool:
        return bool(np.abs(self.remote.do(see).dq).max() < 5e-3)


@contextmanager
def moving_arm() -> Iterator[Rig]:
    with driven_ur() as (driver, remote):
        rig = Rig(driver, remote)
        rig.begin()
        rig.act()
        assert rig.mode is Mode.RUNNING
        assert np.abs(rig.controller.gate.setpoint.dq).max() > 0.1
        yield rig


@pytest.mark.parametrize(
    ("options", "arm", "message"),
    [
        (UrOptions(), "ur5e", "give --port, such as 192"),
        (UrOptions("10.0.0.1"), "panda", "drives arms of Universal Robots, not panda"),
        (UrOptions("10.0.0.1", lookahead=0.01), "ur5e", r"lookahead is 0.03 to 0.2 s, got 0.01"),
        (UrOptions("10.0.0.1", gain=np.nan), "ur5e", "gain is 100 to 2000, got nan"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: UrOptions, arm: str, message: str) -> None:
    with pytest.raises(BadArgumentError, match=message):
        Ur(ARMS[arm], None, options)


def test_a_missing_client_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtde_control", None)  # so that importing it fails
    for module in ("ur", "ur_link", "ur_rest", "ur_checks"):
        monkeypatch.delitem(sys.modules, f"hw_interface.drivers.{module}")
    with pytest.raises(MissingExtraError, match=r"pip install '/path/to/pliant\[ur\]'"):
        DRIVERS["ur"]


def test_an_address_where_no_controller_answers_is_named() -> None:
    for address in ("127.0.0.99", "no.such.host"):
        driver = Ur(UR5E, None, UrOptions(address))
        with pytest.raises(OSError, match=f"no Universal Robots controller .* {address}, port 2"):
            driver.connect()
        driver.disconnect()


REFUSALS = {
    "a protective stop": (protective_stop, "PROTECTIVE_STOP.*release the stop at the pendant"),
    "an emergency stop": (emergency_stop, "ROBOT_EMERGENCY_STOP.*release the button"),
    "motors that are off": (switch_off, "POWER_OFF.*switch the arm on and release its brakes"),
    "half speed": (slow_down, "speed slider is at 50%.*set it to 100 %"),
    "local control": (local_control, "choose Remote Control"),
    "another arm": (be_another_arm, "is a VIPERX, not a ur5e"),
    "a program": (run_program, "a program runs on the controller: stop it"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_arm_that_is_not_ready_is_refused_with_what_to_do(name: str) -> None:
    provoke, message = REFUSALS[name]
    with driven_ur() as (driver, remote):
        remote.do(provoke)
        with pytest.raises(RuntimeError, match=message):
            driver.connect()
        assert remote.do(see).goals == 0


def test_without_its_watchdog_the_arm_is_not_enabled() -> None:
    with driven_ur() as (driver, remote):
        driver.connect()
        remote.do(refuse_watchdog)
        with pytest.raises(RuntimeError, match="did not arm its watchdog"):
            driver.enable()
        q = driver.read().q
        driver.write(Command(q + 0.1, np.zeros(6)))
        assert driver.read().condition is Condition.DISABLED
        seen = remote.do(see)
        assert seen.runtime_state is RuntimeState.STOPPED
        assert seen.goals == 0


def test_no_target_that_is_not_finite_is_sent() -> None:
    """The client itself would pass it on."""
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        q = driver.read().q
        for bad in (np.nan, np.inf):
            with pytest.raises(ValueError, match="finite"):
                driver.write(Command(np.where(np.arange(6) == 2, bad, q), np.zeros(6)))
        assert remote.do(see).goals == 0
        driver.write(Command(q, np.zeros(6)))
        wait_until(lambda: remote.do(see).goals == 6)


def test_a_program_that_takes_no_targets_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> bool:
        return False

    with driven_ur() as (driver, _):
        driver.connect()
        driver.enable()
        stay = Command(driver.read().q, np.zeros(6))
        monkeypatch.setattr(driver.link, "servo", refuse)
        with pytest.raises(RuntimeError, match="takes no commands"):  # noqa: PT012
            for _ in range(ur.MAX_REFUSALS):
                driver.write(stay)


def test_what_the_tool_feels_is_turned_into_what_it_exerts_in_our_frame() -> None:
    with driven_ur() as (driver, remote):
        remote.do(press_on)
        driver.connect()
        np.testing.assert_allclose(driver.read().wrench[:3], [10.0, 20.0, -50.0])


class Fault(NamedTuple):
    """A fault in motion, what follows, and what must happen before the arm can go on."""

    provoke: Provocation
    mode: Mode
    event: Event
    mend: list[Provocation]


FAULTS = {
    "a protective stop": Fault(protective_stop, Mode.EXTERNAL_STOP, Event.ARM_STOPPED, [release]),
    "an emergency stop": Fault(
        emergency_stop, Mode.EXTERNAL_STOP, Event.ARM_STOPPED, [release, release_brakes]
    ),
    "motors that are switched off": Fault(
        switch_off, Mode.FAULT, Event.ARM_ERROR, [release_brakes]
    ),
    "half speed": Fault(slow_down, Mode.FAULT, Event.ARM_ERROR, [full_speed]),
    "a program that was stopped": Fault(end_program, Mode.FAULT, Event.ARM_ERROR, []),
    "a link that repeats an old state": Fault(freeze, Mode.FAULT, Event.LINK_LOST, [mend_link]),
    "a tool that presses": Fault(press_on, Mode.FAULT, Event.FORCE_LIMIT, []),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_latches_ends_at_rest_and_goes_on_once_it_is_mended(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fault = FAULTS[name]
    with moving_arm() as rig:
        rig.remote.do(fault.provoke)
        if fault.event is Event.LINK_LOST:
            monkeypatch.setattr(ur, "PATIENCE", 0.05)
        rig.act()
        assert rig.mode is fault.mode
        assert rig.events == [fault.event]
        rig.come_to_rest()
        goals = rig.remote.do(see).goals
        rig.act(20)  # a policy that goes on posting moves nothing
        assert rig.remote.do(see).goals == goals
        wait_until(rig.program_has_ended)
        seen = rig.remote.do(see)
        if fault.event is Event.LINK_LOST:
            assert seen.order == Order.SERVO_J, "nothing is sent over a broken link"
        if fault.mode is Mode.EXTERNAL_STOP:
            assert seen.messages == [], "the driver ends the program, not the watchdog"
        for step in fault.mend:
            rig.watchdog.clear()
            with pytest.raises(ArmError, match=r"cannot be enabled|may not move yet"):
                rig.controller.begin_move(FAMILY.ready)
            rig.remote.do(step)
        monkeypatch.setattr(ur, "PATIENCE", LONG)
        rig.remote.do(press_no_more)
        if fault.event is Event.LINK_LOST:
            rig.watchdog.clear()
            with pytest.raises(ArmError, match=r"was lost: .* start the command again"):
                rig.controller.begin_move(FAMILY.ready)
            return
        rig.go_on()
        assert rig.mode is Mode.RUNNING


def test_an_arm_that_gets_no_more_commands_stops_by_itself() -> None:
    """As when the control process was killed: the last target lies ahead."""
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        goal = driver.read().q + np.array([1.0, 0, 0, 0, 0, 0])
        driver.write(Command(goal, np.zeros(6)))
        wait_until(lambda: remote.do(see).runtime_state is RuntimeState.STOPPED)
        seen = remote.do(see)
        assert "watchdog" in seen.messages[-1]
        wait_until(lambda: driver.read().condition is Condition.ERROR)
        driver.write(Command(goal + 0.1, np.zeros(6)))
        assert remote.do(see).goals == seen.goals


def test_a_controller_that_does_not_hear_hangs_neither_stop_nor_disconnect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ur, "STOP_PATIENCE", 0.2)
    monkeypatch.setattr(ur_link, "CLOSE_PATIENCE", 0.2)
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        driver.write(Command(driver.read().q, np.zeros(6)))
        wait_until(lambda: remote.do(see).goals == 6)
        remote.do(deafen)
        begin = time.monotonic()
        driver.stop()
        driver.disconnect()
        assert time.monotonic() - begin < 10
        wait_until(lambda: remote.do(see).runtime_state is RuntimeState.STOPPED)
        assert "watchdog" in remote.do(see).messages[-1]


def test_motors_that_were_switched_off_are_switched_on_at_the_pendant_alone() -> None:
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        driver.torque_off()
        assert remote.do(see).robot_mode is RobotMode.POWER_OFF
        assert driver.read().condition is Condition.DISABLED
        with pytest.raises(RuntimeError, match="release its brakes at the pendant"):
            driver.enable()
        remote.do(release_brakes)
        wait_until(lambda: driver.link.measured.getRobotMode() == RobotMode.RUNNING)
        driver.enable()
        assert driver.read().condition is Condition.READY


def test_a_second_driver_on_one_arm_is_refused_before_a_byte_is_sent() -> None:
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        second = Ur(UR5E, None, UrOptions(remote.address))
        with pytest.raises(ArmError, match=re.escape(f"{remote.address} is in use by process")):
            second.connect()
        second.disconnect()
        assert driver.read().condition is Condition.READY


def keep_payload(emulator: UrEmulator) -> None:
    emulator.controller.keeps_payload = True


def payload_of(emulator: UrEmulator) -> list[float]:
    return emulator.controller.payload


def test_a_payload_is_set_when_the_arm_is_enabled_and_read_back() -> None:
    with patient_driver(), emulated_ur() as remote:
        driver = Ur(UR5E, None, UrOptions(remote.address, payload=(1.2, 0.0, 0.01, 0.06)))
        driver.connect()
        assert remote.do(payload_of) == [0.0, 0.0, 0.0, 0.0]
        driver.enable()
        assert remote.do(payload_of) == pytest.approx([1.2, 0.0, 0.01, 0.06])
        driver.stop()
        remote.do(keep_payload)
        driver._payload = Payload(2.0, (0.0, 0.0, 0.0))
        with pytest.raises(RuntimeError, match=r"did not take the payload: it has \[1\.2"):
            driver.enable()
        driver.disconnect()
