"""The force at the tool, where an arm measures one: bounded, and missed where it stays away."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake import FAMILY, READY, FakeDriver, FeelingDriver, Rig, assert_within_limits, replaced
from mcap.reader import make_reader

from hw_interface.arm_world import ArmWorld
from hw_interface.control.events import Event, Mode
from hw_interface.control.silence import Silence
from hw_interface.recording.process import RecordTo
from hw_interface.recording.schemas import SCHEMAS
from robots.errors import ArmError
from robots.signals import Array, no_wrench
from sim.families import FAMILIES

LIMIT = FAMILY.limits.force
TIMEOUT_TICKS = 105  # at 100 Hz: a little more than a second


def force(newtons: float) -> Array:
    """A wrench whose force has this magnitude; its torque is not bounded."""
    direction = np.array([2.0, -1.0, 2.0]) / 3
    return np.concatenate([newtons * direction, np.full(3, 1e3)])


class Feeling(Rig):
    """A rig over an arm that measures the wrench of its tool."""

    def __init__(self) -> None:
        self.feeler = FeelingDriver()
        super().__init__(driver=self.feeler)


def test_a_tool_that_presses_too_hard_for_some_ticks_is_a_fault_that_lets_go() -> None:
    rig = Feeling()
    rig.move()
    allowed = rig.watchdog.measurements.overload_ticks
    rig.feeler.wrench = force(1.01 * LIMIT)
    rig.act(-0.4, ticks=allowed - 1)
    assert rig.events == []
    met = rig.driver.q.copy()
    rig.driver.wall = met
    rig.act(-0.4, ticks=1)
    assert rig.mode is Mode.FAULT
    assert rig.events == [(Event.FORCE_LIMIT, pytest.approx(1.01 * LIMIT))]
    rig.feeler.wrench = np.zeros(6)
    rig.ticks(250)
    assert rig.driver.calls[-1] == "stop"
    assert np.abs(rig.driver.commands[-1].q - met).max() < 0.02
    assert_within_limits(rig.driver)


def test_while_a_force_stays_too_high_the_setpoint_follows_the_arm() -> None:
    rig = Feeling()
    rig.move()
    rig.feeler.wrench = force(2 * LIMIT)
    rig.driver.wall = rig.driver.q.copy()
    rig.act(-0.4, ticks=rig.watchdog.measurements.overload_ticks)
    assert rig.event_kinds == [Event.FORCE_LIMIT]
    rig.driver.wall[0] -= 0.05
    rig.driver.q = np.minimum(rig.driver.q, rig.driver.wall)
    rig.ticks(150)
    assert np.abs(rig.driver.commands[-1].q - rig.driver.q).max() < 5e-3
    assert_within_limits(rig.driver)


@pytest.mark.parametrize("newtons", [1.01 * LIMIT, 1e9, np.inf])
def test_a_blow_or_a_single_wild_force_is_no_fault(newtons: float) -> None:
    rig = Feeling()
    rig.move()
    for _ in range(5):
        rig.feeler.wrench = force(newtons)
        rig.act(0.1, ticks=rig.watchdog.measurements.overload_ticks - 1)
        rig.feeler.wrench = force(0.99 * LIMIT)
        rig.act(-0.1, ticks=3)
    assert rig.mode is Mode.RUNNING
    assert rig.events == []


def test_a_promised_force_that_stays_away_is_reported_once_for_each_loss() -> None:
    rig = Feeling()
    rig.begin()
    for _ in range(2):
        rig.feeler.wrench = no_wrench()
        rig.ticks(3 * TIMEOUT_TICKS)
        rig.feeler.wrench = np.zeros(6)
        rig.ticks(3)
    assert rig.event_kinds == [Event.FORCE_UNKNOWN] * 2
    assert all(1.0 < silent < 1.1 for _, silent in rig.events)
    rig.act()
    assert rig.mode is Mode.RUNNING


def test_a_promised_force_that_never_comes_is_reported() -> None:
    driver = FeelingDriver()
    driver.wrench = no_wrench()
    rig = Rig(driver=driver)
    rig.ticks(3 * TIMEOUT_TICKS)
    assert rig.event_kinds == [Event.FORCE_UNKNOWN]


def test_where_no_force_is_promised_none_is_missed() -> None:
    rig = Rig(driver=FakeDriver())
    rig.begin()
    for _ in range(10):
        rig.act(0.1, ticks=TIMEOUT_TICKS // 5)
        rig.act(-0.1, ticks=TIMEOUT_TICKS // 5)
    assert rig.mode is Mode.RUNNING
    assert rig.events == []


def test_an_arm_whose_tool_presses_at_rest_is_not_moved() -> None:
    rig = Feeling()
    rig.feeler.wrench = force(0.9 * LIMIT)
    rig.ticks(20)
    assert rig.events == []
    with pytest.raises(ArmError, match=r"contact: the tool presses with 90% of its force limit"):
        rig.controller.begin_move(READY)
    rig.feeler.wrench = force(0.5 * LIMIT)
    rig.ticks(1)
    rig.begin()


def test_a_tool_that_presses_is_named_also_where_no_torque_is_measured() -> None:
    rig = Feeling()
    rig.feeler.wrench = force(0.9 * LIMIT)
    rig.feeler.disturb = replaced(tau=np.full(7, np.nan))
    rig.ticks(20)
    with pytest.raises(ArmError, match="the tool presses with 90% of its force limit"):
        rig.controller.begin_move(READY)


def test_a_loss_is_told_also_where_the_arm_s_clock_begins_anew() -> None:
    silence = Silence(np.array([False, True]), timeout=1.0)
    there = np.array([True, True])
    away = np.array([False, True])
    assert silence.newly_lost_for(there, 1000.0) == 0.0
    assert silence.newly_lost_for(away, 0.0) == 0.0
    assert silence.newly_lost_for(away, 1.5) == 1.5
    assert silence.newly_lost_for(away, 9.0) == 0.0


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording of one decision at the twin."""
    family = FAMILIES["reach"]()
    folder = tmp_path_factory.mktemp("recorded")
    world = ArmWorld(family, family.body, record_to=RecordTo(folder))
    try:
        world.reset(family.sample(np.random.default_rng(0), 1))
        world.step(np.zeros((1, len(family.action.spec))))
        np.testing.assert_array_equal(world.control.state["wrench"], np.zeros(6))
    finally:
        world.close()
    assert world.recorder.path is not None
    return world.recorder.path


def test_the_twin_s_force_is_recorded_in_every_tick(recorded: Path) -> None:
    with recorded.open("rb") as file:
        reader = make_reader(file)
        wrenches = [m.data for _, _, m in reader.iter_messages(topics=["/wrench"])]
        ticks = list(reader.iter_messages(topics=["/control"]))
    assert len(wrenches) == len(ticks) > 0
    assert json.loads(wrenches[-1])["force"] == {"x": 0.0, "y": 0.0, "z": 0.0}


def test_what_is_recorded_has_the_fields_that_its_schema_names(recorded: Path) -> None:
    seen = set()
    with recorded.open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            assert schema is not None
            assert set(json.loads(message.data)) == set(SCHEMAS[schema.name])
            seen.add(channel.topic)
    assert seen >= {"/joints", "/setpoint", "/control", "/wrench", "/decision"}
