"""The arm as a world: episodes over the twin, and what is left when a process dies."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake import FAMILY, Fake
from mcap.reader import make_reader

from hw_interface.arm_world import ArmWorld
from hw_interface.control.watchdog import Mode
from hw_interface.drivers import DRIVERS
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.errors import ArmError
from robots.signals import Verdict
from robots.world import Family, Start, Task
from sim.families import FAMILIES

SHM = Path("/dev/shm")
SPAWN = multiprocessing.get_context("spawn")


def build(family: Family = FAMILY, **options: Any) -> ArmWorld:
    assert isinstance(family.body, ArmSpec)
    return ArmWorld(family, family.body, **options)


def task(seed: int = 0) -> Task:
    return FAMILY.sample(np.random.default_rng(seed), 1)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def eventually(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


@pytest.fixture
def world() -> Iterator[ArmWorld]:
    made = build()
    yield made
    made.close()


def episode(world: ArmWorld, ticks: int = FAMILY.horizon) -> list[Any]:
    steps = []
    world.reset(task())
    for k in range(ticks):
        steps.append(world.step(np.array([[0.4 if k < 6 else -1.0, 0.1]])))
    return steps


def test_an_episode_strikes_the_object_and_ends_in_time(world: ArmWorld) -> None:
    steps = episode(world)
    obs = np.concatenate([step.obs for step in steps])
    assert np.isfinite(obs).all()
    assert [bool(step.truncated[0]) for step in steps] == [False] * 19 + [True]
    np.testing.assert_allclose([step.stamp[0] for step in steps], 0.1 * np.arange(1, 21))
    assert obs[-1, 4] > 0.6, "the object was struck"
    assert obs[:, 0].max() < FAMILY.limits.tool_box[0, 1]
    assert sum(float(step.reward[0]) for step in steps) > 0.1
    assert world.mode is Mode.IDLE
    assert world.events == []
    assert world.timing() is None


def test_the_same_seed_gives_the_same_numbers(world: ArmWorld) -> None:
    other = build()
    try:
        for a, b in zip(
            episode(world) + episode(world, 5), episode(other) + episode(other, 5), strict=True
        ):
            np.testing.assert_array_equal(a.obs, b.obs)
            np.testing.assert_array_equal(a.reward, b.reward)
    finally:
        other.close()


def test_a_stop_latches_until_cleared(world: ArmWorld) -> None:
    episode(world, 3)
    world.stop()
    step = world.step(np.array([[1.0, 0.0]]))
    assert Verdict(int(step.verdict[0])) & (Verdict.FAULT | Verdict.STOPPED)
    for _ in range(3):
        stopped = world.step(np.array([[1.0, 0.0]])).obs
    np.testing.assert_allclose(
        stopped[0, :2], world.step(np.array([[1.0, 0.0]])).obs[0, :2], atol=1e-3
    )
    with pytest.raises(ArmError, match=r"refused.*FAULT.*OPERATOR_STOP"):
        world.reset(task())
    world.clear()
    assert len(episode(world)) == FAMILY.horizon


def test_a_hold_lasts_until_released(world: ArmWorld) -> None:
    episode(world, 3)
    world.hold()
    held = [world.step(np.array([[1.0, 0.0]])) for _ in range(4)]
    assert all(Verdict.HELD in Verdict(int(step.verdict[0])) for step in held)
    np.testing.assert_allclose(held[-1].obs[0, :2], held[-2].obs[0, :2], atol=1e-3)
    with pytest.raises(ArmError, match=r"refused.*HOLD.*OPERATOR_HOLD"):
        world.reset(task())
    world.release()
    assert Verdict.HELD not in Verdict(int(world.step(np.array([[0.2, 0.0]])).verdict[0]))
    assert len(episode(world)) == FAMILY.horizon


def test_applied_is_what_the_arm_followed_not_what_it_was_asked(world: ArmWorld) -> None:
    still = np.array([[-1.0, 0.0]])  # slide's tool moves forward or stands
    world.reset(task())

    def applied(x: float, y: float) -> np.ndarray:
        return world.step(np.array([[x, y]])).applied

    np.testing.assert_allclose(applied(np.nan, 0.3), still)
    np.testing.assert_allclose(applied(0.4, 0.1), [[0.4, 0.1]])
    np.testing.assert_allclose(applied(0.4, -9.0), [[0.4, -1.0]])
    np.testing.assert_allclose(applied(0.4, np.nan), still)
    world.hold()
    np.testing.assert_allclose(applied(0.4, 0.0), still)
    world.release()
    np.testing.assert_allclose(applied(-0.9, 0.0), [[-0.9, 0.0]])
    world.stop()
    np.testing.assert_allclose(applied(0.4, 0.0), still)


def test_a_task_may_name_more_than_its_family_reads_in_any_order(world: ArmWorld) -> None:
    plain = task()
    names = ("disturbance.drop", *reversed(plain.names))
    values = np.concatenate([np.full((1, 1), 7.0), plain.values[:, ::-1]], axis=1)
    told: list[list[Any]] = []
    for asked in (plain, Task(names, values, plain.ids)):
        world.rng = np.random.default_rng(0)
        world.reset(asked)
        told.append([world.step(np.array([[0.4 if k < 6 else -1.0, 0.1]])) for k in range(12)])
    reward = [[float(step.reward[0]) for step in steps] for steps in told]
    assert np.abs(reward[0]).max() > 0.01
    np.testing.assert_allclose(*reward, atol=0.02)  # the tracker's noise


def test_nan_is_reported_and_three_of_them_are_a_fault(world: ArmWorld) -> None:
    episode(world, 3)
    verdicts = [Verdict(int(world.step(np.full((1, 2), np.nan)).verdict[0])) for _ in range(3)]
    assert all(Verdict.DROPPED in verdict for verdict in verdicts)
    assert Verdict.FAULT in verdicts[-1]
    assert [event["event"] for event in world.events] == ["NOT_FINITE"] * 3


def test_a_family_without_an_object_runs_too() -> None:
    reach = FAMILIES["reach"]()
    world = build(reach)
    try:
        world.reset(reach.sample(np.random.default_rng(0), 1))
        for _ in range(5):
            assert np.isfinite(world.step(np.array([[0.3, 0.3, 0.0]])).obs).all()
        assert world.mode is Mode.RUNNING
        assert world.events == []
    finally:
        world.close()


def test_at_the_walls_pace_it_keeps_time_waits_between_episodes_and_records(tmp_path: Path) -> None:
    world = build(clock="wall", record_to=tmp_path / "r.mcap")
    try:
        for ticks in (FAMILY.horizon, 3):
            world.clear()  # of an overrun, where the machine is busy
            began = time.monotonic()
            steps = episode(world, ticks)
            assert time.monotonic() - began >= 0.99 * ticks * FAMILY.dt
            assert np.isfinite(steps[-1].obs).all()
            if ticks == FAMILY.horizon:
                time.sleep(1.2)  # thinking between episodes is no silence
                assert "SILENT" not in [event["event"] for event in world.events]
        timing = world.timing()
        assert timing is not None
        assert timing["rate_hz"] == 500
        assert timing["ticks"] > 1000
    finally:
        world.close()
    with (tmp_path / "r.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count > 3 * 2000


@pytest.mark.parametrize("clock", ["lockstep", "wall"])
def test_the_servos_death_is_an_error_and_no_hang(clock: str) -> None:
    world = build(clock=clock)
    try:
        world.reset(task())
        pid = world._process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: gone(pid))
        with pytest.raises(ArmError, match="ended"):
            world.step(np.zeros((1, 2)))
        with pytest.raises(ArmError, match="ended"):
            world.reset(task())
    finally:
        world.close()


def test_nothing_is_left_behind() -> None:
    before = set(SHM.iterdir())
    world = build()
    pid = world._process.pid
    assert pid is not None
    assert set(SHM.iterdir()) - before
    world.close()
    assert gone(pid)
    assert set(SHM.iterdir()) <= before


def test_a_driver_that_does_not_come_up_is_an_error_and_leaves_nothing() -> None:
    before = set(SHM.iterdir())
    with pytest.raises(ArmError, match="before it could connect"):
        build(driver_options={"no_such_option": 1})
    assert set(SHM.iterdir()) <= before


def policy(pipe: Connection, clock: str) -> None:
    """A policy's process that will be killed in the middle of a strike."""
    world = build(clock=clock)
    world.reset(task())
    world.step(np.array([[0.4, 0.0]]))
    pipe.send((world._process.pid, world._shared.name))
    time.sleep(60)


def test_what_stands_in_the_way_of_a_driver_is_said(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    family, port = FAMILIES["reach_viperx"](), str(tmp_path / "nothing")
    with pytest.raises(ArmError, match=f"before it could connect: .*could not open port {port}"):
        build(family, driver="dynamixel", driver_options={"port": port}, clock="wall")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("clock", ["lockstep", "wall"])
def test_the_servo_ends_by_itself_when_its_policy_is_killed(clock: str) -> None:
    mine, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=policy, args=(theirs, clock))
    process.start()
    pid, name = mine.recv()
    assert not gone(pid)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert eventually(lambda: gone(pid))
    SharedMemory(
        name
    ).unlink()  # else the tracker that the killed process shared with us does so when we end


def test_a_terminated_servo_brakes_before_it_ends() -> None:
    world = build(clock="wall")
    try:
        world.reset(task())
        world.step(np.array([[0.0, 0.0]]))
        pid = world._process.pid
        assert pid is not None
        os.kill(pid, signal.SIGINT)  # a key in the terminal is the policy's business
        os.kill(pid, signal.SIGTERM)
        assert eventually(lambda: not world._process.is_alive())
        assert world._process.exitcode == 0
        assert np.abs(world._shared.state.read()["dq_set"]).max() < 1e-6
    finally:
        world.close()


@pytest.fixture
def real() -> Iterator[str]:
    """A driver that can place nothing, in the registry."""
    DRIVERS.add("fake", "fake:Fake")
    yield "fake"
    del DRIVERS._entries["fake"]


def test_at_a_real_arm_a_person_places_the_object(real: str) -> None:
    asked: list[tuple[Task, Start]] = []
    world = build(driver=real, clock="wall", place=lambda *what: asked.append(what))
    try:
        world.reset(task())
        assert world.mode is Mode.ARMED
        ((placed, start),) = asked
        np.testing.assert_array_equal(placed.values, task().values)
        assert start.object_pos.shape == (1, 3)
    finally:
        world.close()


def test_what_only_a_twin_can_do_is_refused_at_a_real_arm(real: str) -> None:
    assert not hasattr(Fake, "place")
    with pytest.raises(ValueError, match="clock must be wall"):
        build(driver=real)
    with pytest.raises(ValueError, match="has it placed"):
        build(driver=real, clock="wall")


def test_bad_input_is_named(world: ArmWorld) -> None:
    with pytest.raises(ValueError, match="lockstep, wall"):
        build(clock="sundial")
    with pytest.raises(ValueError, match="point"):
        ArmWorld(FAMILIES["point"](), PANDA)
    with pytest.raises(ValueError, match="one task"):
        world.reset(FAMILY.sample(np.random.default_rng(0), 2))
    world.reset(task())
    for action in (np.zeros(2), np.zeros((2, 2)), np.zeros((1, 3))):
        with pytest.raises(ValueError, match="actions of"):
            world.step(action)
