"""Families that are tasks of dm_control's suite do what dm_control's own environments do."""

import mujoco
import numpy as np
import pytest
from dm_control import suite
from dm_control.rl.control import Environment
from scipy.stats import ks_2samp

from robots.errors import BadArgumentError, UnknownNameError
from robots.signals import Array
from robots.world import Task
from sim.engines import engine_for
from sim.families import FAMILIES
from sim.families.suite import Suite
from sim.suite.control_task import SEEDS
from sim.suite.factors import model_fields
from sim.suite.names import domain_and_task, suite_names
from sim.suite.targets import MARKER, TARGETS
from sim.vec_world import VecWorld

pytestmark = pytest.mark.filterwarnings("ignore:.*DISPLAY")  # dm_control looks for a screen
N = 2  # worlds: one with dm_control's physics, one with others
FEW = 20  # actions
ONE_OF_EACH_DOMAIN = sorted({domain_and_task(name)[0]: name for name in suite_names()}.values())
every_task = pytest.mark.parametrize("name", suite_names())


def make(name: str) -> Suite:
    family: Suite = FAMILIES[name]()
    return family


def two_tasks(family: Suite) -> Task:
    """The same target; all factors 1 in the first world, drawn in the second."""
    task = family.sample(np.random.default_rng(1), N)
    factors = len(family.parameters)
    task.values[0, :factors] = 1.0
    return task


class Reference:
    """dm_control's own environment, with the physics and the target of one task."""

    def __init__(self, name: str, task: Task) -> None:
        domain, own = domain_and_task(name)
        self.env: Environment = suite.load(domain, own)
        self.target = TARGETS.get(f"{domain}-{own}")
        self.env.reset()
        self.model = self.env.physics.model.ptr
        self.own = model_fields(self.model)
        self.task = task

    def change(self) -> None:
        """Multiply what the task's parameters say, each by a line of its own."""
        m = self.model
        for name, value in zip(self.task.names, self.task.values[0].tolist(), strict=True):
            if name == "body.gravity_scale":
                m.opt.gravity[:] = value * self.own["opt.gravity"]
            elif name == "joint.damping_scale":
                m.dof_damping[:] = value * self.own["dof_damping"]
            elif name == "geom.friction_scale":
                m.geom_friction[:] = value * self.own["geom_friction"]
            elif name == "actuator.gear_scale":
                m.actuator_gear[:] = value * self.own["actuator_gear"]
            elif name.endswith(".density_scale"):
                body = m.body(name.split(".")[1]).id
                m.body_mass[body] = value * self.own["body_mass"][body]
                m.body_inertia[body] = value * self.own["body_inertia"][body]
            else:
                assert name in MARKER
        mujoco.mj_setConst(m, self.env.physics.data.ptr)
        if self.target is not None:
            self.target.place(m, self.task.columns(*MARKER)[0])

    def draw(self, seed: int) -> tuple[Array, Array]:
        """Where dm_control begins an episode."""
        self.change()
        self.env.task.random.seed(seed)
        self.env.reset()
        data = self.env.physics.data
        return data.qpos.copy(), data.qvel.copy()

    def begin(self, q: Array, dq: Array) -> Array:
        """Begin an episode somewhere; returns the observation."""
        self.env.reset()  # what it draws is overwritten
        self.change()
        physics = self.env.physics
        with physics.reset_context():
            physics.data.qpos[:] = q
            physics.data.qvel[:] = dq
        return flat(self.env.task.get_observation(physics))


def flat(observation: dict[str, Array]) -> Array:
    return np.concatenate([np.ravel(value) for value in observation.values()])


def compare(name: str, length: int) -> None:
    """Assert that an episode's start, rewards and observations are dm_control's."""
    family = make(name)
    task = two_tasks(family)
    start = family.start(np.random.default_rng(4), task)
    assert start.dq is not None
    seeds = np.random.default_rng(4).integers(SEEDS, size=N).tolist()
    world = VecWorld(family, n=N)
    first = world.reset(task, start=start)
    rng = np.random.default_rng(2)
    actions = rng.uniform(-1, 1, (length, N, len(family.action.spec)))
    steps = [world.step(action) for action in actions]
    obs = np.stack([first, *(step.obs for step in steps)])[..., :-1]
    reward = np.stack([step.reward for step in steps])
    for i, seed in enumerate(seeds):
        reference = Reference(name, task.take([i]))
        q, dq = reference.draw(seed)
        np.testing.assert_array_equal(start.q[i], q)
        np.testing.assert_array_equal(start.dq[i], dq)
        true_first = reference.begin(q, dq)
        true = [reference.env.step(action[i]) for action in actions]
        true_obs = [true_first, *(flat(step.observation) for step in true)]
        true_reward = [step.reward for step in true]
        np.testing.assert_allclose(obs[:, i], true_obs, rtol=0, atol=1e-9)
        np.testing.assert_allclose(reward[:, i], true_reward, rtol=0, atol=1e-9)
        assert [step.last() for step in true] == [bool(step.truncated[i]) for step in steps]
        assert not any(step.terminated[i] for step in steps)
        assert reference.env.task.get_termination(reference.env.physics) is None
        assert reference.env.control_timestep() == family.dt
        assert reference.env._step_limit == family.horizon
    assert (start.q[0] != start.q[1]).any()
    world.close()


def test_the_families_are_the_suites_list_for_benchmarks() -> None:
    pairs = [domain_and_task(name) for name in suite_names()]
    assert sorted(pairs) == sorted(suite.BENCHMARKING)


@every_task
def test_start_observation_and_reward_are_dm_controls(name: str) -> None:
    compare(name, FEW)


def test_they_are_dm_controls_up_to_its_time_limit() -> None:
    compare("suite/hopper-hop", 1000)  # chaotic, and with sensors of contacts


@pytest.mark.parametrize("name", ONE_OF_EACH_DOMAIN)
def test_every_factor_changes_how_a_body_moves(name: str) -> None:
    family = make(name)
    factors = len(family.parameters)
    values = np.ones((factors + 1, len(family.task_names)))
    changed = np.arange(factors)
    values[changed, changed] = 2.0
    task = Task(family.task_names, values, np.arange(factors + 1))
    world = VecWorld(family, n=factors + 1)
    start = family.start(np.random.default_rng(0), task.take(np.zeros(factors + 1, dtype=int)))
    start.q[:] = start.q[0]
    assert start.dq is not None
    start.dq[:] = start.dq[0]
    world.reset(task, start=start)
    rng = np.random.default_rng(0)
    for k in range(100):
        if k % 10 == 0:
            action = rng.uniform(-1, 1, len(family.action.spec))
        world.step(np.tile(action, (factors + 1, 1)))
    moved = np.abs(world.signals.q[:-1] - world.signals.q[-1]).max(1)
    unchanged = [family.task_names[i] for i in np.flatnonzero(moved < 1e-6)]
    assert unchanged == []
    world.close()


@pytest.mark.parametrize(
    "name",
    [
        "suite/finger-turn_easy",
        "suite/fish-swim",
        "suite/manipulator-bring_ball",
        "suite/reacher-hard",
        "suite/swimmer-swimmer6",
    ],
)
def test_targets_are_distributed_as_dm_controls(name: str) -> None:
    family = make(name)
    ours = family.sample(np.random.default_rng(0), 400).columns(*MARKER)
    reference = Reference(name, two_tasks(family).take([0]))
    target = reference.target
    assert target is not None
    places = getattr(reference.model, f"{target.kind}_pos")
    number = reference.env.physics.model.name2id(target.element, target.kind)
    reference.env.task.random.seed(0)
    theirs = []
    for _ in range(400):
        reference.env.reset()
        theirs.append(places[number].copy())
    for own, true in zip(ours.T, np.transpose(theirs), strict=True):
        if np.ptp(true) == 0:
            np.testing.assert_allclose(own, true)
        else:
            assert ks_2samp(own, true).pvalue > 0.001


@every_task
def test_no_held_out_task_shares_its_high_and_low_factors_with_a_training_task(name: str) -> None:
    family = make(name)
    combinations = {}
    for split in ("train", "heldout"):
        task = family.sample(np.random.default_rng(0), 500, split)
        columns = []
        for parameter in family.parameters:
            low, high = parameter.train.numbers
            factor = task[parameter.name]
            assert low <= factor.min() < factor.max() <= high
            columns.append(factor > np.sqrt(low * high))
        is_high = np.stack(columns, -1)
        assert (abs(is_high.mean(0) - 0.5) < 0.15).all()
        combinations[split] = set(map(tuple, is_high.tolist()))
    assert not combinations["train"] & combinations["heldout"]


def test_they_run_in_the_engine_of_dm_controls_models() -> None:
    scene = make("suite/cartpole-swingup").scene
    assert engine_for(scene) == "dm_control"
    with pytest.raises(BadArgumentError, match="cartpole-swingup runs on dm_control, not on mujo"):
        engine_for(scene, "mujoco")


@pytest.mark.parametrize("name", ["suite/dog-run", "suite/quadruped-walk", "suite/walker"])
def test_other_tasks_are_refused_with_those_that_there_are(name: str) -> None:
    assert name not in FAMILIES
    with pytest.raises(UnknownNameError, match=r"BENCHMARKING.*suite/walker-run"):
        FAMILIES[name]


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_an_impossible_factor_is_refused(wrong: float) -> None:
    family = make("suite/pendulum-swingup")
    task = family.sample(np.random.default_rng(0), 1)
    task.values[0, 0] = wrong
    with pytest.raises(BadArgumentError, match=r"body\.gravity_scale must be finite and positive"):
        VecWorld(family).reset(task)


def test_a_factor_of_a_body_that_does_not_exist_is_refused() -> None:
    family = make("suite/pendulum-swingup")
    task = Task(("body.tail.density_scale",), np.ones((1, 1)), np.zeros(1, dtype=np.int64))
    world = VecWorld(family)
    with pytest.raises(BadArgumentError, match=r"body\.tail\.density_scale is no physics"):
        world.engine.write(task)
