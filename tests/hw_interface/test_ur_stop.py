"""What a Universal Robots driver sends last, and that nothing is sent after it."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from emulated_ur import Remote, patient_driver, put_wall
from test_ur import deafen, driven_ur, end_program, run_program, see, wait_until

from hw_interface.control.client import QUIT_TIMEOUT
from hw_interface.control.retreat import DURATION, SETTLING
from hw_interface.drivers.ur_modes import RuntimeState
from hw_interface.emulators.rtde import Value
from hw_interface.emulators.ur import UrEmulator
from robots.driver import REACHED
from robots.signals import Array, Command

pytest.importorskip("rtde_control", reason="needs the extra 'ur'")

from hw_interface.drivers import ur, ur_link, ur_rest
from hw_interface.drivers.ur import Ur

LAG = 150  # cycles of the controller
LATER = 1.5  # s in which a call that was left behind would have gone on


@pytest.fixture(autouse=True)
def _patient() -> Iterator[None]:
    with patient_driver():
        yield


def never_ready(emulator: UrEmulator) -> None:
    emulator.controller.never_ready = True


def lag(emulator: UrEmulator) -> None:
    emulator.faults.lag = LAG


def hear_again(emulator: UrEmulator) -> None:
    emulator.faults.deaf = False


def uploads(emulator: UrEmulator) -> int:
    return emulator.controller.uploads


def program_has_ended(remote: Remote) -> bool:
    return remote.do(see).runtime_state is RuntimeState.STOPPED


def follow(driver: Ur, goal: Array) -> None:
    """Send one target until it has arrived, a hundred ticks."""
    for _ in range(100):
        driver.write(Command(goal, np.zeros(6)))
        driver.read()


def raised_waist(q: Array, angle: float) -> Array:
    goal = q.copy()
    goal[0] += angle
    return goal


def report_elsewhere(emulator: UrEmulator) -> None:
    """From now on the positions that are sent are wrong by 1 rad."""
    controller = emulator.controller
    plain = controller.variables

    def variables() -> dict[str, Value]:
        shown = plain()
        q = np.array(shown["actual_q"]) + 1.0
        return {**shown, "actual_q": q.tolist()}

    controller.variables = variables  # type: ignore[method-assign]


def test_a_stop_does_not_follow_positions_that_cannot_be() -> None:
    """Releasing a contact, it would move the arm by half a radian past the gate."""
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        q = driver.read().q
        follow(driver, q)
        remote.do(report_elsewhere)
        for _ in range(10):
            driver.read()
        driver.stop()
        wait_until(lambda: program_has_ended(remote))
        assert np.abs(remote.do(see).q - q).max() < 0.01


def test_a_program_that_is_never_ready_costs_one_bounded_wait_and_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client waits for it for four seconds in each call."""
    monkeypatch.setattr(ur_link, "CALL_PATIENCE", 0.2)
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        stay = Command(driver.read().q, np.zeros(6))
        remote.do(never_ready)
        time.sleep(0.2)
        begin = time.monotonic()
        for _ in range(3):
            with pytest.raises(OSError, match=r"took more than 0.2 s|was lost"):
                driver.write(stay)
        assert time.monotonic() - begin < 2
        goals = remote.do(see).goals
        driver.stop()
        wait_until(lambda: program_has_ended(remote))
        with pytest.raises(OSError, match=r"was lost|is broken"):
            driver.enable()
        driver.disconnect()
        with pytest.raises(OSError, match="start the command again"):
            driver.connect()
        assert remote.do(see).goals == goals


def test_a_new_program_does_not_follow_the_last_target_of_the_one_before() -> None:
    """That one was ended on its way; its target is still in the register."""
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        goal = raised_waist(driver.read().q, 3.0)
        driver.write(Command(goal, np.zeros(6)))
        wait_until(lambda: bool(np.abs(remote.do(see).dq).max() > 0.3))
        remote.do(end_program)
        wait_until(lambda: bool(np.abs(remote.do(see).dq).max() < 5e-3))
        before = remote.do(see).q
        assert np.abs(goal - before).max() > 0.3
        driver.stop()
        driver.enable()
        time.sleep(0.5)
        assert np.abs(remote.do(see).q - before).max() < 1e-3


def test_the_two_connections_of_the_client_need_not_agree_at_once() -> None:
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        driver.stop()
        wait_until(lambda: program_has_ended(remote))
        driver._stopping.finish()
        remote.do(lag)
        driver.enable()
        q = driver.read().q
        driver.write(Command(q, np.zeros(6)))
        wait_until(lambda: remote.do(see).goals == 6)


def test_a_stop_that_was_left_behind_sends_nothing_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It hangs in the client until the controller hears again, and another program runs there."""
    monkeypatch.setattr(ur, "STOP_PATIENCE", 0.2)
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        driver.write(Command(driver.read().q, np.zeros(6)))
        wait_until(lambda: remote.do(see).goals == 6)
        remote.do(deafen)
        driver.stop()
        driver.disconnect()
        wait_until(lambda: program_has_ended(remote))
        remote.do(run_program)
        remote.do(hear_again)
        deadline = time.monotonic() + LATER
        while time.monotonic() < deadline:
            seen = remote.do(see)
            assert seen.runtime_state is RuntimeState.PLAYING
            assert seen.goals == 6
            assert remote.do(uploads) == 2
            time.sleep(0.02)
        with pytest.raises(OSError, match="start the command again"):
            driver.connect()


def test_a_joint_that_presses_is_let_go_of_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        start = driver.read().q
        remote.do(put_wall)
        follow(driver, raised_waist(start, 0.1))
        sent: list[Array] = []
        servo = driver.link.servo

        def record(goal: Array, lookahead: float, gain: float) -> bool:
            sent.append(goal)
            return servo(goal, lookahead, gain)

        monkeypatch.setattr(driver.link, "servo", record)
        pressing = np.array(driver.link.measured.getTargetQ())
        assert pressing[0] - start[0] > 0.09
        driver.stop()
        wait_until(lambda: program_has_ended(remote))
        way = np.array([pressing, *sent])
        assert np.abs(np.diff(way, axis=0)).max() < 0.3 / ur_link.FREQUENCY + 1e-6
        assert abs(way[-1, 0] - start[0]) < ur_rest.PRESSES
        assert abs(driver.read().q[0] - driver.link.measured.getTargetQ()[0]) < ur_rest.PRESSES


def test_no_path_sends_a_target_that_is_not_finite() -> None:
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        with pytest.raises(ValueError, match="finite"):
            driver.link.servo(np.full(6, np.inf), ur_rest.LOOKAHEAD, ur_rest.GAIN)
        assert remote.do(see).goals == 0


def test_a_reading_says_what_the_controller_pulls_towards_where_that_is_near() -> None:
    with driven_ur() as (driver, remote):
        driver.connect()
        driver.enable()
        start = driver.read().q
        remote.do(put_wall)
        follow(driver, raised_waist(start, REACHED / 2))
        target = driver.read().target
        assert target is not None
        assert abs(target[0] - start[0] - REACHED / 2) < 0.01
        follow(driver, raised_waist(start, 2 * REACHED))
        assert driver.read().target is None


class SlowClient:
    """A connection that takes its time to close."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def disconnect(self) -> None:
        time.sleep(self._seconds)

    def isConnected(self) -> bool:  # noqa: N802
        return True


def test_all_connections_together_have_one_patience_to_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ur_link, "CLOSE_PATIENCE", 0.5)
    link = SimpleNamespace(
        dashboard=SlowClient(0.4), measured=SlowClient(0.8), _control=SlowClient(1.2)
    )
    link.is_lost = False
    link._streamer = SimpleNamespace(close=list)
    with pytest.raises(TimeoutError):
        ur_link.UrLink.close(link, keep_commands=False)


def test_the_policy_waits_for_as_long_as_a_driver_may_take_to_close() -> None:
    at_rest = SETTLING + DURATION
    assert at_rest + ur.STOP_PATIENCE + ur_link.CLOSE_PATIENCE < QUIT_TIMEOUT
