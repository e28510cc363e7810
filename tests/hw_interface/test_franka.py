"""The driver of a Franka Research 3: refusals, and its emulated controller's reflex."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from emulated_franka import FR3, emulated_franka, patient_driver
from emulated_ur import Remote

from hw_interface.drivers import DRIVERS
from hw_interface.drivers.franka_modes import RobotMode, condition_of, describe_stop
from robots.catalog import ARMS
from robots.driver import Driver
from robots.errors import BadArgumentError
from robots.safety import SafetyGate
from robots.signals import Array, Command, Condition


def has_client() -> bool:
    return importlib.util.find_spec("franky") is not None


needs_client = pytest.mark.skipif(not has_client(), reason="needs the extra 'franka'")


@contextmanager
def enabled_driver() -> Iterator[tuple[Driver, Remote]]:
    """A driver that takes commands, and its controller; the test disconnects."""
    kind = DRIVERS["franka"]
    with patient_driver(), emulated_franka() as remote:
        driver = kind(FR3, None, kind.Options(remote.address))
        driver.connect()
        driver.enable()
        yield driver, remote


@pytest.mark.parametrize(
    ("mode", "condition"),
    [
        (RobotMode.IDLE, Condition.READY),
        (RobotMode.MOVE, Condition.READY),
        (RobotMode.USER_STOPPED, Condition.EXTERNAL_STOP),
        (RobotMode.GUIDING, Condition.EXTERNAL_STOP),
        (RobotMode.REFLEX, Condition.ERROR),
        (RobotMode.OTHER, Condition.ERROR),
    ],
)
def test_only_a_mode_in_which_the_arm_follows_is_ready(
    mode: RobotMode, condition: Condition
) -> None:
    assert condition_of(mode) is condition


def test_a_stop_is_described_with_its_error_and_its_remedy() -> None:
    text = describe_stop(RobotMode.REFLEX, "communication_constraints_violation")
    assert "REFLEX, communication_constraints_violation" in text
    assert "recover=true" in text


@needs_client
@pytest.mark.parametrize(
    ("arm", "port", "reason"),
    [
        ("fr3", "", "give --port"),
        ("panda", "127.0.0.1", "Research 3 only"),
        ("ur5e", "127.0.0.1", "not ur5e"),
    ],
)
def test_what_cannot_be_driven_is_refused(arm: str, port: str, reason: str) -> None:
    kind = DRIVERS["franka"]
    with pytest.raises(BadArgumentError, match=reason):
        kind(ARMS[arm], None, kind.Options(port))


def cause_reflex(server: Any) -> None:
    from hw_interface.emulators.franka_server import COMMUNICATION

    server.reflex(COMMUNICATION)


def press_stop(server: Any) -> None:
    server.user_stop(True)


@needs_client
def test_an_arm_that_is_faster_than_its_client_is_refused() -> None:
    """The client would fall behind its targets, up to a fault in an ordinary motion."""
    fast = replace(FR3, limits=replace(FR3.limits, ddq=np.full(7, 10.0)))
    kind = DRIVERS["franka"]
    with patient_driver(), emulated_franka() as remote:
        driver = kind(fast, None, kind.Options(remote.address))
        with pytest.raises(RuntimeError, match=r"accelerations up to .* 7\.5"):
            driver.connect()
        driver.disconnect()


@needs_client
def test_a_reflex_in_motion_can_be_cleared() -> None:
    """While it lasts, a stopped driver reports no error: its ``enable`` ends it."""
    with enabled_driver() as (driver, remote):
        remote.do(cause_reflex)
        for _ in range(5):
            state = driver.read()
        assert state.condition is Condition.ERROR
        driver.stop()
        assert driver.read().condition is Condition.DISABLED
        driver.enable()
        assert driver.read().condition is Condition.READY
        driver.disconnect()


@needs_client
def test_a_reflex_of_an_earlier_session_is_ended_only_by_the_operators_word() -> None:
    kind = DRIVERS["franka"]
    with patient_driver(), emulated_franka() as remote:
        remote.do(cause_reflex)
        driver = kind(FR3, None, kind.Options(remote.address))
        with pytest.raises(RuntimeError, match="communication_constraints_violation"):
            driver.connect()
        driver.disconnect()
        permitted = kind(FR3, None, kind.Options(remote.address, recover=True))
        permitted.connect()
        permitted.enable()
        assert permitted.read().condition is Condition.READY
        permitted.disconnect()


@needs_client
def test_a_user_stop_is_reported_and_refuses_to_enable() -> None:
    with enabled_driver() as (driver, remote):
        remote.do(press_stop)
        driver.read()
        assert driver.read().condition is Condition.EXTERNAL_STOP
        driver.stop()
        with pytest.raises(RuntimeError, match="activation device"):
            driver.enable()
        driver.disconnect()


def repeat_old_states(server: Any) -> None:
    """From now on under new stamps."""
    packed = server.state.pack_state()
    server._get_state_bytes = lambda: packed


@needs_client
def test_an_old_state_under_new_stamps_is_a_lost_reading_and_moves_nothing() -> None:
    """Else the desired position would seem to lag behind, and the arm be driven on and on."""
    with enabled_driver() as (driver, remote):
        setpoint = driver.read().q
        speed = np.zeros(7)
        speed[-1] = 0.2
        for tick in range(60):
            if tick == 30:
                remote.do(repeat_old_states)
            setpoint = setpoint + driver.capabilities.dt * speed
            driver.write(Command(setpoint, speed))
            state = driver.read()
        assert driver.read().stamp == state.stamp
        driver.disconnect()
        moved = remote.do(desired_position) - setpoint
        assert np.abs(moved).max() < 0.05


def desired_position(server: Any) -> Any:
    return server.desired


@needs_client
def test_a_first_target_away_from_the_arm_is_refused_and_nothing_moves() -> None:
    with enabled_driver() as (driver, _):
        q = driver.read().q
        with pytest.raises(RuntimeError, match=r"0\.20 rad ahead"):
            driver.write(Command(q + 0.2, np.zeros(7)))
        driver.read()
        assert np.abs(driver.read().q - q).max() < 1e-3
        driver.disconnect()


@needs_client
def test_an_arm_that_is_asked_for_all_of_its_acceleration_does_not_swing() -> None:
    """The gate turns its setpoint back again and again, and the client follows."""
    with enabled_driver() as (driver, _):
        gate = SafetyGate(FR3.limits, driver.capabilities.dt, 1)
        gate.reset(driver.read().q[None])
        request = np.zeros((1, 7))
        lags = []
        for tick in range(600):
            request[0, -1] = 0.5 if tick // 40 % 2 else -0.5
            setpoint, _ = gate(request)
            driver.write(Command(setpoint.q[0], setpoint.dq[0]))
            lags.append(abs(driver.read().q[-1] - setpoint.q[0, -1]))
        driver.disconnect()
        assert np.quantile(lags, 0.9) < 0.01  # a busy machine delays some


@needs_client
def test_the_client_gets_more_than_the_gate_uses_as_far_as_it_can() -> None:
    from hw_interface.drivers.franka_link import set_limit

    given: list[Array] = []
    limit = SimpleNamespace(max=[10.0, 7.5], set=given.append)
    set_limit(limit, np.array([4.0, 5.0]), "accelerations", 2.0)
    np.testing.assert_array_equal(given, [[8.0, 7.5]])
    with pytest.raises(RuntimeError, match="plans with accelerations up to"):
        set_limit(limit, np.array([4.0, 8.0]), "accelerations", 2.0)


def keep_load(server: Any) -> None:
    server.robot.is_fixed = True


def load_of(server: Any) -> tuple[float, ...]:
    return (server.robot.mass, *server.robot.center)


@needs_client
def test_a_payload_is_set_when_the_arm_is_enabled_and_read_back() -> None:
    kind = DRIVERS["franka"]
    with pytest.raises(BadArgumentError, match="fr3 carries 0 to 3 kg"):
        kind(FR3, None, kind.Options("127.0.0.1", payload=(3.5, 0.0, 0.0, 0.0)))
    with patient_driver(), emulated_franka() as remote:
        driver = kind(FR3, None, kind.Options(remote.address, payload=(0.8, 0.01, 0.0, 0.05)))
        driver.connect()
        assert remote.do(load_of)[0] == 0.0
        driver.enable()
        assert remote.do(load_of) == pytest.approx((0.8, 0.01, 0.0, 0.05))
        driver.disconnect()
        remote.do(keep_load)
        other = kind(FR3, None, kind.Options(remote.address, payload=(1.0, 0.0, 0.0, 0.0)))
        other.connect()
        with pytest.raises(RuntimeError, match=r"did not take the payload: it has \[0\.8"):
            other.enable()
        other.disconnect()
