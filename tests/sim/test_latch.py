"""What latch claims: a latch holds as its formula says, and tasks choose doors or drawers."""

from dataclasses import replace

import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.scene import Joint
from robots.signals import Array, Signals
from robots.world import Start, Step, Task
from sim.engines.mujoco_jointed import ObjectOnJoint
from sim.families import arms_for, make_family
from sim.families.latch import HINGE, PANEL, SLIDE, Latch
from sim.objects import describe
from sim.vec_world import VecWorld

FAMILY = Latch()
DOOR = 0
DRAWER = 1
every_engine = pytest.mark.parametrize("engine", ["mujoco", "bullet"])


def panels(kind: Array, **others: float | Array) -> Task:
    """Panels of kinds (n,); the other parameters by the last part of their name."""
    numbers: dict[str, float | Array] = {
        "joint_y": 0.1,
        "joint_friction": 0.03,
        "joint_damping": 0.0,
        "joint_latch": 0.0,
        "mass": 0.3,
        "opening": 0.1,
    }
    columns = [np.broadcast_to(value, len(kind)) for value in (numbers | others).values()]
    return Task(FAMILY.task_names, np.stack([kind, *columns], -1), np.arange(len(kind)))


def play(
    engine: str,
    task: Task,
    action: Array,
    family: Latch = FAMILY,
    start: Start | None = None,
) -> tuple[Step, list[Signals]]:
    """The outcome of knocks, and the signals after every control period."""
    world = VecWorld(family, engine, len(task))
    world.reset(task, start=start)
    frames: list[Signals] = []

    def keep(world: VecWorld) -> None:
        frames.append(world.signals)

    world.on_frame = keep
    step = world.step(action)
    world.close()
    return step, frames


def turned(angle: Array) -> Array:
    """Quaternions (n, 4) of turns by (n,) rad about z."""
    zero = np.zeros_like(angle)
    return np.stack([np.cos(angle / 2), zero, zero, np.sin(angle / 2)], -1)


def latch_energy(position: Array, latch: float, width: float) -> Array:
    """What it takes to bring a joint to a position: the area under a triangle, J."""
    peak = width / 4
    beyond = np.minimum(np.abs(position), width)
    rising = latch * np.minimum(beyond, peak) ** 2 / (2 * peak)
    rest = width - np.maximum(beyond, peak)
    falling = latch * ((width - peak) ** 2 - rest**2) / (2 * (width - peak))
    return rising + falling


def test_the_pose_that_follows_from_a_joint_is_that_of_mujocos_kinematics() -> None:
    """Doors and drawers, closed and open, with hinges in several places."""
    kind = np.array([DOOR, DOOR, DRAWER, DRAWER])
    task = panels(kind, joint_y=np.array([0.1, 0.12, 0.08, 0.1]))
    angle = np.array([0.0, 0.7, 0.0, 0.0])
    opening = np.array([0.0, 0.0, 0.0, 0.15])
    shift = np.stack([opening, 0 * opening, 0 * opening], -1)
    world = VecWorld(FAMILY, "mujoco", len(task))
    start = FAMILY.start(world.rng, task)
    start = replace(start, object_pos=FAMILY.place + shift, object_quat=turned(angle))
    world.reset(task, start=start)
    (item,) = FAMILY.scene.objects
    panel = ObjectOnJoint(item, angle + opening)
    panel.choose(describe(item, task).parameters, np.arange(len(kind)))
    pos, quat = panel.pose()
    np.testing.assert_allclose(pos, world.signals.object_pos, atol=1e-12)
    np.testing.assert_allclose(quat, world.signals.object_quat, atol=1e-12)
    moved = np.linalg.norm(pos - FAMILY.place, axis=-1)
    assert (moved[[1, 3]] > 0.05).all()  # they are open


@every_engine
def test_a_latch_gives_a_panel_the_energy_of_its_formula(engine: str) -> None:
    """A panel begins at rest, open within its latch, and the latch closes it without friction."""
    width = 0.2
    latch = 0.5
    mass = 2.0
    family = Latch()
    (panel,) = family.scene.objects
    joints = (replace(HINGE, latch_width=width), replace(SLIDE, latch_width=width))
    family.scene = replace(family.scene, objects=(replace(panel, joints=joints),))
    y = 0.12
    position = np.array([0.04, 0.15, 0.04, 0.15])
    angle = np.array([*position[:2], 0.0, 0.0])
    shift = np.zeros((4, 3))
    shift[:, 0] = [*(y * np.sin(position[:2])), *position[2:]]
    shift[:, 1] = [*(y * (1 - np.cos(position[:2]))), 0.0, 0.0]
    task = panels(
        np.array([DOOR, DOOR, DRAWER, DRAWER], dtype=float),
        joint_y=y,
        joint_friction=0.0,
        joint_latch=np.array([0.1, 0.1, latch, latch]),
        mass=mass,
    )
    start = Start(np.tile(family.ready, (4, 1)), None, family.place + shift, turned(angle))
    _, frames = play(engine, task, np.full((4, 2), -1.0), family, start)
    inertia = mass * ((PANEL[0] ** 2 + PANEL[1] ** 2) / 3 + y**2)
    for signals in frames[:6]:  # before the tool is there
        turn = 2 * np.arctan2(signals.object_quat[:2, 3], signals.object_quat[:2, 0])
        energy = inertia * signals.object_vel[:2, 5] ** 2 / 2 + latch_energy(turn, 0.1, width)
        np.testing.assert_allclose(energy, latch_energy(position[:2], 0.1, width), rtol=0.03)
        x = signals.object_pos[2:, 0] - family.place[0]
        energy = mass * signals.object_vel[2:, 0] ** 2 / 2 + latch_energy(x, latch, width)
        np.testing.assert_allclose(energy, latch_energy(position[2:], latch, width), rtol=0.03)
    assert (np.abs(frames[5].object_vel[:, :3]).max(1) > 0.02).all()


@every_engine
def test_a_task_chooses_between_door_and_drawer(engine: str) -> None:
    """The second task of each world is of the other kind than the first."""
    world = VecWorld(FAMILY, engine, 4)
    kind = np.array([DOOR, DRAWER, DOOR, DRAWER], dtype=float)
    hinge = np.array([0.1, 0.1, -0.08, -0.08])
    for kinds in (kind, 1 - kind):
        friction = np.where(kinds == DOOR, 0.05, 0.5)
        world.reset(panels(kinds, joint_y=hinge, joint_friction=friction))
        step = world.step(np.zeros((4, 2)))
        x, y, sin_yaw, cos_yaw, _ = step.obs.T
        x = x - FAMILY.place[0]
        is_door = kinds == DOOR
        assert (x[~is_door] > 0.03).all()
        np.testing.assert_allclose(np.stack([y, sin_yaw])[:, ~is_door], 0, atol=1e-9)
        own_hinge = hinge[is_door]
        turn = (np.sign(own_hinge) * sin_yaw[is_door], cos_yaw[is_door])
        assert (np.arctan2(*turn) > 0.1).all()
        np.testing.assert_allclose(x[is_door], own_hinge * sin_yaw[is_door], atol=1e-6)
        np.testing.assert_allclose(y[is_door], own_hinge * (1 - cos_yaw[is_door]), atol=1e-6)
    world.close()


@every_engine
def test_only_a_hard_knock_frees_a_strong_latch(engine: str) -> None:
    kind = np.array([DOOR, DRAWER] * 3, dtype=float)
    lever = np.where(kind == DOOR, 0.1, 1.0)
    latch = lever * np.array([0.0, 0.0, 4.0, 4.0, 4.0, 4.0])  # N, of a door at 10 cm
    speed = np.array([-0.8, -0.8, -0.8, -0.8, 0.5, 0.5])
    task = panels(kind, joint_friction=0.2 * lever, joint_latch=latch)
    step, _ = play(engine, task, np.stack([speed, np.zeros(6)], -1))
    opening = FAMILY.opening(step.obs)
    free = np.array([True, True, False, False, True, True])
    assert (opening[free] > 0.02).all()
    assert (opening[~free] < [0.1 * (PANEL[1] + 0.1), 0.1 * 0.1]).all()  # within its latch


def test_both_engines_open_a_panel_alike() -> None:
    rng = np.random.default_rng(0)
    task = FAMILY.sample(rng, 12)
    action = np.stack([rng.uniform(-0.6, 0.2, 12), rng.uniform(-1, 1, 12)], -1)
    steps = [play(engine, task, action)[0] for engine in ("mujoco", "bullet")]
    first, second = (FAMILY.opening(step.obs) for step in steps)
    apart = np.abs(first - second)
    assert (first > 0.05).mean() > 0.4
    assert np.median(apart) < 0.005
    assert (apart < 0.02).mean() > 0.85


def test_the_opening_is_the_shift_of_the_end_that_has_moved_furthest() -> None:
    angle = np.array([0.5, 0.3, 0.0])
    hinge = np.array([0.12, -0.06, 0.0])
    yaw = np.where(hinge < 0, -angle, angle)
    shift = np.array([0.0, 0.0, 0.1])
    x = FAMILY.place[0] + hinge * np.sin(yaw) + shift
    y = hinge * (1 - np.cos(yaw))
    obs = np.stack([x, y, np.sin(yaw), np.cos(yaw), np.full(3, 0.1)], -1)
    radius = PANEL[1] + np.abs(hinge)
    expected = np.where(shift, shift, 2 * radius * np.sin(angle / 2))
    np.testing.assert_allclose(FAMILY.opening(obs), expected)
    error = np.abs(expected - 0.1)
    success = FAMILY.success(obs, np.zeros((3, 7)))
    assert success.tolist() == (error <= FAMILY.tolerance).tolist()
    assert success.tolist() == [False, False, True]


@pytest.mark.parametrize("arm", arms_for("latch"))
def test_every_arm_frees_every_latch_of_training(arm: str) -> None:
    family = make_family("latch", arm)
    assert isinstance(family, Latch)
    task = family.sample(np.random.default_rng(0), 12)
    step, _ = play("mujoco", task, np.tile([1.0, 0.0], (12, 1)), family)
    assert (family.opening(step.obs) > 0.05).all()


def test_a_latch_without_a_width_and_a_joint_that_does_not_exist_are_refused() -> None:
    with pytest.raises(BadArgumentError, match="latch_width"):
        Joint(latch=1.0)
    with pytest.raises(BadArgumentError, match="latch of a joint must be at least 0, got -1"):
        Joint(latch=-1.0, latch_width=0.1)
    world = VecWorld(FAMILY, "mujoco", 1)
    with pytest.raises(BadArgumentError, match=r"panel\.joint is the index of one of 2 joints"):
        world.reset(panels(np.array([2.0])))
    world.close()
