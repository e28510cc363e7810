"""The arm as a world: episodes over the twin, and a clean end when a process dies."""

import contextlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake import FAMILY, READY
from mcap.reader import make_reader
from push import Push

from hw_interface.arm_world import ArmWorld
from hw_interface.control import client
from hw_interface.control.events import Mode
from hw_interface.control.layout import Sizes
from hw_interface.control.shared_state import SharedState
from hw_interface.drivers import DRIVERS
from hw_interface.recording.process import RecordTo
from hw_interface.trackers import TRACKERS
from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.errors import ArmError, BadArgumentError
from robots.scene import FLAT_OBJECT, SceneObject
from robots.signals import Array, Pose, Signals, Verdict
from robots.world import Family, Start, Step, Task
from sim.families import FAMILIES, make_family

SHM = Path("/dev/shm")
SPAWN = multiprocessing.get_context("spawn")
TOOL = FAMILY.obs.indices(["tool.x", "tool.y"])
FORWARD = np.array([[1.0, 0.0]])


def build(family: Family = FAMILY, **options: Any) -> ArmWorld:
    """An arm that rests where the episodes of ``FAMILY`` begin, and need not go there first."""
    arm = family.body
    assert isinstance(arm, ArmSpec)
    if arm is FAMILY.body:
        arm = replace(arm, rest_pose=READY)
    return ArmWorld(family, arm, **options)


def sample_task(seed: int = 0) -> Task:
    return FAMILY.sample(np.random.default_rng(seed), 1)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or is a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    state = status.rsplit(")", 1)[1].split()[0]
    return state == "Z"


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture
def world() -> Iterator[ArmWorld]:
    made = build()
    yield made
    made.close()


def strike_action(tick: int) -> np.ndarray:
    """Forward for six ticks, then stand still."""
    return np.array([[-0.1 if tick < 6 else -1.0, 0.1]])


def run_episode(world: ArmWorld, ticks: int = FAMILY.horizon) -> list[Step]:
    world.reset(sample_task())
    return [world.step(strike_action(tick)) for tick in range(ticks)]


def retry_overruns(world: ArmWorld, attempt: Callable[[], Any]) -> Any:
    """Try again where the machine was too busy for real time."""
    for _ in range(5):
        world.clear()
        try:
            return attempt()
        except ArmError:
            if world.events[-1]["event"] != "OVERRUN":
                raise
    raise AssertionError("five overruns in a row")


def verdict_of(step: Step) -> Verdict:
    return Verdict(int(step.verdict[0]))


def pid_of(world: ArmWorld) -> int:
    pid = world.control.process.pid
    assert pid is not None
    return pid


def test_an_episode_strikes_the_object_and_ends_in_time(world: ArmWorld) -> None:
    steps = run_episode(world)
    obs = np.concatenate([step.obs for step in steps])
    assert np.isfinite(obs).all()
    assert [bool(step.truncated[0]) for step in steps] == [False] * 19 + [True]
    np.testing.assert_allclose([step.stamp[0] for step in steps], 0.1 * np.arange(1, 21))
    assert obs[-1, FAMILY.obs.index("object.x")] > 0.6, "the object was struck"
    assert obs[:, FAMILY.obs.index("tool.x")].max() < FAMILY.limits.tool_box[0, 1]
    assert sum(float(step.reward[0]) for step in steps) > 0.1
    assert world.mode is Mode.IDLE
    assert world.events == []
    assert world.timing() is None


def test_the_same_seed_gives_the_same_numbers(world: ArmWorld) -> None:
    other = build()
    try:
        steps = run_episode(world) + run_episode(world, 5)
        other_steps = run_episode(other) + run_episode(other, 5)
        for a, b in zip(steps, other_steps, strict=True):
            np.testing.assert_array_equal(a.obs, b.obs)
            np.testing.assert_array_equal(a.reward, b.reward)
    finally:
        other.close()


def test_a_stop_latches_until_cleared(world: ArmWorld) -> None:
    run_episode(world, 3)
    world.stop()
    assert verdict_of(world.step(FORWARD)) & (Verdict.FAULT | Verdict.STOPPED)
    for _ in range(3):
        stopped = world.step(FORWARD)
    later = world.step(FORWARD)
    np.testing.assert_allclose(stopped.obs[0, TOOL], later.obs[0, TOOL], atol=1e-3)
    with pytest.raises(ArmError, match=r"refused.*FAULT.*OPERATOR_STOP"):
        world.reset(sample_task())
    world.clear()
    assert len(run_episode(world)) == FAMILY.horizon


def test_a_hold_lasts_until_released(world: ArmWorld) -> None:
    run_episode(world, 3)
    world.hold()
    held = [world.step(FORWARD) for _ in range(4)]
    assert all(Verdict.HELD in verdict_of(step) for step in held)
    np.testing.assert_allclose(held[-1].obs[0, TOOL], held[-2].obs[0, TOOL], atol=1e-3)
    with pytest.raises(ArmError, match=r"refused.*HOLD.*OPERATOR_HOLD"):
        world.reset(sample_task())
    world.release()
    resumed = world.step(np.array([[0.2, 0.0]]))
    assert Verdict.HELD not in verdict_of(resumed)
    assert len(run_episode(world)) == FAMILY.horizon


def test_applied_is_what_the_arm_followed_and_not_what_was_requested(world: ArmWorld) -> None:
    standstill = np.array([[-1.0, 0.0]])  # slide's tool moves forward or stands
    world.reset(sample_task())

    def applied(x: float, y: float) -> np.ndarray:
        return world.step(np.array([[x, y]])).applied

    np.testing.assert_allclose(applied(np.nan, 0.3), standstill)
    np.testing.assert_allclose(applied(0.4, 0.1), [[0.4, 0.1]])
    np.testing.assert_allclose(applied(0.4, -9.0), [[0.4, -1.0]])
    np.testing.assert_allclose(applied(0.4, np.nan), standstill)
    world.hold()
    np.testing.assert_allclose(applied(0.4, 0.0), standstill)
    world.release()
    np.testing.assert_allclose(applied(-0.9, 0.0), [[-0.9, 0.0]])
    world.stop()
    np.testing.assert_allclose(applied(0.4, 0.0), standstill)


def test_with_a_known_latency_applied_is_what_is_in_effect_at_the_joints() -> None:
    """Half a decision of latency: half of the last action, then half of the new one."""
    standstill = np.array([-1.0, 0.0])
    actions = np.array([[0.4, 0.1], [-0.6, 0.3]])
    world = build(latency=FAMILY.dt * FAMILY.action_repeat / 2)
    try:
        for _ in range(2):  # the second episode begins at a standstill again
            world.reset(sample_task())
            first = world.step(actions[:1])
            second = world.step(actions[1:])
            np.testing.assert_allclose(first.applied[0], (standstill + actions[0]) / 2)
            np.testing.assert_allclose(second.applied[0], actions.mean(0))
    finally:
        world.close()


def test_a_task_may_have_more_parameters_than_its_family_reads_in_any_order(
    world: ArmWorld,
) -> None:
    plain = sample_task()
    names = ("disturbance.drop", *reversed(plain.names))
    values = np.concatenate([np.full((1, 1), 7.0), plain.values[:, ::-1]], axis=1)
    rewards = []
    for task in (plain, Task(names, values, plain.ids)):
        world.rng = np.random.default_rng(0)
        world.reset(task)
        steps = [world.step(strike_action(tick)) for tick in range(12)]
        rewards.append([float(step.reward[0]) for step in steps])
    first, second = rewards
    assert np.abs(first).max() > 0.01
    np.testing.assert_allclose(first, second, atol=0.02)  # the tracker's noise


def test_nan_is_reported_and_three_in_a_row_are_a_fault(world: ArmWorld) -> None:
    run_episode(world, 3)
    bad = np.full((1, 2), np.nan)
    verdicts = [verdict_of(world.step(bad)) for _ in range(3)]
    assert all(Verdict.DROPPED in verdict for verdict in verdicts)
    assert Verdict.FAULT in verdicts[-1]
    assert [event["event"] for event in world.events] == ["ACTION_NOT_FINITE"] * 3


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


def test_in_real_time_it_keeps_time_waits_between_episodes_and_records(tmp_path: Path) -> None:
    world = ArmWorld(FAMILY, PANDA, clock="realtime", record_to=RecordTo(tmp_path))

    def run_timed(ticks: int) -> list[Step]:
        began = time.monotonic()
        steps = run_episode(world, ticks)
        assert time.monotonic() - began >= 0.99 * ticks * FAMILY.dt
        return steps

    try:
        for ticks in (FAMILY.horizon, 3):
            steps = retry_overruns(world, partial(run_timed, ticks))
            assert np.isfinite(steps[-1].obs).all()
            if ticks == FAMILY.horizon:
                time.sleep(1.2)  # adaptation between episodes is no silence
                assert "SILENT" not in [event["event"] for event in world.events]
        timing = world.timing()
        assert timing is not None
        assert timing.rate_hz == 250
        assert timing.ticks > 1000
    finally:
        world.close()
    with (tmp_path / "recording-0.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count > 3 * 1000


def read_recording(path: Path, topic: str) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        messages = make_reader(file).iter_messages(topics=[topic])
        return [json.loads(message.data) for _, _, message in messages]


def test_in_lockstep_what_was_seen_done_and_earned_is_recorded(tmp_path: Path) -> None:
    world = build(record_to=RecordTo(tmp_path, {"run": "runs/a"}))
    task = sample_task()
    try:
        observations = [world.reset(task)[0]]
        steps = [world.step(strike_action(tick)) for tick in range(4)]
        world.reset(task)
        world.step(np.array([[3.0, 0.0]]))  # the gate's business
        world.recorder.write("/belief", {"episode": 0, "tick": 0, "tensors": []})
        mode_ticks = world.control.state["tick"]
    finally:
        world.close()
    path = tmp_path / "recording-0.mcap"
    assert world.recorder.path == path
    assert world.recorder.failure is None
    observations += [step.obs[0] for step in steps]
    decisions = read_recording(path, "/decision")
    assert [(message["episode"], message["tick"]) for message in decisions] == [
        *((0, tick) for tick in range(4)),
        (1, 0),
    ]
    for tick, (message, step) in enumerate(zip(decisions, steps, strict=False)):
        assert message["observation"] == observations[tick].tolist()
        assert message["action"] == strike_action(tick)[0].tolist()
        assert message["applied"] == step.applied[0].tolist()
        assert message["reward"] == float(step.reward[0])
        assert message["verdict"] == int(step.verdict[0])
    assert decisions[-1]["action"] == [3.0, 0.0]
    assert max(decisions[-1]["applied"]) <= 1
    assert len(read_recording(path, "/belief")) == 1
    assert len(read_recording(path, "/control")) >= mode_ticks
    with path.open("rb") as file:
        (metadata,) = make_reader(file).iter_metadata()
    known = {"arm": "panda", "family": FAMILY.name, "clock": "lockstep", "run": "runs/a"}
    assert metadata.metadata.items() >= known.items()


@pytest.mark.parametrize("clock", ["lockstep", "realtime"])
def test_a_recorder_that_is_killed_disturbs_no_arm_and_is_told_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], clock: str
) -> None:
    world = build(clock=clock, record_to=RecordTo(tmp_path))
    try:
        retry_overruns(world, lambda: world.reset(sample_task()))
        assert world.recorder.failure_event is None
        pid = world.recorder.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: world.recorder.failure_event is not None)
        steps = retry_overruns(world, lambda: run_episode(world, 5))
        assert np.isfinite(steps[-1].obs).all()
        event = world.recorder.failure_event
        assert event is not None
        assert event["event"] == "RECORDING_FAILED"
    finally:
        world.close()
    assert "was killed by SIGKILL" in str(world.recorder.failure)
    assert capfd.readouterr().err.count("is not complete") == 1


def test_what_a_recorder_that_hangs_does_not_take_is_counted(tmp_path: Path) -> None:
    """Writing to it never blocks for long, and the recording says what it lacks."""
    world = build(record_to=RecordTo(tmp_path))
    count = 0
    try:
        pid = world.recorder.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        for _ in range(1000):
            world.recorder.write("/belief", {"tensors": ["x" * 1000]})
        os.kill(pid, signal.SIGCONT)

        def is_taken() -> bool:
            world.recorder.log("again")
            return world.recorder.lost == 0

        assert eventually(is_taken)
        count = world.control.state["tick"]
        world.reset(sample_task())
        assert world.control.state["tick"] > count
    finally:
        world.close()
    path = tmp_path / "recording-0.mcap"
    kept = len(read_recording(path, "/belief"))
    assert 0 < kept < 1000
    texts = [message["message"] for message in read_recording(path, "/events")]
    lost = [int(text.split()[-1]) for text in texts if "that were not recorded" in text]
    again = texts.count("again")
    assert sum(lost) + kept + again >= 1000


def test_an_arm_moves_also_where_nothing_can_be_recorded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The folder is missing, as it is where it is read-only for a file that is to be made."""
    world = build(record_to=RecordTo(tmp_path / "nowhere"))
    try:
        run_episode(world, 2)
        assert world.recorder.path is None
        assert world.recorder.failure_event is not None
    finally:
        world.close()
    assert capfd.readouterr().err.count("nothing is recorded in") == 1


@pytest.mark.parametrize("clock", ["lockstep", "realtime"])
def test_the_death_of_the_control_process_is_an_error_and_no_hang(clock: str) -> None:
    world = build(clock=clock)
    try:
        retry_overruns(world, lambda: world.reset(sample_task()))
        pid = pid_of(world)
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: has_ended(pid))
        with pytest.raises(ArmError, match=r"ended before it could act: it was killed by SIGKILL$"):
            world.step(np.zeros((1, 2)))
        with pytest.raises(ArmError, match="ended"):
            world.reset(sample_task())
    finally:
        world.close()


def test_closing_leaves_no_process_and_no_memory() -> None:
    world = build()
    pid = pid_of(world)
    memory = SHM / world.control.shared.name
    assert memory.exists()
    world.close()
    world.close()
    assert has_ended(pid)
    assert not memory.exists()


def test_nothing_listens_while_an_arm_is_open(tmp_path: Path) -> None:
    """No process of an open arm has a socket of the network: there is nobody to let in.

    Sockets that are older belong to tests that ran in this process before.
    """
    older = network_sockets()
    world = build(record_to=RecordTo(tmp_path))
    try:
        world.reset(sample_task())
        of_network = network_sockets() - older
        for pid in (os.getpid(), pid_of(world), world.recorder.pid):
            for path in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):  # closed in the meantime
                    assert os.readlink(path) not in of_network
    finally:
        world.close()


def network_sockets() -> set[str]:
    """The sockets of IP on this machine, as links of a process name them."""
    sockets = set()
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        table = Path(f"/proc/net/{protocol}")
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            inode = line.split()[9]
            sockets.add(f"socket:[{inode}]")
    return sockets


def test_a_driver_that_does_not_come_up_is_an_error_and_leaves_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: list[str] = []

    def create(*arguments: Any) -> SharedState:
        shared = SharedState(*arguments)
        names.append(shared.name)
        return shared

    monkeypatch.setattr(client, "SharedState", create)
    with pytest.raises(ArmError, match="before it could connect"):
        build(driver_options={"no_such_option": 1})
    (name,) = names
    assert not (SHM / name).exists()


def test_the_reason_why_a_driver_does_not_come_up_is_in_the_error(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    family = make_family("reach", "viperx")
    port = str(tmp_path / "nothing")
    with pytest.raises(ArmError, match=f"before it could connect: .*could not open port {port}"):
        build(family, driver="dynamixel", driver_options={"port": port}, clock="realtime")
    assert "Traceback" not in capfd.readouterr().err


BROKEN = {
    "a driver that refuses": ("fake:RefusingDriver", "fake:LiveTracker", "no such model"),
    "a driver with a mistake": ("fake:MistakenDriver", "fake:LiveTracker", r"KeyError.*fake\.py"),
    "a tracker that refuses": ("fake:FakeDriver", "fake:RefusingTracker", "no such camera"),
    "a placer with a mistake": ("fake:MistakenTwin", None, r"AttributeError: .*placer"),
}


@pytest.mark.parametrize(("driver", "tracker", "reason"), BROKEN.values(), ids=list(BROKEN))
def test_the_reason_why_a_device_cannot_be_built_is_in_the_error(
    capfd: pytest.CaptureFixture[str], driver: str, tracker: str | None, reason: str
) -> None:
    is_real = tracker is not None
    clock = "realtime" if is_real else "lockstep"
    placer = Person() if is_real else None
    with (
        DRIVERS.temporarily("broken", driver),
        TRACKERS.temporarily("its", tracker or "fake:LiveTracker"),
        pytest.raises(ArmError, match=f"before it could connect: .*{reason}"),
    ):
        build(driver="broken", clock=clock, placer=placer, tracker="its" if is_real else None)
    assert capfd.readouterr().err == ""


def run_policy(pipe: Connection, clock: str) -> None:
    """A policy's process that will be killed during a strike."""
    world = build(clock=clock)
    retry_overruns(world, lambda: world.reset(sample_task()))
    world.step(np.array([[0.4, 0.0]]))
    pipe.send((pid_of(world), world.control.shared.name))
    time.sleep(60)


@pytest.mark.parametrize("clock", ["lockstep", "realtime"])
def test_the_control_process_ends_by_itself_when_its_policy_is_killed(clock: str) -> None:
    pipe, childs_pipe = SPAWN.Pipe()
    process = SPAWN.Process(target=run_policy, args=(childs_pipe, clock))
    process.start()
    childs_pipe.close()  # so that a policy that fails ends the wait
    pid, name = pipe.recv()
    assert not has_ended(pid)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert eventually(lambda: has_ended(pid))
    # otherwise multiprocessing's resource tracker, shared with the killed process, warns at exit
    SharedMemory(name).unlink()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_terminated_control_process_brakes_before_it_ends(number: signal.Signals) -> None:
    """Also where its terminal is closed or Ctrl-backslash is pressed there."""
    world = build(clock="realtime")
    try:
        retry_overruns(world, lambda: world.reset(sample_task()))
        world.step(np.array([[0.0, 0.0]]))
        pid = pid_of(world)
        os.kill(pid, signal.SIGINT)  # Ctrl-C is for the policy's process to handle
        assert os.getsid(pid) == pid, "it is no part of the terminal's session"
        os.kill(pid, number)
        assert eventually(lambda: not world.control.process.is_alive())
        assert world.control.process.exitcode == 0
        state = world.control.shared.state.read_nonblocking()
        assert np.abs(state["dq_set"]).max() < 1e-6
    finally:
        world.close()


class Held(Push):
    """An action is held for five control periods, or for a minute."""

    action_repeat = 5
    horizon = 4


class HeldForLong(Push):
    action_repeat = 600
    horizon = 1


def test_a_repeated_action_is_posted_anew_in_every_control_period(world: ArmWorld) -> None:
    repeated = build(Held())
    stamps: list[float] = []

    def keep(world: ArmWorld) -> None:
        stamps.append(float(world.signals.stamp[0]))

    repeated.on_frame = keep
    try:
        repeated.reset(sample_task())
        world.reset(sample_task())
        action = np.array([[0.4, 0.1]])
        once = repeated.step(action)
        steps = [world.step(action) for _ in range(5)]
        np.testing.assert_array_equal(once.obs, steps[-1].obs)
        np.testing.assert_allclose(once.applied, np.mean([s.applied for s in steps], 0))
        np.testing.assert_allclose(stamps, FAMILY.dt * np.arange(1, 6))
        np.testing.assert_allclose(once.stamp, steps[-1].stamp)
        assert repeated.control.state["active_action_seq"] == 5
    finally:
        repeated.close()


@pytest.mark.parametrize("at_once", [True, False], ids=["released at once", "released later"])
def test_a_held_action_does_not_resume_by_itself_after_its_release(at_once: bool) -> None:
    world = build(Held())
    frames: list[float] = []

    def disturb(world: ArmWorld) -> None:
        frames.append(float(world.signals.stamp[0]))
        if len(frames) == 2:
            world.hold()
        if len(frames) == (2 if at_once else 3):
            world.release()

    try:
        world.reset(sample_task())
        world.on_frame = disturb
        held = world.step(np.array([[0.4, 0.0]]))
        world.release()
        assert Verdict.HELD in verdict_of(held)
        assert len(frames) == 2
        modes = [world.mode]
        world.on_frame = None
        for _ in range(Held.horizon - 2):
            world.step(np.array([[0.4, 0.0]]))
            modes.append(world.mode)
        step = world.step(np.array([[0.4, 0.0]]))
        assert step.truncated[0], "an interrupted decision counts as one"
        assert modes == [Mode.HOLD, Mode.RUNNING, Mode.RUNNING], "a fresh action resumes"
        assert world.mode is Mode.IDLE
    finally:
        world.close()


def test_one_repeated_action_with_nan_is_dropped_once_and_the_next_resumes() -> None:
    world = build(Held())
    try:
        world.reset(sample_task())
        dropped = world.step(np.array([[np.nan, 0.0]]))
        assert Verdict.DROPPED in verdict_of(dropped)
        assert [event["event"] for event in world.events] == ["ACTION_NOT_FINITE"]
        world.step(np.array([[0.4, 0.0]]))
        assert world.mode is Mode.RUNNING
    finally:
        world.close()


def hold_an_action(pipe: Connection) -> None:
    """A policy's process that will be killed while it holds an action."""
    world = build(HeldForLong(), clock="realtime")
    retry_overruns(world, lambda: world.reset(sample_task()))

    def report(world: ArmWorld) -> None:
        if world.signals.stamp[0] < 1.5 * FAMILY.dt:
            pipe.send((pid_of(world), world.control.shared.name))

    world.on_frame = report
    world.step(np.array([[-0.9, 0.0]]))


def test_a_policy_that_dies_while_it_holds_an_action_stops_the_arm() -> None:
    """Long before the action would have ended: the deadline of the watchdog is that of a post."""
    pipe, childs_pipe = SPAWN.Pipe()
    process = SPAWN.Process(target=hold_an_action, args=(childs_pipe,))
    process.start()
    childs_pipe.close()  # so that a policy that fails ends the wait
    pid, name = pipe.recv()
    shared = SharedState(Sizes.of(FAMILY), name)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert eventually(lambda: has_ended(pid))
    state = shared.state.read_nonblocking()
    assert np.abs(state["dq_set"]).max() < 1e-6, "it has come to rest"
    shared.close()
    SharedMemory(name).unlink()


class Person:
    """An ObjectPlacer that records what it is asked to place."""

    def __init__(self) -> None:
        self.placed: list[tuple[Task, Start]] = []

    def place(self, task: Task, start: Start) -> None:
        self.placed.append((task, start))


@pytest.fixture
def real_arm() -> Iterator[str]:
    """The name of a registered driver of a real arm."""
    with DRIVERS.temporarily("fake", "fake:FakeDriver"):
        yield "fake"


def test_at_a_real_arm_a_person_places_the_object(real_arm: str) -> None:
    person = Person()
    with TRACKERS.temporarily("live", "fake:LiveTracker"):
        world = build(driver=real_arm, clock="realtime", placer=person, tracker="live")
    try:
        retry_overruns(world, lambda: world.reset(sample_task()))
        assert world.mode is Mode.ARMED
        task, start = person.placed[-1]
        np.testing.assert_array_equal(task.values, sample_task().values)
        assert start.object_pos is not None
        assert start.object_pos.shape == (1, 3)
    finally:
        world.close()


def test_at_a_real_arm_a_tracker_is_chosen_by_name(real_arm: str) -> None:
    with TRACKERS.temporarily("live", "fake:LiveTracker"):
        world = build(driver=real_arm, clock="realtime", placer=Person(), tracker="live")
    try:
        obs = retry_overruns(world, lambda: world.reset(sample_task()))
        assert obs[0, FAMILY.obs.index("object.x")] == 0.0
    finally:
        world.close()


def test_what_only_a_twin_can_do_is_refused_at_a_real_arm(real_arm: str) -> None:
    with pytest.raises(BadArgumentError, match="use the clock realtime"):
        build(driver=real_arm)
    with pytest.raises(BadArgumentError, match="give a placer"):
        build(driver=real_arm, clock="realtime")


def test_a_real_arm_without_a_tracker_is_refused_where_an_object_is_observed(
    real_arm: str,
) -> None:
    """A person may place the object, but nobody can say in every tick where it is."""
    with pytest.raises(BadArgumentError, match="which the arm cannot see: give a tracker"):
        build(driver=real_arm, clock="realtime", placer=Person())


class Named(Push):
    """A family that places and reads its object by its name."""

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        start = super().start(rng, task)
        assert start.object_pos is not None
        place = {FLAT_OBJECT.name: Pose(start.object_pos + np.array([0.0, 0.05, 0.0]))}
        return replace(start, object_pos=None, objects=place)

    def observe(self, signals: Signals) -> Array:
        named = signals.objects[FLAT_OBJECT.name]
        return super().observe(replace(signals, object_pos=named.pos))


class TwoObjects(Named):
    def __init__(self) -> None:
        super().__init__()
        ball = SceneObject("ball", "sphere", (0.04,))
        self.scene = replace(self.scene, objects=(FLAT_OBJECT, ball))


@pytest.mark.parametrize("driver", ["twin", "fake"])
def test_several_objects_are_refused_by_name(real_arm: str, driver: str) -> None:
    clock = "realtime" if driver == real_arm else "lockstep"
    with pytest.raises(BadArgumentError, match=r"one object, and the task has 2.*ball"):
        build(TwoObjects(), driver=driver, clock=clock)


def test_the_only_object_is_placed_and_known_by_its_name_too() -> None:
    world = build(Named())
    expected = world.family.start(np.random.default_rng(0), sample_task()).objects
    assert expected is not None
    try:
        world.reset(sample_task())
        tracked = world.signals.objects[FLAT_OBJECT.name]
        placed = expected[FLAT_OBJECT.name]
        np.testing.assert_allclose(tracked.pos[:, :2], placed.pos[:, :2], atol=0.005)
    finally:
        world.close()


def test_a_twin_takes_no_other_tracker_or_placer() -> None:
    with pytest.raises(BadArgumentError, match="its own tracker and placer"):
        build(placer=Person())
    with (
        TRACKERS.temporarily("live", "fake:LiveTracker"),
        pytest.raises(BadArgumentError, match="its own tracker and placer"),
    ):
        build(tracker="live")


def test_bad_input_is_named(world: ArmWorld) -> None:
    with pytest.raises(BadArgumentError, match="lockstep, realtime"):
        build(clock="sundial")
    with pytest.raises(BadArgumentError, match="no tracker named 'camera'"):
        build(tracker="camera")
    with pytest.raises(BadArgumentError, match="point"):
        ArmWorld(FAMILIES["point"](), PANDA)
    with pytest.raises(BadArgumentError, match="one task"):
        world.reset(FAMILY.sample(np.random.default_rng(0), 2))
    world.reset(sample_task())
    for action in (np.zeros(2), np.zeros((2, 2)), np.zeros((1, 3))):
        with pytest.raises(BadArgumentError, match="actions of"):
            world.step(action)
