"""What slide_plane claims: a strike from any side, untouched until then, targets out of reach."""

import numpy as np
import pytest

from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint
from robots.world import Start, Task
from sim.families import arms_for
from sim.families.object_on_table import COS_YAW, OBJECT_X, OBJECT_Y, SIN_YAW
from sim.families.slide_plane import ARC, PLACE_NOISE, RADIUS, SlidePlane
from sim.vec_world import VecWorld

FAMILY = SlidePlane()
MARK = np.array(FAMILY.mark)
TIP = 0.02  # m, radius of the tool's ball
PLACE = [OBJECT_X, OBJECT_Y]
every_arm = pytest.mark.parametrize("arm", arms_for("slide_plane"))


def objects(n: int, **changes: float | Array) -> Task:
    """Boxes of 8 by 10 cm with some parameters changed, such as ``com_y``."""
    numbers = {
        "shape": 0.0,
        "size_x": 0.04,
        "size_y": 0.05,
        "size_z": 0.02,
        "mass": 0.3,
        "friction": 0.1,
        "restitution": 0.3,
        "com_y": 0.0,
    }
    columns = [np.full(n, value) for value in (numbers | changes).values()]
    target = np.tile([MARK[0] + 0.45, MARK[1]], (n, 1))
    values = np.concatenate([np.stack(columns, -1), target], 1)
    return Task(FAMILY.task_names, values, np.arange(n))


def action_of(family: SlidePlane, direction: Array, speed: Array, offset: Array) -> Array:
    """Actions (n, 3) that ask for strikes in rad, m/s and m, (n,) each."""
    spec = family.action.spec
    values = np.stack([direction, speed, offset], -1)
    return np.asarray(2 * (values - spec.low) / (spec.high - spec.low) - 1)


def strike(engine: str, task: Task, start: Start, action: Array) -> Array:
    """Observations (n, o) after strikes."""
    world = VecWorld(FAMILY, engine, len(task), seed=0)
    world.reset(task, start=start)
    step = world.step(action)
    speed = np.abs(world.signals.object_vel[:, :2])
    world.close()
    assert speed.max() < 2e-3, "m/s: the object has come to rest"
    return step.obs


@every_arm
@pytest.mark.parametrize("split", ["train", "heldout"])
def test_no_target_can_be_reached_by_pushing_the_object_there(arm: str, split: str) -> None:
    """Not even with the furthest corner of the object at the tool, in a corner of its box."""
    family = SlidePlane(ARMS[arm])
    task = family.sample(np.random.default_rng(0), 2000, split)
    target = task.columns("marker.x", "marker.y")
    low, high = family.limits.tool_box[:2].T
    from_box = np.linalg.norm(target - target.clip(low, high), axis=1)
    corner = np.hypot(task["object.size_x"], task["object.size_y"])
    assert (from_box - TIP - corner > family.target_radius).all()


def test_targets_lie_on_all_sides_that_the_tool_can_strike_to() -> None:
    task = FAMILY.sample(np.random.default_rng(0), 500)
    x, y = (task.columns("marker.x", "marker.y") - MARK).T
    bearing = np.arctan2(y, x)
    count, _ = np.histogram(bearing, np.linspace(-ARC, ARC, 9))
    assert count.min() > 30
    assert count.sum() == 500
    spec = FAMILY.action.spec
    assert spec.low[0] < -ARC < ARC < spec.high[0]


def test_an_object_roughly_faces_its_target_wherever_that_is() -> None:
    task = FAMILY.sample(np.random.default_rng(0), 500)
    world = VecWorld(FAMILY, "mujoco", 500, seed=0)
    obs = world.reset(task)
    world.close()
    x, y = (task.columns("marker.x", "marker.y") - obs[:, PLACE]).T
    turned = np.arctan2(obs[:, SIN_YAW], obs[:, COS_YAW]) - np.arctan2(y, x)
    error = np.abs(np.angle(np.exp(1j * turned)))
    assert 0.08 < error.max() < 0.101


@every_arm
def test_the_tool_goes_around_the_largest_objects_without_touching_them(arm: str) -> None:
    """Strikes without speed end where others gather it: behind the object, on the line."""
    family = SlidePlane(ARMS[arm])
    direction = np.repeat(np.linspace(-ARC, ARC, 9), 2)
    n = len(direction)
    offset = np.tile([-0.05, 0.05], n // 2)
    task = family.sample(np.random.default_rng(0), n, "heldout")
    largest = {"object.size_x": np.full(n, 0.055), "object.size_y": np.full(n, 0.065)}
    task = task.with_columns(largest | {"object.shape": np.zeros(n)})
    corners = PLACE_NOISE * np.tile([[1, 1], [1, -1], [-1, 1]], (n // 3, 1))
    place = np.array(family.mark) + corners
    start = family.start_at(task, place, np.random.default_rng(0).uniform(-np.pi, np.pi, n))
    box = family.limits.tool_box
    kinematics = Kinematics(family.body)

    def tool_is_in_its_box(world: VecWorld) -> None:
        tool = kinematics.position(world.gate.setpoint.q)
        assert ((tool > box[:, 0] - 2e-3) & (tool < box[:, 1] + 2e-3)).all()

    world = VecWorld(family, "mujoco", n, seed=0)
    before = world.reset(task, start=start)
    world.on_frame = tool_is_in_its_box
    after = world.step(action_of(family, direction, np.zeros(n), offset)).obs
    tool = kinematics.position(world.gate.setpoint.q)
    world.close()
    np.testing.assert_allclose(after, before, atol=2e-4)
    forward = np.stack([np.cos(direction), np.sin(direction)], -1)
    left = np.stack([-np.sin(direction), np.cos(direction)], -1)
    back = np.sqrt(RADIUS**2 - offset**2)
    behind = np.array(family.mark) - back[:, None] * forward + offset[:, None] * left
    np.testing.assert_allclose(tool[:, :2], behind, atol=5e-3)


@pytest.mark.parametrize(
    ("engine", "spread", "turn"), [("mujoco", 0.02, 0.02), ("bullet", 0.07, 0.1)]
)
def test_an_object_goes_as_far_to_any_side(engine: str, spread: float, turn: float) -> None:
    """About v² (1 + e)² / (2 μ g) m, toward where it was struck; v is 0.6 m/s.

    Friction in PyBullet depends on the direction: along a diagonal objects slide 10 % further.
    """
    direction = np.linspace(-ARC, ARC, 7)
    n = len(direction)
    task = objects(n)
    start = FAMILY.start_at(task, np.tile(MARK, (n, 1)), direction)
    action = action_of(FAMILY, direction, np.full(n, 0.6), np.zeros(n))
    obs = strike(engine, task, start, action)
    x, y = (obs[:, PLACE] - MARK).T
    np.testing.assert_allclose(np.arctan2(y, x), direction, atol=turn)
    distance = np.hypot(x, y)
    expected = (0.6 * 1.3) ** 2 / (2 * 0.1 * 9.81)
    np.testing.assert_allclose(distance, expected, rtol=0.35)
    assert distance.std() / distance.mean() < spread


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_a_mirrored_task_has_a_mirrored_outcome(engine: str) -> None:
    """In the plane y = 0, in which the arm begins: object, center of mass, strike and end."""
    rng = np.random.default_rng(0)
    direction = rng.uniform(-ARC, ARC, 6)
    offset = rng.uniform(-0.01, 0.01, 6)
    side = np.repeat([1.0, -1.0], 6)  # the second half are the mirrored ones
    shape = np.tile([0.0, 1.0, 2.0, 0.0, 1.0, 2.0], 2)
    task = objects(12, shape=shape, com_y=0.004 * side)
    place = MARK + np.tile(rng.uniform(-PLACE_NOISE, PLACE_NOISE, (6, 2)), (2, 1))
    place[6:, 1] *= -1
    turned = direction + rng.uniform(-0.1, 0.1, 6)
    start = FAMILY.start_at(task, place, side * np.tile(turned, 2))
    action = action_of(
        FAMILY, side * np.tile(direction, 2), np.full(12, 0.6), side * np.tile(offset, 2)
    )
    obs = strike(engine, task, start, action)
    moved = np.linalg.norm(obs[:, PLACE] - place, axis=1)
    assert moved.min() > 0.1
    mirrored = obs[6:, PLACE] * (1, -1)
    np.testing.assert_allclose(mirrored, obs[:6, PLACE], atol=0.02)


def test_what_a_strike_asks_of_the_joints_follows_from_the_setpoint_alone() -> None:
    """The tool begins on the circle: it goes around it either way, or strikes."""
    kinematics = Kinematics(FAMILY.body)
    q = FAMILY.ready[None]
    rest = np.zeros((1, 7))
    _, _, jacobian = kinematics.forward_jacobian(q)
    cases = ((0.0, (0.5, 0.0)), (1.5, (0.0, -0.4)), (-1.5, (0.0, 0.4)))
    for direction, expected in cases:
        column = np.array([direction])
        action = action_of(FAMILY, column, np.array([0.5]), np.zeros(1))
        dq = FAMILY.action(action, Setpoint(q, rest, rest))
        np.testing.assert_allclose(jacobian[0, :2] @ dq[0], expected, atol=0.02)
