"""What every driver promises the servo, for each registered one: a new driver is tested by being registered."""

from collections.abc import Iterator

import emulated
import numpy as np
import pytest

from hw_interface.drivers import DRIVERS
from robots.driver import Driver
from robots.safety import SafetyGate
from robots.signals import Command, Condition
from sim.families import FAMILIES

FAMILY = FAMILIES["slide"]()


@pytest.fixture(params=sorted(DRIVERS))
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    if request.param == "dynamixel":
        with emulated.driven() as (made, _):
            made.connect()
            yield made
            made.disconnect()
        return
    kind = DRIVERS[request.param]
    twin: Driver = kind(FAMILY.body, FAMILY.scene, kind.Options())
    twin.connect()
    yield twin
    twin.disconnect()


def swing(driver: Driver, ticks: int) -> float:
    """Move the last joints through the gate and back; the largest distance between setpoint and reading."""
    gate = SafetyGate(driver.arm.limits, driver.dt, 1)
    gate.reset(driver.read().q[None])
    worst = 0.0
    for k in range(ticks):
        wish = np.zeros((1, len(driver.arm.joints)))
        wish[0, -2:] = 0.4 * np.sin(2 * np.pi * k / ticks)
        setpoint, _ = gate(wish)
        driver.write(Command(setpoint.q[0], setpoint.dq[0]))
        worst = max(worst, float(np.abs(driver.read().q - setpoint.q[0]).max()))
    return worst


def test_a_reading_is_whole_finite_and_ready_once_enabled(driver: Driver) -> None:
    driver.enable()
    state = driver.read()
    assert state.condition is Condition.READY
    for value in (state.q, state.dq, state.tau):
        assert value.shape == (len(driver.arm.joints),)
        assert np.isfinite(value).all()
    assert (state.q >= driver.arm.limits.q_low).all()
    assert (state.q <= driver.arm.limits.q_high).all()


def test_the_stamp_moves_with_every_reading_told_or_not(driver: Driver) -> None:
    """A watchdog that saw it stand still would take the link for dead."""
    stamps = [driver.read().stamp for _ in range(3)]
    driver.enable()
    hold = Command(driver.read().q, np.zeros(len(driver.arm.joints)))
    for _ in range(3):
        driver.write(hold)
        stamps.append(driver.read().stamp)
    driver.stop()
    stamps += [driver.read().stamp for _ in range(3)]
    assert (np.diff(stamps) > 0).all()


def test_a_reading_does_not_change_once_it_was_given(driver: Driver) -> None:
    driver.enable()
    state = driver.read()
    copy = state.q.copy()
    swing(driver, 50)
    np.testing.assert_array_equal(state.q, copy)


def test_what_leaves_the_gate_is_followed(driver: Driver) -> None:
    driver.enable()
    assert swing(driver, 500) < 0.02


def test_who_is_not_enabled_does_not_move(driver: Driver) -> None:
    here = driver.read().q
    for _ in range(50):
        driver.write(Command(here + 0.2, np.ones_like(here)))
    assert np.abs(driver.read().q - here).max() < 5e-3


def test_a_stop_in_full_motion_comes_to_rest_and_stays_until_enabled(driver: Driver) -> None:
    driver.enable()
    gate = SafetyGate(driver.arm.limits, driver.dt, 1)
    gate.reset(driver.read().q[None])
    wish = np.zeros((1, len(driver.arm.joints)))
    wish[0, -1] = 1.0
    for _ in range(200):
        setpoint, _ = gate(wish)
        driver.write(Command(setpoint.q[0], setpoint.dq[0]))
        driver.read()
    driver.stop()
    driver.stop()
    for _ in range(100):
        driver.read()
    here = driver.read().q
    assert driver.read().condition is not Condition.READY
    for _ in range(100):
        driver.write(Command(setpoint.q[0] + 0.2, setpoint.dq[0]))
        state = driver.read()
    assert np.abs(state.q - here).max() < 5e-3
    assert np.abs(state.dq).max() < 1e-2
    driver.enable()
    assert driver.read().condition is Condition.READY
    assert np.abs(driver.read().q - here).max() < 5e-3


def test_a_driver_that_places_and_tracks_an_object_puts_it_where_it_is_seen(driver: Driver) -> None:
    if not (hasattr(driver, "place") and hasattr(driver, "track")):
        return  # a person places it
    driver.enable()
    rng = np.random.default_rng(0)
    for split in ("train", "heldout"):
        task = FAMILY.sample(rng, 1, split)
        start = FAMILY.start(rng, task)
        before = driver.read().q
        driver.place(task, start)
        seen = driver.track()
        assert np.abs(seen.pos - start.object_pos[0]).max() < 5e-3
        assert np.isclose(np.linalg.norm(seen.quat), 1)
        assert np.abs(driver.read().q - before).max() < 5e-3, "the arm does not move for it"
