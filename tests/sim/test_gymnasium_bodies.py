"""The walkers of Gymnasium: each moves and is rewarded as in Gymnasium's own environment."""

import warnings
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from robots.arm import FreeWalker, Walker
from robots.signals import Array
from sim.families import FAMILIES
from sim.scene_model import compile_scene
from sim.vec_world import VecWorld

ENVIRONMENTS = {
    "ant": "Ant-v5",
    "half_cheetah": "HalfCheetah-v5",
    "hopper": "Hopper-v5",
    "humanoid": "Humanoid-v5",
    "walker2d": "Walker2d-v5",
}
ENDS_EARLY = ("ant_fwd_back", "hopper_params", "humanoid_dir", "walker_params")
every_family = pytest.mark.parametrize(
    "name",
    [
        "ant_cripple",
        "ant_fwd_back",
        "ant_goal",
        "cheetah_fwd_back",
        "cheetah_params",
        "hopper_params",
        "humanoid_dir",
        "walker_params",
    ],
)
every_body = pytest.mark.parametrize(
    "name", ["ant_goal", "cheetah_fwd_back", "hopper_params", "humanoid_dir", "walker_params"]
)


def gymnasium_env(body: Walker) -> Any:
    """Gymnasium's environment of a body, with the same file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(ENVIRONMENTS[body.name], xml_file=str(body.mjcf)).unwrapped
    env.reset(seed=0)
    return env


class Reference:
    """Gymnasium's environment with the state and the physics of one world."""

    def __init__(self, world: VecWorld, i: int) -> None:
        body = world.family.body
        assert isinstance(body, Walker)
        assert world.task is not None
        self.env = gymnasium_env(body)
        self.model = self.env.model
        self.data = self.env.data
        self.model.opt.timestep = world.family.scene.timestep
        scale_as_published(self.model, world.task.names, world.task.values[i])
        mujoco.mj_setConst(self.model, mujoco.MjData(self.model))
        self.env.set_state(world.signals.q[i], world.signals.dq[i])
        joints = [self.model.joint(number).name for number in self.model.actuator_trnid[:, 0]]
        self._columns = [body.joints.index(joint) for joint in joints]  # of Gymnasium's motors
        self._largest = self.model.actuator_ctrlrange[:, 1]

    def step(self, action: Array) -> tuple[Array, Array]:
        """Take a step; returns Gymnasium's observation and the mean velocity (2,) m/s.

        Gymnasium leaves positions of bodies and forces of contacts as they are at the last stage of
        its integrator, just before the new state. Here its functions are asked in the new state.
        """
        before = self._place()
        self.env.step(self._largest * action[self._columns])
        after = self._place()
        mujoco.mj_rnePostConstraint(self.model, self.data)
        velocity = (after - before) / self.env.dt
        return self.env._get_obs(), velocity

    def _place(self) -> Array:
        """Whose velocity is rewarded, (2,) m: the humanoid's center of mass, others' torsos."""
        mujoco.mj_forward(self.model, self.data)
        if self.env.spec.id == ENVIRONMENTS["humanoid"]:
            mass = self.model.body_mass[:, None]
            return np.asarray((mass * self.data.xipos).sum(0)[:2] / mass.sum())
        return np.array(self.data.qpos[:2])


def scale_as_published(model: mujoco.MjModel, names: tuple[str, ...], values: Array) -> None:
    """Scale a model's parts, by MuJoCo's own accessors."""
    for name, value in zip(names, values, strict=True):
        match name.split("."):
            case ["body", "mass_scale"]:
                model.body_mass *= value
            case ["joint", "damping_scale"]:
                model.dof_damping *= value
            case ["actuator", joint]:
                actuator = model.actuator_trnid[:, 0] == model.joint(joint).id
                model.actuator_gear[actuator] *= value
            case ["body", link, "mass_scale"]:
                model.body(link).mass *= value
            case ["body", link, "inertia_scale"]:
                model.body(link).inertia *= value
            case ["joint", joint, "damping_scale"]:
                model.joint(joint).damping *= value
            case ["geom", geom, "friction_scale"]:
                model.geom(geom).friction *= value


def expected_reward(
    name: str, reference: Reference, velocity: Array, action: Array, goal: Array
) -> float:
    """The formulas of the published code, from what Gymnasium measures."""
    env = reference.env
    squared = (action**2).sum()
    if name == "ant_fwd_back":
        return goal[0] * velocity[0] - 0.5 * squared - env.contact_cost + 1.0
    if name == "ant_goal":
        return -np.abs(env.data.qpos[:2] - goal).sum() - 0.1 * squared - env.contact_cost
    if name == "humanoid_dir":
        distance = 0.25 * (velocity * env.dt) @ goal / env.model.opt.timestep
        return distance - env.control_cost(None) - env.contact_cost + 5.0
    if name == "ant_cripple":
        return velocity[0] + 0.05
    if name == "cheetah_params":
        return velocity[0] - 0.1 * squared
    if name == "cheetah_fwd_back":
        return goal[0] * velocity[0] - 0.05 * squared
    return velocity[0] + 1.0 - 1e-3 * squared


@every_family
def test_it_moves_as_in_gymnasium_and_is_rewarded_as_published(name: str) -> None:
    n = 2
    family = FAMILIES[name]()
    rng = np.random.default_rng(0)
    world = VecWorld(family, "mujoco", n, 0)
    task = family.sample(rng, n)
    world.reset(task)
    references = [Reference(world, i) for i in range(n)]
    is_free = isinstance(family.body, FreeWalker)
    states = len(family.obs) - (3 if is_free else 1)  # positions and velocities come first
    healthy = []
    for _ in range(family.horizon):
        action = rng.uniform(-1, 1, (n, len(family.body.joints)))
        step = world.step(action)
        for i, reference in enumerate(references):
            obs, velocity = reference.step(action[i])
            reward = expected_reward(name, reference, velocity, action[i], task.values[i])
            np.testing.assert_allclose(step.obs[i, :states], obs[:states], rtol=0, atol=1e-9)
            assert step.reward[i] == pytest.approx(reward, abs=1e-9)
            if is_free:
                assert step.obs[i, -1] == pytest.approx(reference.env.contact_cost, abs=1e-9)
            if name in ENDS_EARLY:
                healthy.append(reference.env.is_healthy)
                assert step.terminated[i] == (not healthy[-1])
    assert len(set(healthy)) != 1, "random actions should make it fall"
    world.close()


@every_body
def test_it_starts_as_in_gymnasium(name: str) -> None:
    family = FAMILIES[name]()
    task = family.sample(np.random.default_rng(0), 2000)
    start = family.start(np.random.default_rng(0), task)
    assert start.dq is not None
    env = gymnasium_env(family.body)
    states = []
    for seed in range(300):
        env.reset(seed=seed)
        q = env.data.qpos.copy()
        if isinstance(family.body, FreeWalker):
            q[3:7] /= np.linalg.norm(q[3:7])
        states.append(np.r_[q, env.data.qvel])
    expected = np.array(states)
    drawn = np.concatenate([start.q, start.dq], 1)
    spread = expected.std(0)
    np.testing.assert_allclose(drawn.mean(0), expected.mean(0), atol=0.3 * spread.max())
    np.testing.assert_allclose(drawn.std(0), spread, rtol=0.25)


@every_body
def test_the_body_is_what_the_models_file_says(name: str) -> None:
    family = FAMILIES[name]()
    body = family.body
    model = compile_scene(family.scene)
    joints = [model.joint(number) for number in model.actuator_trnid[:, 0]]
    assert tuple(joint.name for joint in joints) == body.joints
    ranges = np.array([joint.range for joint in joints])
    np.testing.assert_allclose(ranges.T, [body.limits.q_low, body.limits.q_high], atol=1e-3)
    largest = model.actuator_gear[:, 0] * model.actuator_ctrlrange[:, 1]
    np.testing.assert_allclose(body.limits.tau, largest)


@pytest.mark.parametrize("name", ["ant_goal", "humanoid_dir"])
def test_contacts_push_where_it_stands_and_nowhere_in_the_air(name: str) -> None:
    family = FAMILIES[name]()
    world = VecWorld(family, "mujoco", 2, 0)
    task = family.sample(np.random.default_rng(0), 2)
    start = family.start(np.random.default_rng(0), task)
    start.q[1, 2] += 100.0
    world.reset(task, start=start)
    for _ in range(30):
        world.step(np.zeros((2, len(family.body.joints))))
    forces = world.signals.contact_forces
    assert forces is not None
    model = compile_scene(family.scene)
    weight = model.body_mass.sum() * 9.81
    assert forces[0, :, 5].sum() == pytest.approx(weight, rel=0.7)  # it still swings
    assert (forces[1] == 0).all()
    center = world.signals.center_of_mass
    assert center is not None
    assert center[1, 2] > center[0, 2] + 50
    world.close()


def test_two_directions_are_drawn_equally_often() -> None:
    for name in ("ant_fwd_back", "cheetah_fwd_back"):
        for split in ("train", "heldout"):
            values = FAMILIES[name]().sample(np.random.default_rng(0), 64, split).values
            assert (values == 1).sum() == (values == -1).sum() == 32


def test_goals_of_the_ant_cover_the_disk() -> None:
    family = FAMILIES["ant_goal"]()
    for split in ("train", "heldout"):
        goal = family.sample(np.random.default_rng(0), 8000, split).values
        distance = np.linalg.norm(goal, axis=1)
        assert distance.max() <= 3
        np.testing.assert_allclose((distance < 1.5).mean(), 0.25, atol=0.02)
        np.testing.assert_allclose(goal.mean(0), 0, atol=0.06)


def test_directions_of_the_humanoid_lie_all_around() -> None:
    family = FAMILIES["humanoid_dir"]()
    for split in ("train", "heldout"):
        direction = family.sample(np.random.default_rng(0), 4000, split).values
        np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1)
        np.testing.assert_allclose(direction.mean(0), 0, atol=0.1)


@pytest.mark.parametrize("name", ["hopper_params", "walker_params"])
def test_factors_are_log_uniform_over_the_published_ranges(name: str) -> None:
    family = FAMILIES[name]()
    for split in ("train", "heldout"):
        values = family.sample(np.random.default_rng(0), 4000, split).values
        for parameter, factors in zip(family.task_names, values.T, strict=True):
            largest = 1.3**3 if parameter.endswith("damping_scale") else 1.5**3
            power = np.log(factors) / np.log(largest)
            assert np.abs(power).max() <= 1 + 1e-12
            assert np.histogram(power, 4, (-1, 1))[0].min() > 900
