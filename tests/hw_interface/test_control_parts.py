"""What the parts of the control process promise each by itself: pacing, first and last readings."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from fake import FAMILY, READY, FakeDriver, Rig
from numpy.typing import ArrayLike

from hw_interface.control import last_reading, pacing
from hw_interface.control.client import ControlClient
from hw_interface.control.events import Event, Mode
from hw_interface.control.first_reading import SAME_PLACE, enable_within_limits, read_twice
from hw_interface.control.last_reading import MAX_READINGS, SETTLED, settle
from hw_interface.control.layout import LATENESS, Record, Sizes, memory_layout
from hw_interface.control.pacing import Pacer
from hw_interface.control.publishing import Progress, publish_state
from hw_interface.control.requests import object_pose, read_path, read_start, unname_object
from hw_interface.control.shared_state import SharedState
from hw_interface.final_state import AT_REST
from robots.errors import ArmError
from robots.paths import WAYPOINTS
from robots.signals import Array, JointState, Pose
from robots.world import Start

DT = 0.01  # s


class Clock:
    """A clock that moves when somebody sleeps, and when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0  # s

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


def test_ticks_that_were_missed_are_not_made_up_for(clock: Clock) -> None:
    """After a stall the next tick is one period later, in step with those before it."""
    lateness = np.zeros(LATENESS, dtype=np.float32)
    pacer = Pacer(DT, lateness)
    assert pacer.wait(0) == pytest.approx(0, abs=1e-9)
    assert clock.now == pytest.approx(100 + DT)
    clock.now += 4.5 * DT
    assert pacer.wait(1) == pytest.approx(3.5 * DT)
    assert pacer.missed_ticks == 3
    assert pacer.wait(2) == pytest.approx(0, abs=1e-9)
    assert clock.now == pytest.approx(100 + 6 * DT)
    assert pacer.missed_ticks == 3
    assert pacer.max_lateness == pytest.approx(3.5 * DT), "the largest so far"
    np.testing.assert_allclose(lateness[:3], [0, 3.5 * DT, 0], atol=1e-7)


def test_a_tick_that_is_a_little_late_is_not_missed(clock: Clock) -> None:
    pacer = Pacer(DT, np.zeros(LATENESS, dtype=np.float32))
    clock.now += 1.9 * DT
    assert pacer.wait(LATENESS) == pytest.approx(0.9 * DT)
    assert pacer.missed_ticks == 0
    assert pacer.wait(LATENESS + 1) == pytest.approx(0, abs=1e-9)
    assert clock.now == pytest.approx(100 + 2 * DT), "what it was late by is made up for"


def test_after_a_restart_nothing_is_late(clock: Clock) -> None:
    pacer = Pacer(DT, np.zeros(LATENESS, dtype=np.float32))
    clock.now += 5.0
    pacer.restart()
    assert pacer.wait(0) == pytest.approx(0, abs=1e-9)
    assert (pacer.missed_ticks, clock.now) == (0, pytest.approx(105 + DT))


class Readings(FakeDriver):
    """A driver that answers with the given readings, and then with the last one again."""

    def __init__(self, readings: Iterable[JointState]) -> None:
        super().__init__()
        self.readings = list(readings)
        self.count = 0

    def read(self) -> JointState:
        self.count += 1
        return self.readings[min(self.count, len(self.readings)) - 1]


def reading(stamp: float, q: Array = READY, dq: float = 0.0) -> JointState:
    return JointState(q, np.full(7, dq), np.zeros(7), stamp)


FAR_AWAY = READY + 1.5 * SAME_PLACE * np.eye(7)[3]


def test_of_two_readings_that_agree_the_newer_one_counts() -> None:
    assert read_twice(Readings([reading(1.0), reading(1.1)]), 5).stamp == 1.1


@pytest.mark.parametrize(
    "readings",
    [
        [reading(1.0), reading(1.0)],
        [reading(1.0), reading(0.9), reading(0.9)],
        [reading(1.0, FAR_AWAY), reading(1.1), reading(1.2, FAR_AWAY), reading(1.3)],
    ],
)
def test_readings_that_stand_still_or_lie_apart_are_never_enough(
    readings: list[JointState],
) -> None:
    with pytest.raises(RuntimeError, match="its last readings are"):
        read_twice(Readings(readings), len(readings) - 1)


def test_a_first_reading_that_is_wild_is_forgotten() -> None:
    """The next two agree, though neither of them agrees with the first."""
    driver = Readings([reading(1.0, FAR_AWAY), reading(1.1), reading(1.2)])
    assert read_twice(driver, 5).stamp == 1.2


def test_motors_are_switched_on_after_one_wild_reading_and_not_after_two() -> None:
    outside = reading(1.0, FAMILY.limits.q_high + 1.0)
    driver = Readings([outside, reading(1.1), reading(1.2), reading(1.3)])
    assert enable_within_limits(driver, 5).stamp == 1.3
    assert "enable" in driver.calls
    driver = Readings([outside, outside])
    with pytest.raises(ArmError, match="allowed are"):
        enable_within_limits(driver, 5)
    assert "enable" not in driver.calls


def test_a_stopped_arm_is_read_until_it_stands(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_reading, "time", clock)
    moving = reading(1.0, dq=2 * SETTLED)
    driver = Readings([moving, moving, reading(1.2)])
    last = settle(driver, moving, pause=DT)
    assert (last.stamp, driver.count) == (1.2, 3)
    assert clock.now == pytest.approx(100 + 3 * DT), "it is given time"


def test_an_arm_that_is_called_at_rest_was_read_until_then() -> None:
    """What the last line of a command calls moving is not what ``settle`` calls standing."""
    moving = reading(1.0, dq=1.01 * AT_REST)
    driver = Readings([reading(1.1)])
    assert settle(driver, moving, pause=0.0).stamp == 1.1


def test_an_arm_that_stands_is_not_read_again_and_one_that_never_stands_not_for_ever() -> None:
    driver = Readings([reading(2.0)])
    assert settle(driver, reading(1.0), pause=0.0).stamp == 1.0
    assert driver.count == 0
    driver = Readings([reading(1.0, dq=1.0)])
    assert settle(driver, reading(0.0, dq=1.0), pause=0.0).dq.all()
    assert driver.count == MAX_READINGS


def posted_record(**values: ArrayLike) -> Record:
    """A request as it lies in the shared memory."""
    layout = memory_layout(Sizes.of(FAMILY))["request"]["record"]
    record = np.zeros((), layout)
    for name, value in values.items():
        record[name] = value
    return record


def test_the_start_of_an_episode_is_read_as_it_was_requested() -> None:
    pos = np.array([[0.4, 0.1, 0.02]])
    quat = np.array([[0.0, 0.0, 0.0, 1.0]])
    upright = [1.0, 0.0, 0.0, 0.0]
    for given, read in [(quat, quat[0]), (None, upright)]:
        start = Start(READY[None], object_pos=pos, object_quat=given)
        again = read_start(posted_record(q=READY, object_pose=object_pose(start)))
        assert again.object_pos is not None
        assert again.object_quat is not None
        np.testing.assert_array_equal(again.object_pos, pos)
        np.testing.assert_array_equal(again.object_quat[0], read)
    alone = object_pose(Start(READY[None]))
    assert np.isnan(alone).all()
    again = read_start(posted_record(q=READY, object_pose=alone))
    assert again.object_pos is None
    assert again.object_quat is None


def test_an_object_that_is_named_keeps_its_place_and_rotation_without_its_name() -> None:
    pose = Pose(np.array([[0.4, 0.1, 0.02]]), np.array([[0.0, 0.6, 0.8, 0.0]]))
    start = unname_object(Start(READY[None], objects={"cup": pose}))
    assert start.objects is None
    np.testing.assert_array_equal(object_pose(start), [0.4, 0.1, 0.02, 0.0, 0.6, 0.8, 0.0])


@pytest.mark.parametrize("count", [0, 2, WAYPOINTS, WAYPOINTS + 3, -1])
def test_a_path_has_its_waypoints_before_its_goal_whatever_is_posted(count: int) -> None:
    waypoints = np.arange(7.0 * WAYPOINTS).reshape(WAYPOINTS, 7)
    path = read_path(posted_record(q=READY, waypoint_count=count, waypoints=waypoints))
    kept = max(0, min(count, WAYPOINTS))
    np.testing.assert_array_equal(path[:-1], waypoints[:kept])
    np.testing.assert_array_equal(path[-1], READY)


def test_an_action_has_its_ticks_and_no_more_however_late_the_next_one_is() -> None:
    """Else the next action would seem to be carried out before it has begun."""
    progress = Progress(ticks_per_action=3)
    progress.begin_action(1)
    for done in (1, 2, 3, 3, 3, 3, 3):
        progress.count_tick()
        assert progress.ticks_done == done
    assert not progress.action_unfinished
    progress.begin_action(2)
    assert (progress.ticks_done, progress.action_unfinished) == (3, True)
    progress.begin_action(1)
    assert progress.active_action_seq == 2, "an old action is not begun again"
    progress.count_tick()
    assert (progress.ticks, progress.ticks_done) == (8, 4)


@pytest.fixture
def shared() -> Iterator[SharedState]:
    made = SharedState(Sizes.of(FAMILY))
    yield made
    made.close()


def test_a_hold_the_cause_of_a_fault_and_a_broken_link_are_published(shared: SharedState) -> None:
    rig = Rig()
    pacer = Pacer(DT, np.zeros(LATENESS, dtype=np.float32))

    def published() -> Record:
        publish_state(shared, rig.controller, pacer, Progress(1), 0.0)
        return shared.state.read_latest()

    before = published()
    assert not before["operator_hold"]
    assert not before["link_broken"]
    rig.controller.hold()
    assert published()["operator_hold"]
    rig.watchdog.fault(Event.OPERATOR_STOP)
    assert published()["cause"] == Event.OPERATOR_STOP
    rig.controller.link_broken = True
    assert published()["link_broken"]


@pytest.mark.parametrize("mode", [Mode.FAULT, Mode.EXTERNAL_STOP])
def test_a_stop_is_explained_by_its_cause_and_not_by_what_came_after(
    shared: SharedState, mode: Mode
) -> None:
    client = ControlClient.__new__(ControlClient)
    client.shared = shared
    shared.events[0] = (int(Event.BAD_RECORD), 0.0, 0.0)
    shared.state.write(mode=int(mode), cause=int(Event.ARM_STOPPED), events=1)
    assert client.explain_mode() == f"{mode.name}: ARM_STOPPED"
    shared.state.write(mode=int(Mode.HOLD), cause=0, events=1)
    assert client.explain_mode() == "HOLD: BAD_RECORD"
