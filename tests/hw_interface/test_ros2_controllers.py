"""The controllers of an arm under ros2_control: which one is used, and what a trajectory does."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

pytest.importorskip("cyclonedds", reason="needs the extra 'ros2'")

from emulated_ros2 import VIPERX, PacedRos2, emulated_ros2

from hw_interface.drivers import ros2_messages as messages
from hw_interface.drivers.ros2_dds import COMMAND, join, make_writer, topic_name
from hw_interface.drivers.ros2_trajectory import Point, trajectory_to_rest
from hw_interface.emulators.ros2 import Ros2Emulator
from hw_interface.emulators.ros2_controllers import Trajectory, points_of
from robots.errors import BadArgumentError
from robots.safety import SafetyGate
from robots.signals import Array, Command
from sim.plant import Plant

Arm = tuple[PacedRos2, Ros2Emulator]
FORWARD = "forward_position_controller"
FOLLOWER = "joint_trajectory_controller"
JOINTS = len(VIPERX.joints)
STILL = np.zeros(JOINTS)
LIMITS = VIPERX.limits
TICK = PacedRos2.capabilities.dt


class IdealJoints:
    """Joints that are at once where they are commanded; it notes every command."""

    def __init__(self) -> None:
        self.q = VIPERX.home.copy()
        self.commands: list[Array] = []

    def read(self) -> tuple[Array, Array, Array]:
        return self.q.copy(), STILL.copy(), STILL.copy()

    def write(self, q: Array) -> None:
        self.q = q.copy()
        self.commands.append(q.copy())

    def advance(self, dt: float) -> None:
        """Nothing moves by itself."""


@pytest.fixture
def trajectory_arm() -> Iterator[Arm]:
    with emulated_ros2(Plant(VIPERX, VIPERX.home), {"stream": "trajectory"}) as (driver, emulator):
        driver.connect()
        yield driver, emulator


def state_of(emulator: Ros2Emulator, name: str) -> str:
    found = emulator.controllers.find(name)
    assert found is not None
    return found.state


@pytest.mark.parametrize(("stream", "name"), [("forward", FORWARD), ("trajectory", FOLLOWER)])
def test_enable_activates_its_own_controller_which_stays_active(stream: str, name: str) -> None:
    with emulated_ros2(IdealJoints(), {"stream": stream}) as (driver, emulator):
        driver.connect()
        assert state_of(emulator, name) == "inactive", "to connect changes nothing"
        driver.enable()
        (other,) = {FORWARD, FOLLOWER} - {name}
        assert state_of(emulator, name) == "active"
        assert state_of(emulator, other) == "inactive"
        driver.stop()
        driver.enable()
        driver.disconnect()
        assert state_of(emulator, name) == "active"


def test_an_arm_that_another_controller_holds_is_refused_and_left_as_it_was() -> None:
    with emulated_ros2(Plant(VIPERX, VIPERX.home), active=FOLLOWER) as (driver, emulator):
        driver.connect()
        remedy = f"--deactivate {FOLLOWER} --activate {FORWARD}"
        words = f"{FORWARD} is inactive, and {FOLLOWER} is active, which claims .*: .*{remedy}"
        with pytest.raises(RuntimeError, match=words):
            driver.enable()
        assert state_of(emulator, FOLLOWER) == "active"
        assert state_of(emulator, FORWARD) == "inactive"
        assert emulator.goals == 0


@pytest.mark.parametrize("stream", ["forward", "trajectory"])
def test_a_controller_that_another_program_begins_to_command_is_not_activated(stream: str) -> None:
    with emulated_ros2(IdealJoints(), {"stream": stream}) as (driver, emulator):
        driver.connect()
        ours = driver.link.stream
        name = topic_name(emulator.options.namespace, f"{driver.link.controller}/{ours.topic}")
        participant = join(emulator.options.domain, emulator.options.port)
        other = make_writer(participant, name, ours.kind, COMMAND)
        while not ours.other_writers():
            driver._pause()
        with pytest.raises(RuntimeError, match="another program commands"):
            driver.enable()
        assert state_of(emulator, driver.link.controller) == "inactive"
        assert emulator.goals == 0
        del other


def test_a_controller_that_is_not_loaded_is_refused_by_name() -> None:
    with emulated_ros2(Plant(VIPERX), {"controller": "scaled_controller"}) as (driver, _):
        words = f"scaled_controller is absent; there are .*{FORWARD}, {FOLLOWER}"
        with pytest.raises(RuntimeError, match=words):
            driver.connect()


def test_a_controller_of_other_interfaces_is_refused() -> None:
    with emulated_ros2(Plant(VIPERX)) as (driver, emulator):
        found = emulator.controllers.find(FORWARD)
        assert found is not None
        found.interfaces = tuple(f"{joint}/velocity" for joint in VIPERX.joints)
        with pytest.raises(RuntimeError, match="commands waist/velocity"):
            driver.connect()


def answer_nothing() -> None:
    """What a manager does whose middleware has other services."""


@pytest.mark.parametrize(("active", "order"), [(FORWARD, True), ("", True), (FORWARD, False)])
def test_a_manager_that_answers_no_service_needs_the_option_order_and_an_active_controller(
    active: str, order: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ",".join(sorted(VIPERX.joints))
    options = {"order": names} if order else {}
    with emulated_ros2(IdealJoints(), options, active=active) as (driver, emulator):
        monkeypatch.setattr(emulator._manager, "answer", answer_nothing)
        if not order:
            with pytest.raises(RuntimeError, match="does not tell its controllers"):
                driver.connect()
            return
        driver.connect()
        if not active:
            with pytest.raises(RuntimeError, match=f"{FORWARD} is inactive"):
                driver.enable()
            return
        driver.enable()
        target = VIPERX.home + 0.01 * np.arange(JOINTS)
        for _ in range(5):
            driver.write(Command(target, STILL))
            state = driver.read()
        np.testing.assert_allclose(state.q, target, atol=1e-9)


def test_a_strict_switch_does_all_or_nothing() -> None:
    with emulated_ros2(Plant(VIPERX), active=FORWARD) as (_, emulator):
        switch = emulator.controllers.switch
        assert "not loaded" in switch([FOLLOWER, "another"], [FORWARD])
        assert "already active" in switch([FORWARD], [])
        assert "not active" in switch([], [FOLLOWER])
        assert "which forward_position_controller has claimed" in switch([FOLLOWER], [])
        assert state_of(emulator, FORWARD) == "active"
        assert switch([FOLLOWER], [FORWARD]) == ""
        assert state_of(emulator, FORWARD) == "inactive"
        assert state_of(emulator, FOLLOWER) == "active"


def random_points() -> list[Point]:
    rng = np.random.default_rng(3)
    times = [0.0, 0.3, 0.4, 1.0]
    ends = rng.uniform(-1, 1, (2, len(times), JOINTS))
    ends[1, -1] = 0.0
    return [Point(time, q, dq) for time, q, dq in zip(times, *ends, strict=True)]


def test_a_trajectory_goes_through_its_points_and_holds_the_last() -> None:
    points = random_points()
    trajectory = Trajectory(5.0, points, Point(0.0, STILL, STILL))
    times = [point.time for point in points]
    q = np.array([point.q for point in points])
    spline = CubicHermiteSpline(times, q, np.array([point.dq for point in points]))
    for now in np.linspace(0.0, 0.999, 50):
        np.testing.assert_allclose(trajectory.sample(5.0 + now), spline(now), atol=1e-9)
    np.testing.assert_array_equal(trajectory.sample(50.0), points[-1].q)


def test_a_trajectory_without_velocities_goes_along_lines() -> None:
    points = [replace(point, dq=np.full(JOINTS, np.nan)) for point in random_points()]
    trajectory = Trajectory(5.0, points, Point(0.0, STILL, STILL))
    times = [point.time for point in points]
    q = np.array([point.q for point in points])
    for now in np.linspace(0.0, 0.999, 50):
        line = [np.interp(now, times, q[:, joint]) for joint in range(JOINTS)]
        np.testing.assert_allclose(trajectory.sample(5.0 + now), line, atol=1e-9)


def test_a_trajectory_without_a_point_at_its_start_begins_where_the_arm_is() -> None:
    here = Point(0.0, np.full(JOINTS, 0.3), STILL)
    trajectory = Trajectory(5.0, [Point(1.0, STILL, STILL)], here)
    np.testing.assert_allclose(trajectory.sample(5.0), here.q)
    np.testing.assert_allclose(trajectory.sample(5.5), 0.5 * here.q)


def test_the_emulated_arm_follows_a_trajectory_that_another_program_sends() -> None:
    joints = IdealJoints()
    with emulated_ros2(joints, active=FOLLOWER) as (driver, emulator):
        options = emulator.options
        name = topic_name(options.namespace, f"{FOLLOWER}/joint_trajectory")
        participant = join(options.domain, options.port)
        writer = make_writer(participant, name, messages.JointTrajectory, COMMAND)
        while not writer.get_matched_subscriptions():
            driver._pause()
        names = list(reversed(VIPERX.joints))
        ends = [messages.TrajectoryPoint([0.1 * k] * JOINTS, [0.0] * JOINTS) for k in range(2)]
        ends[1].positions[0] = 0.7  # of the last joint of the arm
        ends[1].time_from_start = messages.Duration(1)
        writer.write(messages.JointTrajectory(joint_names=names, points=ends))
        while not joints.commands:
            driver.advance(TICK)
        driver.advance(1.5)
        way = np.array(joints.commands)
        assert (np.diff(way, axis=0) >= 0).all()
        np.testing.assert_allclose(way[0], 0.0, atol=1e-4)  # one cycle after the first point
        np.testing.assert_allclose(way[-1], [0.1, 0.1, 0.1, 0.1, 0.1, 0.7])
        del writer


def spoil(values: list[float], value: float) -> None:
    values[-1] = value


REFUSED: dict[str, Callable[[messages.JointTrajectory], object]] = {
    "there is no point": lambda sent: sent.points.clear(),
    "joints are not those": lambda sent: sent.joint_names.pop(),
    "no number for each joint": lambda sent: sent.points[0].positions.pop(),
    "not finite": lambda sent: spoil(sent.points[0].positions, np.nan),
    "times do not increase": lambda sent: sent.points.append(sent.points[0]),
    "last point has a velocity": lambda sent: spoil(sent.points[0].velocities, 0.1),
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_trajectory_that_a_controller_refuses_is_refused(words: str) -> None:
    names = list(VIPERX.joints)
    point = messages.TrajectoryPoint([0.0] * JOINTS, [0.0] * JOINTS)
    sent = messages.JointTrajectory(joint_names=names, points=[point])
    assert len(points_of(sent, VIPERX.joints)) == 1
    REFUSED[words](sent)
    with pytest.raises(ValueError, match=words):
        points_of(sent, VIPERX.joints)


def test_the_stop_after_a_command_keeps_the_joints_limits_and_stays_on_a_line() -> None:
    """From every state that the gate lets an arm reach that pushes against all its limits."""
    gate = SafetyGate(LIMITS, TICK, 1)
    rng = np.random.default_rng(0)
    last = Point(0.0, STILL, STILL)
    braked = 0
    for k in range(600):
        wanted = 2 * LIMITS.dq * (1 if k % 300 < 150 else -1) * rng.uniform(0.5, 1, JOINTS)
        setpoint, _ = gate(wanted[None])
        q, dq = setpoint.q[0], setpoint.dq[0]
        points = trajectory_to_rest(last, q, dq, TICK, LIMITS)
        last = Point(TICK, q, dq)
        if len(points) < 3:
            continue
        braked += 1
        rest = points[-1]
        seconds = rest.time - TICK
        distance = dq**2 / (2 * np.abs(dq / seconds))  # v²/2a of every joint
        np.testing.assert_allclose(np.abs(rest.q - q), distance, atol=1e-9)  # not cut at a limit
        assert (np.abs(dq / seconds) <= LIMITS.ddq + 1e-9).all()
        assert np.isclose(np.abs(dq / seconds) / LIMITS.ddq, 1).any(), "no longer than needed"
        half = Trajectory(0.0, points, last).sample(TICK + 0.5 * seconds)
        np.testing.assert_allclose(half, q + 0.75 * (rest.q - q), atol=1e-9)  # constant braking
    assert braked > 300


def test_trajectories_one_after_the_other_join_smoothly() -> None:
    """Without a step back, and hardly faster between two setpoints than at them."""
    gate = SafetyGate(LIMITS, TICK, 1)
    last = Point(0.0, STILL, STILL)
    commands = []
    for k in range(60):
        setpoint, _ = gate(0.8 * np.ones((1, JOINTS)))
        now = Point(TICK, setpoint.q[0], setpoint.dq[0])
        points = trajectory_to_rest(last, now.q, now.dq, TICK, LIMITS)
        trajectory = Trajectory(k * TICK, points, last)
        commands += [trajectory.sample(k * TICK + share * TICK) for share in np.arange(0, 1, 0.2)]
        last = now
    speeds = np.diff(commands, axis=0) / (0.2 * TICK)
    assert (speeds >= 0).all()
    assert (speeds < 0.8 + LIMITS.ddq * TICK / 4).all()
    np.testing.assert_allclose(speeds[-1], 0.8, atol=1e-6)


def move(driver: PacedRos2, ticks: int) -> tuple[Array, Array]:
    """Move all joints through the gate; returns the last setpoint's position and velocity."""
    gate = SafetyGate(LIMITS, TICK, 1)
    gate.reset(driver.read().q[None])
    for _ in range(ticks):
        setpoint, _ = gate(np.full((1, JOINTS), 0.8))
        driver.write(Command(setpoint.q[0], setpoint.dq[0]))
        driver.read()
    return setpoint.q[0], setpoint.dq[0]


def test_an_arm_whose_client_is_killed_brakes_and_rests_where_its_last_trajectory_ends() -> None:
    joints = IdealJoints()
    with emulated_ros2(joints, {"stream": "trajectory"}) as (driver, _):
        driver.connect()
        driver.enable()
        q, dq = move(driver, 40)
        assert np.abs(dq).min() > 0.5
        braking = float((np.abs(dq) / LIMITS.ddq).max())
        before = len(joints.commands)
        for _ in range(100):
            driver.advance(TICK)
        way = np.array(joints.commands[before:])
        moving = np.abs(np.diff(way, axis=0)).max(axis=1) > 0
        assert TICK * moving.sum() <= braking + 3 * TICK  # the last command may have come late
        assert not moving[-50:].any()
        np.testing.assert_allclose(joints.q, q + 0.5 * braking * dq, atol=1e-9)


def test_a_soft_arm_sags_no_further_where_it_is_told_the_same_in_each_tick(
    trajectory_arm: Arm,
) -> None:
    driver, _ = trajectory_arm
    driver.enable()
    target = driver.read().target
    assert target is not None
    sags = []
    for told in (False, True):
        for _ in range(150):
            if told:
                driver.write(Command(target, STILL))
            state = driver.read()
        sags.append(np.abs(state.q - target).max())
    assert sags[0] > 1e-3, "it is soft"
    assert sags[1] == pytest.approx(sags[0], rel=0.05)


def test_a_command_with_a_velocity_that_is_not_finite_is_refused(trajectory_arm: Arm) -> None:
    driver, emulator = trajectory_arm
    driver.enable()
    while emulator.goals == 0:  # until the command to stay has come
        driver.advance(TICK)
    goals = emulator.goals
    for bad in (np.nan, np.inf):
        with pytest.raises(BadArgumentError, match="must be finite"):
            driver.write(Command(VIPERX.home, np.full(JOINTS, bad)))
    for _ in range(5):
        driver.advance(TICK)
    assert emulator.goals == goals
