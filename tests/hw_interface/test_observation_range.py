"""An observation unlike any in training slows the arm down, and far from them stops it."""

from pathlib import Path

import numpy as np
import pytest
from fake import FAMILY, Rig, assert_within_limits
from test_arm_world import build, read_recording, run_episode, sample_task, verdict_of

from hw_interface.arm_world import ArmWorld
from hw_interface.control.events import Event, Mode
from hw_interface.observation_range import range_distance
from hw_interface.recording.process import RecordTo
from robots.signals import Array, Spec, Verdict

SPEC = Spec.of(("a", -1.0, 1.0, "m"), ("b", 0.0, 10.0, "rad"))
FORWARD = np.array([0.2, 0.5])


@pytest.mark.parametrize(
    ("obs", "distance"),
    [((0.5, 5.0), 0.5), ((1.0, 10.0), 1.0), ((0.0, -5.0), 2.0), ((np.nan, 5.0), 0.0)],
)
def test_the_distance_is_in_half_ranges(obs: tuple[float, float], distance: float) -> None:
    assert range_distance(SPEC, np.array([obs])) == distance


def post(rig: Rig, distance: float) -> Array:
    """The joint velocities (j,) that are requested where the policy asks for FORWARD."""
    rig.seq += 1
    rig.controller.set_action(rig.seq, rig.now, FORWARD, distance=distance)
    return rig.controller._requested_velocity()[0]


def test_an_unusual_observation_slows_the_arm_down_and_is_reported_once() -> None:
    rig = Rig()
    rig.begin()
    fast = post(rig, 3.0)
    assert np.abs(fast).max() > 0.1
    assert Verdict.LIMITED not in Verdict(rig.controller.verdict)
    for _ in range(2):
        np.testing.assert_allclose(post(rig, 6.0), 0.5 * fast)
        assert Verdict.LIMITED in Verdict(rig.controller.verdict)
    assert rig.events == [(Event.OBSERVATION_UNUSUAL, 6.0)]
    np.testing.assert_allclose(post(rig, 0.0), fast)
    assert rig.mode is Mode.RUNNING


def test_what_is_applied_under_an_unusual_observation_lies_between_it_and_a_standstill() -> None:
    rig = Rig()
    rig.begin()
    standstill = np.array([-1.0, 0.0])
    for distance, share in ((0.0, 1.0), (6.0, 0.5)):
        before = rig.controller.applied_sum
        post(rig, distance)
        applied = rig.controller.applied_sum - before
        np.testing.assert_allclose(applied - standstill, share * (FORWARD - standstill))


@pytest.mark.parametrize("distance", [10.1, np.inf, np.nan])
def test_an_observation_far_outside_its_range_stops_the_arm(distance: float) -> None:
    rig = Rig()
    rig.move()
    post(rig, distance)
    assert rig.mode is Mode.FAULT
    assert rig.event_kinds == [Event.OBSERVATION_FAR]
    rig.ticks(200)
    assert rig.driver.calls[-2:] == ["write", "stop"], "it brakes first"
    assert_within_limits(rig.driver)


def disturb(world: ArmWorld, factor: float) -> None:
    """Scale one channel of what the policy is shown, as a wrong unit would."""
    observe = world.family.observe

    def scaled(signals: object) -> Array:
        obs = observe(signals)  # type: ignore[arg-type]
        obs[0, FAMILY.obs.index("tool.x")] *= factor
        return obs

    world.family.observe = scaled  # type: ignore[method-assign]


def test_a_channel_in_another_unit_is_slowed_or_stopped_and_its_distance_recorded(
    tmp_path: Path,
) -> None:
    world = build(type(FAMILY)(), record_to=RecordTo(tmp_path))
    try:
        run_episode(world, 3)
        disturb(world, 4.0)  # the tool seems to be at 1.3 m
        world.reset(sample_task())
        slowed = verdict_of(world.step(FORWARD[None]))
        assert Verdict.LIMITED in slowed
        assert world.events[-1]["event"] == "OBSERVATION_UNUSUAL"
        disturb(world, 1000.0)  # mm
        world.step(FORWARD[None])
        stopped = verdict_of(world.step(FORWARD[None]))
        assert Verdict.FAULT in stopped
        assert world.events[-1]["event"] == "OBSERVATION_FAR"
    finally:
        world.close()
    decisions = read_recording(tmp_path / "recording-0.mcap", "/decision")
    distances = [decision["observation_distance"] for decision in decisions]
    assert max(distances[:3]) <= 3
    assert 3 < distances[3] <= 10
    assert distances[-1] > 1000
