"""What door claims: the panel turns about its task's hinge, as far as geometry and friction say."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.scene import Joint
from robots.signals import Array, Signals
from robots.world import Start, Step, Task
from sim.engines.bullet import BulletEngine
from sim.families import arms_for, make_family
from sim.families.door import BESIDE, MOST_OPEN, PANEL, TARGET_ANGLE, YAW, Door
from sim.vec_world import VecWorld

FAMILY = Door()
BALL = 0.02  # m, radius of the striker's ball
SMALL_BALL = 0.01  # m, that of a stylus
STYLUS = ("so101", "viperx")  # arms with one
HINGES = np.array([-0.11, -0.06, 0.06, 0.11])
every_engine = pytest.mark.parametrize("engine", ["mujoco", "bullet"])


def doors(
    hinge: Array, friction: float | Array = 0.1, damping: float | Array = 0.0, mass: float = 0.5
) -> Task:
    """Doors with hinges (n,)."""
    columns = [np.broadcast_to(value, len(hinge)) for value in (hinge, friction, damping, mass)]
    columns.append(np.full(len(hinge), 0.5))
    return Task(FAMILY.task_names, np.stack(columns, -1), np.arange(len(hinge)))


def straight(family: Door, offset: Array, end: Array) -> Array:
    """Actions (n, 3) of pushes along x, beside the middle by (n,) m, to x = end (n,) m."""
    spec = family.action.spec
    values = np.stack([offset, np.zeros_like(offset), end], -1)
    return np.asarray(2 * (values - spec.low) / (spec.high - spec.low) - 1)


def play(
    engine: str, task: Task, action: Array, family: Door = FAMILY
) -> tuple[Step, list[Signals]]:
    """The outcome of pushes, and the signals after every control period."""
    world = VecWorld(family, engine, len(task))
    world.reset(task)
    frames: list[Signals] = []

    def keep(world: VecWorld) -> None:
        frames.append(world.signals)

    world.on_frame = keep
    step = world.step(action)
    world.close()
    return step, frames


def angle_of_contact(lever: Array, depth: Array) -> Array:
    """The angle of a door that the tool's ball touches, (n,) rad.

    The ball's center is as far from the panel's middle plane as half its thickness and the ball's
    radius: lever · sin(angle) - depth · cos(angle) = d.

    Args:
        lever: (n,) m, from the hinge to the ball, along the closed panel.
        depth: (n,) m, of the ball's center beyond the middle plane of the closed panel.
    """
    distance = PANEL[0] + BALL
    return np.arctan2(depth, lever) + np.arcsin(distance / np.hypot(lever, depth))


@every_engine
def test_a_door_that_friction_stops_at_once_is_as_open_as_the_tool_has_pushed_it(
    engine: str,
) -> None:
    offset = np.array([-0.01, 0.01, -0.015, 0.0])
    depth = np.array([0.02, 0.04, 0.0, 0.06])
    lever = np.abs(HINGES - offset)
    task = doors(HINGES, friction=0.3, mass=0.2)
    step, _ = play(engine, task, straight(FAMILY, offset, FAMILY.place[0] + depth))
    expected = np.sign(HINGES) * angle_of_contact(lever, depth)
    assert np.degrees(np.abs(step.obs[:, YAW] - expected)).max() < 2


@every_engine
def test_a_door_turns_about_the_hinge_of_its_task(engine: str) -> None:
    offset = np.array([0.01, 0.0, -0.01, 0.015])
    end = np.full(4, FAMILY.place[0] + 0.03)
    step, _ = play(engine, doors(HINGES), straight(FAMILY, offset, end))
    x, y, yaw, _ = step.obs.T
    assert (np.sign(HINGES) * yaw > 0.2).all()
    hinge_x = x - HINGES * np.sin(yaw)
    hinge_y = y + HINGES * np.cos(yaw)
    np.testing.assert_allclose(hinge_x, FAMILY.place[0], atol=1e-6)
    np.testing.assert_allclose(hinge_y, HINGES, atol=1e-6)


@every_engine
@pytest.mark.parametrize(("friction", "damping"), [(0.08, 0.0), (0.0, 0.04)])
def test_a_door_swings_on_as_its_inertia_and_hinge_say(
    engine: str, friction: float, damping: float
) -> None:
    """Dry friction τ stops it after I·ω²/2τ, damping c after I·ω/c."""
    hinge = np.array([-0.11, 0.08])
    task = doors(hinge, friction, damping)
    action = straight(FAMILY, np.zeros(2), np.full(2, FAMILY.place[0] - 0.005))
    _, frames = play(engine, task, action)
    rate = np.array([signals.object_vel[:, 5] for signals in frames])  # (frames, n)
    yaw = np.array([FAMILY.observe(signals)[:, YAW] for signals in frames])
    free = int(np.abs(rate).max(1).argmax()) + 1  # the tool brakes, and the door has left it
    mass = 0.5
    inertia = mass * ((PANEL[0] ** 2 + PANEL[1] ** 2) / 3 + hinge**2)
    assert (np.abs(rate[free]) > 0.4).all()
    swing = inertia * np.abs(rate[free]) / damping if damping else 0.0
    if friction:
        swing = inertia * rate[free] ** 2 / (2 * friction)
    np.testing.assert_allclose(np.abs(yaw[-1] - yaw[free]), swing, rtol=0.1)


def test_both_engines_open_a_door_alike() -> None:
    rng = np.random.default_rng(0)
    task = FAMILY.sample(rng, 24)
    offset = rng.uniform(-BESIDE, BESIDE, 24)
    end = FAMILY.place[0] + rng.uniform(-0.02, 0.05, 24)
    action = straight(FAMILY, offset, end)
    angles = [play(engine, task, action)[0].obs[:, YAW] for engine in ("mujoco", "bullet")]
    apart = np.degrees(np.abs(angles[0] - angles[1]))
    assert np.median(np.abs(angles[0])) > 0.3
    assert np.median(apart) < 1
    assert (apart < 5).mean() > 0.9


@every_engine
def test_a_drawer_moves_along_its_slide_alone(engine: str) -> None:
    family = Door()
    (panel,) = family.scene.objects
    slide = Joint("slide", (1.0, 0.0, 0.0), limits=(-0.01, 0.06), friction=2.0)
    family.scene = replace(family.scene, objects=(replace(panel, joints=(slide,)),))
    task = doors(np.zeros(2), friction=2.0)  # N
    x = family.place[0]
    depth = np.array([0.03, 0.09])
    step, _ = play(engine, task, straight(family, np.array([0.0, 0.01]), x + depth), family)
    touching = PANEL[0] + BALL
    expected = [depth[0] + touching, 0.06]  # the second one is at its stop
    np.testing.assert_allclose(step.obs[:, 0] - x, expected, atol=3e-3)
    np.testing.assert_allclose(step.obs[:, 1:3], 0, atol=1e-6)


@every_engine
def test_a_door_may_begin_open(engine: str) -> None:
    angle = np.array([-0.4, 1.0, 0.3])
    hinge = np.array([-0.08, 0.05, 0.07])
    sign = np.array([1.0, 1.0, -1.0])  # of a quaternion: both mean the same
    zero = np.zeros(3)
    shift = np.stack([hinge * np.sin(angle), hinge * (1 - np.cos(angle)), zero], -1)
    quat = sign[:, None] * np.stack([np.cos(angle / 2), zero, zero, np.sin(angle / 2)], -1)
    start = Start(np.tile(FAMILY.ready, (3, 1)), None, FAMILY.place + shift, quat)
    world = VecWorld(FAMILY, engine, 3)
    obs = world.reset(doors(hinge), start=start)
    np.testing.assert_allclose(obs[:, YAW], angle, atol=1e-9)
    np.testing.assert_allclose(obs[:, :2], FAMILY.place[:2] + shift[:, :2], atol=1e-9)
    np.testing.assert_array_equal(world.reset(doors(hinge))[:, YAW], 0)
    world.close()


def test_a_return_is_largest_at_the_target_angle_to_either_side() -> None:
    rows = [0.0, 0.3, 0.5, -0.5, 0.55, 0.7, MOST_OPEN]
    obs = np.array([[0.45, 0.0, yaw, 0.5] for yaw in rows])
    closed = np.repeat(obs[:1], len(rows), 0)
    action = np.zeros((len(rows), 3))
    returns = FAMILY.reward(closed, action, obs, np.zeros((len(rows), 5)))
    assert returns[0] == 0
    assert returns[2] == returns[3] == returns.max()
    assert returns[4] > returns[1]
    assert returns[-1] < 0
    success = FAMILY.success(obs, np.zeros((len(rows), 5)))
    assert success.tolist() == [False, False, True, True, True, False, False]


@pytest.mark.parametrize("arm", arms_for("door"))
def test_every_arm_opens_doors_of_both_sides_to_their_target(arm: str) -> None:
    """By geometry: the tool pushes until it touches a door at its target angle."""
    family = make_family("door", arm)
    assert isinstance(family, Door)
    task = doors(HINGES, friction=0.3, mass=0.2)
    lever = np.abs(HINGES)
    angle = 0.5
    distance = PANEL[0] + (SMALL_BALL if arm in STYLUS else BALL)
    depth = (lever * np.sin(angle) - distance) / np.cos(angle)
    step, _ = play("mujoco", task, straight(family, np.zeros(4), family.place[0] + depth), family)
    assert np.abs(step.obs[:, TARGET_ANGLE] - angle).max() < 1e-9
    assert step.success.all()


WRONG: dict[str, dict[str, Any]] = {
    "a hinge or a slide": {"kind": "ball"},
    "unit vector": {"axis": (0.0, 0.0, 2.0)},
    "finite": {"place": (0.0, np.nan, 0.0)},
    "enclose 0": {"limits": (0.1, 1.0)},
    "at least 0, got -1": {"friction": -1.0},
    "at least 0, got nan": {"damping": np.nan},
}


@pytest.mark.parametrize(("message", "fields"), WRONG.items(), ids=list(WRONG))
def test_an_impossible_joint_is_refused(message: str, fields: dict[str, Any]) -> None:
    with pytest.raises(BadArgumentError, match=message):
        Joint(**fields)


def test_no_push_jams_the_tool_at_a_hinge() -> None:
    """On the twin's engine, whose forces the watchdog of an arm would see."""
    rng = np.random.default_rng(0)
    task = FAMILY.sample(rng, 16)
    world = VecWorld(FAMILY, "bullet", 16)
    engine = world.engine
    assert isinstance(engine, BulletEngine)
    world.reset(task)
    forces = []

    def measure(world: VecWorld) -> None:
        forces.append(np.linalg.norm(engine.tool_wrenches()[:, :3], axis=-1))

    world.on_frame = measure
    step = world.step(rng.choice([-1.0, 1.0], (16, 3)))
    world.close()
    assert (np.abs(step.obs[:, YAW]) > 0.3).any()
    limit = FAMILY.body.limits.force
    held = np.minimum(forces[:-1], forces[1:])  # over 0.1 s
    assert held.max() < limit / 2
