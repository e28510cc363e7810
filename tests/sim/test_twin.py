"""How the twin differs from an ideal arm.

What every driver promises is in ``tests/contracts/test_drivers.py``.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.scene import TABLE
from robots.signals import Command, JointState
from sim.families import FAMILIES
from sim.twin import Twin, TwinOptions

REACH = FAMILIES["reach"]()
SLIDE = FAMILIES["slide"]()
DT = Twin.capabilities.dt


def read_with_pushes(latency: float, pushes: tuple[int, ...], count: int = 16) -> list[JointState]:
    """Readings of a twin that is sent a step of 1 mrad before the readings in ``pushes``."""
    twin = Twin(REACH.body, REACH.scene, TwinOptions(latency=latency, noise=0.0))
    twin.connect()
    twin.enable()
    target = REACH.body.home.copy()
    readings = []
    for k in range(count):
        if k in pushes:
            target = target + 1e-3
            twin.write(Command(target, np.full(7, 1e-3 / DT)))
        readings.append(twin.read())
    twin.disconnect()
    return readings


def first_difference(a: list[JointState], b: list[JointState]) -> int:
    """The first reading in which two twins differ; they differ in all that follow."""
    same = [np.array_equal(x.q, y.q) for x, y in zip(a, b, strict=True)]
    first = same.index(False)
    assert not any(same[first:])
    return first


@pytest.mark.parametrize("ticks", [0, 1, 2, 10])
def test_every_command_arrives_after_the_latency_whether_others_follow_or_not(ticks: int) -> None:
    latency = ticks * DT
    still = read_with_pushes(latency, ())
    once = read_with_pushes(latency, (2,))
    twice = read_with_pushes(latency, (2, 3))
    assert first_difference(still, once) == 2 + ticks
    assert first_difference(once, twice) == 3 + ticks


def test_it_says_before_it_is_built_that_its_time_passes_by_reading() -> None:
    assert Twin.capabilities.dt == 0.004
    assert not Twin.capabilities.realtime


def test_its_placer_puts_the_object_where_its_tracker_sees_it_and_leaves_the_arm() -> None:
    twin = Twin(SLIDE.body, SLIDE.scene, TwinOptions(tracker_noise=1e-4))
    twin.connect()
    assert np.isnan(twin.tracker.read().pos).all(), "there is no object yet"
    rng = np.random.default_rng(0)
    for split in ("train", "heldout"):
        task = SLIDE.sample(rng, 1, split)
        start = SLIDE.start(rng, task)
        assert start.object_pos is not None
        before = twin.read().q
        twin.placer.place(task, start)
        state = twin.tracker.read()
        np.testing.assert_allclose(state.pos, start.object_pos[0], atol=1e-3)
        np.testing.assert_allclose(np.linalg.norm(state.quat), 1)
        np.testing.assert_allclose(twin.read().q, before, atol=1e-3)
        assert state.stamp == twin.time - DT
        assert state.vel.shape == (6,)
        np.testing.assert_allclose(state.vel, 0, atol=0.1)  # m/s, rad/s: it stands
    twin.disconnect()


def test_its_placer_stops_an_arm_in_motion_where_it_is() -> None:
    twin = Twin(SLIDE.body, SLIDE.scene)
    twin.connect()
    twin.enable()
    q = twin.read().q
    for k in range(1, 26):
        twin.write(Command(q + 0.004 * k, np.full(7, 0.004 / DT)))
        twin.read()
    rng = np.random.default_rng(0)
    task = SLIDE.sample(rng, 1)
    before = twin.read()
    assert np.abs(before.dq).max() > 0.5
    twin.placer.place(task, SLIDE.start(rng, task))
    for _ in range(25):
        state = twin.read()
    np.testing.assert_allclose(state.q, before.q, atol=2e-3)
    np.testing.assert_allclose(state.dq, 0, atol=0.01)
    twin.disconnect()


def test_its_wrench_is_what_its_joints_bear_beyond_the_arm_s_weight() -> None:
    """Pressed onto the table, at rest: τ = g(q) + Jᵀ·w, the virtual work of the tool's wrench w."""
    solid_table = replace(TABLE, touches_body=True)
    scene = replace(SLIDE.scene, fixtures=(solid_table,))
    twin = Twin(SLIDE.body, scene, TwinOptions(noise=0.0))
    twin.connect()
    twin.enable()
    rng = np.random.default_rng(0)
    task = SLIDE.sample(rng, 1)
    start = SLIDE.start(rng, task)
    assert start.object_pos is not None
    aside = replace(start, object_pos=start.object_pos + np.array([[0.0, 0.5, 0.0]]))
    twin.engine.write(task)
    twin.engine.reset(aside)
    twin.hold()
    np.testing.assert_array_equal(twin.read().wrench, np.zeros(6))
    kinematics = Kinematics(SLIDE.body)
    q = start.q[0].copy()
    for _ in range(600):
        height = kinematics.position(q[None])[0, 2]
        jacobian = kinematics.jacobian(q[None])[0]
        down = np.array([0.0, 0.0, -0.03, 0.0, 0.0, 0.0])
        dq = np.linalg.pinv(jacobian) @ down if height > 0.015 else np.zeros(7)
        q = q + DT * dq
        twin.write(Command(q, dq))
        state = twin.read()
    force = state.wrench[2]
    assert force < -5.0, "it presses down"
    torque = kinematics.jacobian(state.q[None])[0].T @ state.wrench
    weight = kinematics.gravity(state.q[None])[0]
    np.testing.assert_allclose(state.tau - weight, torque, atol=1e-3)
    twin.disconnect()


@pytest.mark.parametrize("option", ["latency", "noise", "tracker_noise", "seed"])
@pytest.mark.parametrize("value", [-1, np.nan, np.inf])
def test_options_that_are_not_possible_are_refused_by_name(option: str, value: float) -> None:
    impossible: dict[str, Any] = {option: value}
    with pytest.raises(BadArgumentError, match=f"the twin's {option} must be finite"):
        TwinOptions(**impossible)
