"""What lift claims: a gripper holds by friction, and knowing the center of mass is worth much."""

from dataclasses import replace

import numpy as np
import pytest

from robots.bodies import make_arm_gate
from robots.catalog import ARMS
from robots.catalog.panda_hand import FRANKA_HAND, PANDA_HAND
from robots.errors import BadArgumentError
from robots.kinematics import GRAVITY, Kinematics
from robots.rotations import rotation_about
from robots.signals import Array, Setpoint, Signals
from robots.world import Start, Step, Task
from sim.families import arms_for
from sim.families.lift import HALF_HEIGHT, HALF_WIDTH, Lift
from sim.vec_world import VecWorld

FAMILY = Lift()
LIFTED = 27  # control periods after which the bar is in the air
every_engine = pytest.mark.parametrize("engine", ["mujoco", "bullet"])


def bars(n: int, mass: float = 0.5, friction: float = 0.5, com: float | Array = 0.0) -> Task:
    columns = [np.full(n, value) for value in (0.115, mass, friction)]
    columns.append(np.broadcast_to(com, n))
    return Task(FAMILY.task_names, np.stack(columns, -1), np.arange(n))


def in_the_middle(n: int) -> Start:
    """Bars in the middle of the pick place, along x."""
    place = (*FAMILY.zone.pick, HALF_HEIGHT)
    return Start(q=np.tile(FAMILY.zone.ready, (n, 1)), object_pos=np.tile(place, (n, 1)))


def action_of(offset: Array, force: Array) -> Array:
    """Actions (n, 2) that ask for grasps in m and N, (n,) each."""
    spec = FAMILY.action.spec
    values = np.stack([offset, force], -1)
    return np.asarray(2 * (values - spec.low) / (spec.high - spec.low) - 1)


def grasp(engine: str, task: Task, offset: Array, force: Array) -> tuple[Step, list[Signals]]:
    """The outcome of grasps at bars in the middle, and the signals after every control period."""
    n = len(task)
    world = VecWorld(FAMILY, engine, n, seed=0)
    world.reset(task, start=in_the_middle(n))
    frames: list[Signals] = []

    def keep(world: VecWorld) -> None:
        frames.append(world.signals)

    world.on_frame = keep
    step = world.step(action_of(offset, force))
    world.close()
    return step, frames


@every_engine
def test_fingers_press_with_the_force_that_is_asked_for(engine: str) -> None:
    force = np.array([10.0, 20.0, 30.0])
    _, frames = grasp(engine, bars(3), np.zeros(3), force)
    motor = -frames[LIFTED].tau[:, -1]
    # the contact gives way, in Bullet by 4 mm where the spring is stretched by 15 mm
    assert (motor > 0.75 * 2 * force).all()
    assert (motor < 1.02 * 2 * force).all()
    width = frames[LIFTED].q[:, -1]
    assert np.abs(width - HALF_WIDTH).max() < 0.004


@every_engine
def test_a_bar_is_held_by_friction_alone(engine: str) -> None:
    """Two fingers hold 2·μ·F: a fifth more than the weight is enough, a third less is not."""
    mass = 0.6
    friction = 0.5
    needed = mass * GRAVITY / (2 * friction)  # N
    force = needed * np.array([1 / 3, 2 / 3, 1.4, 2.0])
    _, frames = grasp(engine, bars(4, mass, friction), np.zeros(4), force)
    rise = frames[LIFTED].object_pos[:, 2] - HALF_HEIGHT
    assert (rise[:2] < 0.01).all(), "it slips"
    assert (rise[2:] > 0.05).all(), "it is lifted"
    held = FRANKA_HAND.holds(frames[LIFTED], 5.0)
    np.testing.assert_array_equal(held, [False, False, True, True])


@every_engine
def test_a_bar_turns_in_the_fingers_beside_its_center_of_mass(engine: str) -> None:
    task = bars(3, mass=0.7, friction=0.4, com=np.array([-0.07, 0.0, 0.07]))
    _, frames = grasp(engine, task, np.zeros(3), np.full(3, 15.0))
    (low_first, level, low_last) = FAMILY.observe(frames[LIFTED])[:, 3]
    assert low_first > 0.2, "the light end rises"
    assert abs(level) < 0.02
    assert low_last < -0.2


@every_engine
def test_knowing_the_center_of_mass_is_enough_and_nothing_less_is(engine: str) -> None:
    n = 24 if engine == "mujoco" else 8
    rng = np.random.default_rng(3)
    task = FAMILY.sample(rng, n, "heldout")
    com = task["object.com_x"]
    hard = np.full(n, 30.0)
    knowing, frames = grasp(engine, task, com, hard)
    assert knowing.success.all()
    assert np.abs(frames[-1].q[:, -1] - FRANKA_HAND.opened).max() < 0.005, "and it is released"
    middle, _ = grasp(engine, task, np.zeros(n), hard)
    far = np.abs(com) > 0.04
    assert far.sum() >= 3
    assert not middle.success[far].any()
    assert (knowing.reward > middle.reward)[far].all()


@every_engine
def test_a_reset_of_one_world_leaves_the_fingers_of_the_others(engine: str) -> None:
    task = bars(2)
    world = VecWorld(FAMILY, engine, 2, seed=0)
    world.reset(task, start=in_the_middle(2))
    zone = FAMILY.zone.ready[None]
    opened = Setpoint(np.tile(zone, (2, 1))[None], np.zeros((1, 2, 8)), np.zeros((1, 2, 8)))
    closed = replace(opened, q=opened.q.copy())
    closed.q[..., -1] = 0.01
    for _ in range(10):
        world.engine.run(closed, 4)
    alone = VecWorld(FAMILY, engine, 2, seed=0)
    alone.reset(task, start=in_the_middle(2))
    for _ in range(10):
        alone.engine.run(closed, 4)
    world.engine.reset(in_the_middle(2), np.array([True, False]))
    assert world.engine.read().q[0, -1] == pytest.approx(FRANKA_HAND.opened)
    for _ in range(5):
        world.engine.run(opened, 4)
        alone.engine.run(opened, 4)
    np.testing.assert_array_equal(world.engine.read().q[1], alone.engine.read().q[1])
    world.close()
    alone.close()


def test_outcomes_do_not_depend_on_the_time_step() -> None:
    class Finer(Lift):
        def __init__(self) -> None:
            super().__init__()
            self.scene = replace(self.scene, timestep=self.scene.timestep / 4)

    n = 24
    task = FAMILY.sample(np.random.default_rng(4), n)
    action = action_of(task["object.com_x"] + np.linspace(-0.02, 0.02, n), np.full(n, 20.0))
    outcomes = []
    for family in (FAMILY, Finer()):
        world = VecWorld(family, "mujoco", n, seed=0)
        world.reset(task, start=in_the_middle(n))
        outcomes.append(world.step(action).success)
        world.close()
    assert (outcomes[0] == outcomes[1]).mean() > 0.9


def test_an_observation_shows_which_end_is_up() -> None:
    task = bars(1)
    world = VecWorld(FAMILY, "mujoco", 1, seed=0)
    tilt = rotation_about(np.array([0.0, 1.0, 0.0]), -0.3)  # the end at +x goes up
    start = in_the_middle(1)
    half = np.array([[np.cos(0.15), 0.0, -np.sin(0.15), 0.0]])
    observed = world.reset(task, start=replace(start, object_quat=half))
    assert observed[0, 3] == pytest.approx(tilt[2, 0])
    assert observed[0, 3] > 0
    world.close()


def test_an_arm_without_a_gripper_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="has no gripper"):
        Lift(replace(PANDA_HAND, gripper=None))


@every_engine
@pytest.mark.parametrize("arm", arms_for("lift"))
def test_every_arm_with_a_gripper_places_a_bar_that_it_knows(arm: str, engine: str) -> None:
    family = Lift(ARMS[arm])
    n = 6 if engine == "mujoco" else 3
    task = family.sample(np.random.default_rng(5), n)
    world = VecWorld(family, engine, n, seed=0)
    world.reset(task)
    place = world.signals.object_pos[:, 0] - family.zone.pick[0]
    step = world.step(action_of(place + task["object.com_x"], np.full(n, 30.0)))
    world.close()
    assert step.success.all()


@pytest.mark.parametrize("arm", arms_for("lift"))
def test_a_real_arms_gate_lets_every_grasp_pass(arm: str) -> None:
    """With its links kept clear of the table, which the gate of a simulation does not check."""
    dt = 0.004
    family = Lift(ARMS[arm])
    gate = make_arm_gate(ARMS[arm], family.limits, dt)
    kinematics = Kinematics(ARMS[arm])
    far = family.action.spec.high[0]
    for offset in (-far, 0.0, far):
        gate.reset(family.zone.ready[None])
        action = action_of(np.array([offset]), np.array([20.0]))
        lowest = np.inf
        narrowest = np.inf
        for _ in range(round(family.action_repeat * family.dt / dt)):
            setpoint, _ = gate(family.action(action, gate.setpoint))
            (tool,) = kinematics.position(setpoint.q)
            lowest = min(lowest, tool[2])
            narrowest = min(narrowest, setpoint.q[0, -1])
        assert lowest < HALF_HEIGHT + 0.01, "it goes down to the bar"
        assert narrowest < HALF_WIDTH, "it grasps"
        assert np.abs(tool[:2] - family.zone.place).max() < 0.01, "and ends over the support"
        assert setpoint.q[0, -1] == pytest.approx(ARMS[arm].home[-1], abs=1e-3)
